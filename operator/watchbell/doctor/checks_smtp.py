# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""The way to a mail server, one check for each stage of a session that was opened from here (pure).

Before: `probing` dialled. The reports are those of `smtp.probe`, so a stage fails here exactly as it would in the operator, but for the network.
"""

from collections.abc import Iterator

from watchbell.api.enums import StageName, StageResult
from watchbell.api.reasons import Reason
from watchbell.doctor.facts import Facts, Probed
from watchbell.doctor.model import Category, Cause, Check, Finding, Judge, Severity, Status, change, high, low, medium
from watchbell.smtp.model import Relay, StageReport, TlsMode

ROOT = "check.integration.smtp"


def _judge(*stages: StageName) -> Judge:
    """The findings about these stages, one for each relay: the failed stage, else the last one that passed."""

    def judge(facts: Facts) -> Iterator[Finding]:
        for probed in facts.probes:
            reports = [stage for stage in probed.report.stages if stage.name in stages]
            if reports:
                yield _finding(probed, _telling(reports))

    return judge


def _telling(reports: list[StageReport]) -> StageReport:
    failed = [report for report in reports if report.result is StageResult.FAILED]
    passed = [report for report in reports if report.result is StageResult.PASSED]
    return (failed or passed or reports)[-1]


def _finding(probed: Probed, stage: StageReport) -> Finding:
    fault = probed.report.fault
    if stage.result is StageResult.SKIPPED:
        why = (
            "not tried: an earlier stage failed" if stage.reason is Reason.NOT_PROBED and fault else _why_skipped(stage)
        )
        return Finding(Status.SKIP, why, probed.label)
    if stage.result is StageResult.PASSED:
        return Finding(Status.PASS, _passed(probed, stage), probed.label, duration_ms=stage.duration_ms)
    evidence = [("endpoint", probed.relay.endpoint), ("reason", str(stage.reason))]
    evidence += [("code", f"{stage.code} {stage.enhanced_code or ''}".strip())] if stage.code else []
    evidence += [("chain", entry) for entry in stage.chain]
    steps = (*(fault.remedies if fault is not None and fault.stage is stage.name else ()), _closer(probed.relay))
    return Finding(
        Status.FAIL,
        f"{stage.reason}: {stage.message}",
        probed.label,
        tuple(evidence),
        steps,
        duration_ms=stage.duration_ms,
    )


def _closer(relay: Relay) -> str:
    word = {TlsMode.START_TLS: "starttls", TlsMode.IMPLICIT: "implicit", TlsMode.NONE: "none"}[relay.tls.mode]
    return f"Look closer, with the whole dialogue: watchbell probe {relay.endpoint} --tls {word} --transcript"


def _why_skipped(stage: StageReport) -> str:
    if stage.reason is Reason.TLS_DISABLED:
        return "the connection is in clear text, as the settings ask"
    if stage.reason is Reason.AUTHENTICATION_NOT_REQUIRED:
        return "no login was tried: none is configured, or --login was not given"
    return "not asked for"


def _passed(probed: Probed, stage: StageReport) -> str:
    facts = probed.report.server
    match stage.name:
        case StageName.RESOLVE:
            return f"{probed.relay.host} is {', '.join(facts.addresses)}"
        case StageName.CONNECT:
            return f"connected to {facts.address} port {probed.relay.port}"
        case StageName.START_TLS:
            return "the server switched to TLS"
        case StageName.TLS if facts.tls is not None:
            return f"{facts.tls.version}, certificate of {facts.tls.subject} until {facts.tls.not_after}"
        case StageName.HELLO:
            return f"{len(facts.capabilities)} capabilities"
    return "passed"


def _stage(  # noqa: PLR0913 - the columns of the table below
    name: str,
    stages: tuple[StageName, ...],
    title: str,
    texts: tuple[str, str],
    causes: tuple[Cause, ...],
    step: str,
    *commands: str,
    severity: Severity = Severity.ERROR,
) -> Check:
    looks_at, why = texts
    return Check(
        id=f"{ROOT}.{name}",
        title=title,
        category=Category.SECURITY if name in {"tls", "starttls", "authenticate"} else Category.CONNECTIVITY,
        severity=severity,
        tags=("connectivity", "email", "smtp"),
        looks_at=looks_at,
        why=why,
        causes=causes,
        remedies=change(step, *commands),
        judge=_judge(*stages),
        related=_neighbours(name),
        is_quick=False,
        verification=f"watchbell doctor run --check {ROOT}.{name}; watchbell probe HOST:PORT",
    )


_ORDER = ("policy", "resolve", "connect", "greeting", "hello", "starttls", "tls", "authenticate", "sender")


def _neighbours(name: str) -> tuple[str, ...]:
    place = _ORDER.index(name)
    near = _ORDER[max(0, place - 1) : place] + _ORDER[place + 1 : place + 2]
    return (*(f"{ROOT}.{one}" for one in near), "check.connector.ready")


CHECKS = (
    _stage(
        "policy", (StageName.POLICY,), "The settings fit together",
        ("Port, TLS mode, CA bundle and client certificate, before anything is sent.", "A file that is no certificate fails each connection later."),
        (high("The CA file is not PEM."), medium("Certificate and key do not belong together.")),
        "Correct the file or field that the message names.",
    ),
    _stage(
        "resolve", (StageName.RESOLVE,), "The server's name is in DNS",
        ("A and AAAA records of the host, and the DNS response code if there are none.", "Without an address there is nobody to connect to."),
        (high("A slip in the name."), medium("The name is known inside of another network or cluster only."), medium("DNS is blocked or down."),
         low("A mail domain was given instead of a server.")),
        "Use the server's full name; inside of a cluster SERVICE.NAMESPACE.svc.",
        "nslookup smtp.example.com",
    ),
    _stage(
        "connect", (StageName.CONNECT,), "The port can be reached",
        ("A TCP connection within 5 seconds to each address.", "Mails about approvals, alerts and resets silently wait while the relay is out of reach."),
        (high("A firewall, a security group or a NetworkPolicy blocks the port (25, 465, 587)."), medium("Host or port is wrong."),
         medium("The cloud provider blocks outbound port 25."), low("The server is down or is being restarted.")),
        "Open the way to the host and port, or use port 587 or 465.",
        "nc -vz smtp.example.com 587",
    ),
    _stage(
        "greeting", (StageName.GREETING,), "An SMTP server greets",
        ("The 220 greeting (RFC 5321 section 3.1).", "Another service, a filter or a proxy may answer on the port."),
        (high("The port wants TLS at once."), medium("The server refuses this address."), low("A service mesh waits for the client to speak first.")),
        "Use the right port and TLS mode, and let the server allow the address that you come from.",
    ),
    _stage(
        "hello", (StageName.HELLO,), "The server accepts our name",
        ("The answer to EHLO.", "Capabilities such as STARTTLS, AUTH and SIZE come with it."),
        (high("The server wants a full host name that resolves."), low("A very old server.")),
        "Set spec.helloName to a full name of yours.",
    ),
    _stage(
        "starttls", (StageName.START_TLS,), "The server offers STARTTLS",
        ("STARTTLS in the answer to EHLO, and its reply (RFC 3207).", "Without it mails and passwords would travel in clear text, so nothing is sent."),
        (high("The port is for TLS at once, or for other servers."), medium("A firewall removes the offer."), low("The server's certificate is broken.")),
        "Use port 465 with spec.tls.mode: Implicit, or let the server offer STARTTLS.",
    ),
    _stage(
        "tls", (StageName.TLS,), "The certificate is trusted and for this name",
        ("Version, chain, names and time of the certificate (RFC 9525).", "Only a verified certificate tells that nobody sits in between."),
        (high("The certificate is of a private CA that is not named."), medium("It is for another name."), medium("It has expired."),
         low("The server leaves out an intermediate certificate.")),
        "Name the CA in spec.tls.caConfigMapRef, or use a name that the certificate bears.",
        "openssl s_client -starttls smtp -connect smtp.example.com:587 -servername smtp.example.com -showcerts </dev/null",
    ),
    _stage(
        "authenticate", (StageName.TOKEN, StageName.AUTHENTICATE), "The server accepts the login",
        ("One login, only with --login: rejected logins count, and accounts get locked.", "Without it the server takes no mail."),
        (high("User name or password is wrong or was changed."), medium("The provider wants an app password or OAuth2."),
         low("The login may not come from this address.")),
        "Write the credentials into the Secret anew; mind line breaks and base64.",
    ),
    _stage(
        "sender", (StageName.SENDER,), "The login may send as the From address",
        ("MAIL FROM and RSET, only with --login; nothing is sent.", "A refused sender shows up with the first mail otherwise."),
        (high("The From address is not the login's."), medium("The domain is not verified at the provider.")),
        "Use the login's own address in spec.from.address, or let the provider verify the domain.",
    ),
)  # fmt: skip
