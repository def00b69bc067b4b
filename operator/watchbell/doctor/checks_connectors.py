# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""Checks of connectors: is one there, what does the operator say of each, and which traps are in its spec (pure)."""

from collections.abc import Iterator
from datetime import timedelta

from watchbell.api.conditions import condition_of
from watchbell.api.enums import ConnectorKind, TlsMode
from watchbell.api.names import DEFAULT_CONNECTOR
from watchbell.api.times import moment
from watchbell.doctor.facts import Body, Facts, Source, name_of, names_of, part, spec_of, status_of
from watchbell.doctor.model import Category, Check, Finding, Severity, Status, change, high, low, medium
from watchbell.smtp.providers import provider_of, warnings

EXPIRES_SOON_DAYS = 21
LATE_S = 600
PLURAL = {"SmtpConnector": "smtpconnector", "ClusterSmtpConnector": "clustersmtpconnector"}


def _default(facts: Facts) -> Iterator[Finding]:
    if facts.source is Source.SETTINGS:
        return
    if gap := facts.gaps.get("SmtpConnector"):
        yield Finding(Status.SKIP, gap)
        return
    found = [body for body in facts.connectors if body["metadata"]["name"] == DEFAULT_CONNECTOR]
    cluster = [body for body in found if body["kind"] == ConnectorKind.CLUSTER_SMTP_CONNECTOR]
    if cluster:
        yield Finding(Status.PASS, "the ClusterSmtpConnector named default serves where no connectorRef is given")
    elif not facts.connectors:
        yield Finding(
            Status.FAIL, "there is no connector at all: no mail can go out", names={"OPERATOR_NAMESPACE": facts.home}
        )
    else:
        lonely = sorted(_users(facts) - {body["metadata"].get("namespace") for body in found})
        for namespace in lonely:
            message = f"objects in namespace {namespace} name no connector, and there is none named default for them"
            yield Finding(Status.FAIL, message, f"Namespace {namespace}", names={"NAMESPACE": namespace})
        if not lonely:
            yield Finding(Status.PASS, "every object that names no connector has one named default")


def _users(facts: Facts) -> set[str]:
    """Namespaces of objects that leave connectorRef away."""
    found = set()
    for kind in ("CollectorPolicy", "EmailMessage", "SmtpTest", "AccountRecovery"):
        for body in facts.of(kind):
            parts = spec_of(body).get("routes") or () if kind == "CollectorPolicy" else (spec_of(body),)
            is_over = bool(status_of(body).get("completionTime"))
            if not is_over and any(not part(one, "connectorRef", "name") for one in parts):
                found.add(str(body["metadata"].get("namespace") or ""))
    return found


def _ready(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors if facts.source is Source.CLUSTER else ():
        ready, status = condition_of(body, "Ready"), status_of(body)
        what, names = name_of(body), names_of(facts, body)
        if status.get("observedGeneration") != part(body, "metadata", "generation"):
            message = "the operator has not looked at this version of the spec yet: is it running?"
            yield Finding(Status.WARN, message, what, names=names)
        elif ready.get("status") == "True":
            yield Finding(Status.PASS, f"{ready.get('reason')}: {ready.get('message')}", what)
        elif ready.get("reason") == "Suspended":
            yield Finding(Status.INFO, "suspended: no probes, and messages are held", what)
        else:
            yield Finding(
                Status.FAIL,
                f"{ready.get('reason', 'Unknown')}: {ready.get('message', 'no condition Ready')}",
                what,
                evidence=tuple(_evidence(body)),
                steps=tuple(str(line) for line in status.get("remediation") or ()),
                names=names,
            )


def _evidence(body: Body) -> Iterator[tuple[str, str]]:
    status = status_of(body)
    for key in (
        "endpoint",
        "tlsMode",
        "resolvedFrom",
        "lastProbeTime",
        "lastSuccessTime",
        "nextProbeTime",
        "consecutiveFailures",
    ):
        if status.get(key) is not None:
            yield key, str(status[key])
    for stage in status.get("stages") or ():
        if stage.get("result") == "Failed":
            yield "stage", f"{stage['name']}: {stage.get('reason', '')}"
            for entry in stage.get("chain") or ():
                yield "chain", str(entry)


def _fresh(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors if facts.source is Source.CLUSTER else ():
        due = moment(status_of(body).get("nextProbeTime"))
        if due is None or spec_of(body).get("suspend"):
            continue
        late_s = (facts.now - due).total_seconds()
        if late_s > LATE_S:
            message = (
                f"the probe that was due at {due:%Y-%m-%d %H:%M} UTC has not come: what stands in the status is old"
            )
            yield Finding(
                Status.WARN, message, name_of(body), (("nextProbeTime", str(due)),), names=names_of(facts, body)
            )
        else:
            yield Finding(Status.PASS, "probed when it was due", name_of(body))


def _certificate(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        text = part(status_of(body), "server", "tls", "notAfter")
        end = moment(text) if isinstance(text, str) else None
        if end is None:
            continue
        subject = str(part(status_of(body), "server", "tls", "subject") or "")
        days = (end - facts.now).days
        evidence = (("subject", subject), ("notAfter", str(text)))
        if end <= facts.now:
            yield Finding(Status.FAIL, f"the server's certificate expired on {end:%Y-%m-%d}", name_of(body), evidence)
        elif end < facts.now + timedelta(days=EXPIRES_SOON_DAYS):
            yield Finding(
                Status.WARN,
                f"the server's certificate expires in {days} days, on {end:%Y-%m-%d}",
                name_of(body),
                evidence,
            )
        else:
            yield Finding(
                Status.PASS, f"the server's certificate is valid for {days} days more", name_of(body), evidence
            )


def _encryption(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        spec = spec_of(body)
        names = names_of(facts, body)
        if part(spec, "auth", "plaintext") == "Allow":
            yield Finding(
                Status.FAIL,
                "spec.auth.plaintext: Allow lets the password travel in clear text",
                name_of(body),
                names=names,
            )
        elif part(spec, "tls", "verification") == "None":
            message = (
                "spec.tls.verification: None takes any certificate: somebody on the way can read mails and passwords"
            )
            yield Finding(Status.FAIL, message, name_of(body), names=names)
        elif part(spec, "tls", "mode") == TlsMode.NONE:
            message = "spec.tls.mode: None: mails travel in clear text"
            yield Finding(Status.WARN, message, name_of(body), names=names)
        elif not spec.get("parentRef"):
            yield Finding(Status.PASS, "encrypted, and the certificate is verified", name_of(body))


_USUAL = {465: "Implicit", 2465: "Implicit", 587: "StartTLS", 2587: "StartTLS"}


def _port(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        spec = spec_of(body)
        port, mode = spec.get("port"), str(part(spec, "tls", "mode") or TlsMode.START_TLS)
        usual = _USUAL.get(port) if isinstance(port, int) else None
        if usual is not None and mode != usual:
            message = f"port {port} with spec.tls.mode: {mode}; servers expect {usual} there (RFC 8314)"
            yield Finding(Status.WARN, message, name_of(body), names=names_of(facts, body))
        elif spec.get("host"):
            yield Finding(Status.PASS, "the port and the TLS mode go together", name_of(body))


def _provider(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        spec = spec_of(body)
        host = str(spec.get("host") or "")
        known = provider_of(host)
        if known is None:
            continue
        has_password = (
            spec.get("auth") is not None and not part(spec, "auth", "oauth2") and not part(spec, "auth", "ses")
        )
        username = str(part(spec, "auth", "username") or "")
        told = list(
            warnings(
                host, username or known.username, str(part(spec, "from", "address") or ""), has_password=has_password
            )
        )
        for sentence in told:
            yield Finding(Status.WARN, f"{known.name}: {sentence}", name_of(body), names=names_of(facts, body))
        if not told:
            yield Finding(Status.PASS, f"nothing known stands against this use of {known.name}", name_of(body))


def _sender(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        spec = spec_of(body)
        address, login = str(part(spec, "from", "address") or ""), str(part(spec, "auth", "username") or "")
        if not address or "@" not in login:
            continue
        mine, theirs = address.rpartition("@")[2].lower(), login.rpartition("@")[2].lower()
        if mine != theirs:
            message = f"mails come from the domain {mine} and the login is of {theirs}: many servers refuse that, and DMARC fails"
            yield Finding(Status.WARN, message, name_of(body), names=names_of(facts, body))
        else:
            yield Finding(Status.PASS, "the From address and the login are of one domain", name_of(body))


CHECKS = (
    Check(
        id="check.connector.default",
        title="A default connector is there for those who name none",
        category=Category.CONFIGURATION,
        severity=Severity.ERROR,
        tags=("email", "smtp", "connector"),
        looks_at="Whether every namespace whose policies, messages and tests name no connector has a SmtpConnector named default, or the cluster one.",
        why="Alerts of a policy without connectorRef wait in the outbox until such a connector comes, and nobody is told of a crash.",
        causes=(high("The connector has another name than default."), medium("It stands in another namespace."), low("It was deleted.")),
        remedies=change(
            "Name a connector default, or name the one that is there in connectorRef.",
            "kubectl get smtpconnectors -A; kubectl get clustersmtpconnectors",
        ),
        judge=_default,
        related=("check.connector.ready", "check.policy.connector"),
    ),
    Check(
        id="check.connector.ready",
        title="The operator has proven the connector",
        category=Category.CONNECTIVITY,
        severity=Severity.ERROR,
        tags=("email", "smtp", "connector"),
        looks_at="The condition Ready of each connector, the failed stage, its chain of errors and the remediation in the status.",
        why="Mail goes out through connectors that are Ready only; the others hold their messages, so alerts come late or never.",
        causes=(
            high("The login was changed at the provider and not in the Secret."),
            high("A firewall or a network policy drops the connection."),
            medium("The server's certificate is of a private CA that the connector does not name."),
            low("The server is down."),
        ),
        remedies=change(
            "Follow the remediation in the status; the operator probes again when the Secret or the spec changes.",
            "kubectl -n $NAMESPACE get smtpconnector $NAME -o 'jsonpath={.status.remediation}'",
            'kubectl -n $NAMESPACE annotate smtpconnector $NAME watchbell.dev/requested-at="$(date -u +%FT%TZ)" --overwrite',
        ),
        judge=_ready,
        related=("check.integration.smtp", "check.connector.secret", "check.operator.running"),
    ),
    Check(
        id="check.connector.fresh",
        title="The connector is probed when it is due",
        category=Category.CONNECTIVITY,
        severity=Severity.WARN,
        tags=("connector", "operator"),
        looks_at="Whether status.nextProbeTime lies more than ten minutes back.",
        why="An old status says nothing of today: Ready=True may be the last word of an operator that is gone.",
        causes=(high("The operator does not run."), low("It cannot write the status: its role lacks patch on smtpconnectors/status.")),
        remedies=change("Look at the operator.", "kubectl -n $OPERATOR_NAMESPACE get pods -l app.kubernetes.io/name=watchbell"),
        judge=_fresh,
        related=("check.operator.running",),
    ),
    Check(
        id="check.connector.certificate",
        title="The server's certificate lasts",
        category=Category.SECURITY,
        severity=Severity.ERROR,
        tags=("tls", "certificate", "connector"),
        looks_at="status.server.tls.notAfter of each connector: warns three weeks before the end.",
        why="On the day after it no mail goes out, the mails about that neither.",
        causes=(high("Nobody renews it."), medium("It was renewed and the server was not reloaded."), low("The clock of a node is wrong.")),
        remedies=change("Let the server's administrator renew the certificate and reload the server; nothing in the cluster helps."),
        judge=_certificate,
        related=("check.integration.smtp.tls",),
    ),
    Check(
        id="check.connector.encryption",
        title="Mails and passwords travel encrypted",
        category=Category.SECURITY,
        severity=Severity.ERROR,
        tags=("tls", "security", "connector"),
        looks_at="spec.tls.mode, spec.tls.verification and spec.auth.plaintext.",
        why="Without verified TLS anybody on the way reads mails, reset links and the relay's password.",
        causes=(high("A private CA was too much trouble."), medium("The relay takes clear text on port 25 only."), low("A test was forgotten.")),
        remedies=change(
            "Remove spec.tls.mode: None, spec.tls.verification: None and spec.auth.plaintext: Allow; name a private CA in spec.tls.caConfigMapRef.",
            "kubectl -n $NAMESPACE create configmap smtp-ca --from-file=ca.crt",
            "kubectl -n $NAMESPACE edit smtpconnector $NAME",
            is_safe=False,
        ),
        judge=_encryption,
        related=("check.connector.ca", "check.integration.smtp.tls"),
    ),
    Check(
        id="check.connector.port",
        title="Port and TLS mode go together",
        category=Category.CONFIGURATION,
        severity=Severity.WARN,
        tags=("tls", "connector"),
        looks_at="Whether 465 is used with Implicit and 587 with StartTLS (RFC 8314).",
        why="A server that waits for TLS at once says nothing in clear, and the other way round: the probe ends in a time-out.",
        causes=(high("The port was changed and the mode was not."), low("The server really is set up so.")),
        remedies=change(
            "Set spec.tls.mode: Implicit for port 465, or port 587 for StartTLS.",
            "kubectl -n $NAMESPACE edit smtpconnector $NAME",
        ),
        judge=_port,
        related=("check.integration.smtp.greeting", "check.integration.smtp.tls"),
    ),
    Check(
        id="check.connector.provider",
        title="What is known of the provider",
        category=Category.CONFIGURATION,
        severity=Severity.WARN,
        tags=("provider", "connector"),
        looks_at="Host, kind of login and From address against what is known of well-known providers.",
        why="Providers end password logins, want a fixed user name or refuse other From addresses; it is better known before than at night.",
        causes=(high("The set-up is older than the provider's rule."), medium("A guide for another provider was followed.")),
        remedies=change("Change what the message names.", "kubectl -n $NAMESPACE edit smtpconnector $NAME"),
        judge=_provider,
        related=("check.integration.smtp.authenticate", "check.connector.sender"),
    ),
    Check(
        id="check.connector.sender",
        title="The From address fits the login",
        category=Category.DELIVERY,
        severity=Severity.WARN,
        tags=("from", "dmarc", "connector"),
        looks_at="The domain of spec.from.address against that of spec.auth.username.",
        why="A server may refuse a foreign From address after DATA only, and receivers put mail into spam whose domains do not fit (DMARC).",
        causes=(high("The From address was copied from another set-up."), low("The login is allowed to send as that domain, and it is meant so.")),
        remedies=change(
            "Use an address of the login's domain in spec.from.address, or let the provider verify the other domain.",
            "kubectl -n $NAMESPACE edit smtpconnector $NAME",
        ),
        judge=_sender,
        related=("check.integration.smtp.sender",),
    ),
)  # fmt: skip
