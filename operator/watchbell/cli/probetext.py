"""What `watchbell probe` shows, as lines (pure): each stage as it ends, the certificates, the server, what went wrong and what to do.

Before: a session's reports. After: `probe` prints. Everything that a server said has been made harmless before it came here.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from watchbell.api.enums import StageName, StageResult
from watchbell.cli.paint import Painter
from watchbell.cli.remedywords import in_flags
from watchbell.smtp import providers
from watchbell.smtp.certificate_bytes import Link
from watchbell.smtp.model import Fault, Relay, ServerFacts, StageReport, TlsMode

EXPIRES_SOON_DAYS = 21
_NAMES_SHOWN = 6
_DOING = {
    StageName.POLICY: "do the settings fit together?",
    StageName.RESOLVE: "asking DNS for the server's addresses",
    StageName.CONNECT: "opening a TCP connection",
    StageName.TLS: "TLS handshake and the server's certificate",
    StageName.GREETING: "waiting for the server's greeting",
    StageName.HELLO: "EHLO: we say who we are, the server what it can do",
    StageName.START_TLS: "asking the server to switch to TLS",
    StageName.TOKEN: "fetching an OAuth2 token",
    StageName.AUTHENTICATE: "logging in",
    StageName.SENDER: "MAIL FROM: may this login send as that address?",
    StageName.RECIPIENT: "RCPT TO: does the server take mail for them?",
    StageName.DATA: "handing over the mail",
}
_CAPABILITIES = {
    "8BITMIME": "takes mail that is not pure ASCII",
    "AUTH": "takes logins",
    "CHUNKING": "takes mail in pieces",
    "DSN": "can report what became of a mail",
    "ENHANCEDSTATUSCODES": "its errors have codes that say more",
    "LIMITS": "says how much it takes",
    "PIPELINING": "takes several commands at once",
    "REQUIRETLS": "can be held to TLS on the whole way",
    "SIZE": "says how large a mail may be",
    "SMTPUTF8": "takes addresses in other scripts",
    "STARTTLS": "can switch to TLS",
}


def doing(name: StageName) -> str:
    """What is going on while a stage has no result yet."""
    return f"  ...   {name:<13}          {_DOING[name]}"


def heading(relay: Relay) -> str:
    """What is probed, in one line."""
    how = {
        TlsMode.START_TLS: "clear text first, then STARTTLS",
        TlsMode.IMPLICIT: "TLS from the first byte",
        TlsMode.NONE: "no encryption",
    }[relay.tls.mode]
    login = f", login as {relay.auth.username}" if relay.auth else ", no login"
    unsafe = "" if relay.tls.verify or relay.tls.mode is TlsMode.NONE else ", certificate NOT verified"
    return f"{relay.endpoint}: {how}{unsafe}{login}"


def stage_lines(painter: Painter, report: StageReport, facts: ServerFacts, transcript: Sequence[str]) -> list[str]:
    """A stage that has ended: how, how long it took, and what it showed."""
    if report.result is StageResult.SKIPPED:
        return [f"  {painter.paint('-   ', 'faint')}  {report.name:<13}          not tried"]
    has_passed = report.result is StageResult.PASSED
    word = painter.paint("ok  ", "good") if has_passed else painter.paint("FAIL", "bad")
    text = _seen(report.name, facts, transcript) if has_passed else str(report.reason or "")
    lines = painter.fold(text, " " * 31)
    lines[0] = f"  {word}  {report.name:<13}{report.duration_ms:>6} ms  {lines[0].strip()}".rstrip()
    return lines


def _seen(name: StageName, facts: ServerFacts, transcript: Sequence[str]) -> str:
    match name:
        case StageName.POLICY:
            return "the settings fit together"
        case StageName.RESOLVE:
            return ", ".join(facts.addresses)
        case StageName.CONNECT:
            return f"TCP connection to {facts.address}" if facts.address else "TCP connection"
        case StageName.GREETING:
            return next((line.removeprefix("S: ") for line in transcript if line.startswith("S: 220")), "")
        case StageName.HELLO:
            return f"{len(facts.capabilities)} capabilities" + (", now encrypted" if facts.tls else "")
        case StageName.TLS if facts.tls is not None:
            return f"{facts.tls.version} {facts.tls.cipher}"
        case StageName.DATA:
            return _after("C: DATA", "S: 250", transcript)
        case StageName.AUTHENTICATE:
            return "the server took the login"
    return ""


def _after(command: str, reply: str, transcript: Sequence[str]) -> str:
    start = transcript.index(command) if command in transcript else len(transcript)
    found = (line.removeprefix("S: ") for line in transcript[start:] if line.startswith(reply))
    return f"the server said: {told}" if (told := next(found, "")) else ""


def chain_lines(painter: Painter, links: Sequence[Link], now: datetime) -> Iterator[str]:
    """The certificates as the server sent them, each with its names, its time and who issued it."""
    if not links:
        return
    yield painter.paint("Certificates, as the server sent them", "strong")
    for number, link in enumerate(links):
        yield from painter.fold(link.subject or "(no subject)", f"  {number}  ")
        if link.names:
            more = len(link.names) - _NAMES_SHOWN
            names = ", ".join(link.names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
            yield from painter.fold(f"for {names}", "     ")
        yield from painter.fold(validity(painter, link, now), "     ")
        yield from painter.fold(f"issued by {_issuer(link)}", "     ")
        yield from painter.fold(
            f"{link.key}, signed with {link.signature or 'its own algorithm'}, SHA-256 {link.sha256}", "     "
        )
    yield ""


def _issuer(link: Link) -> str:
    return "itself (self-signed)" if link.issuer == link.subject else link.issuer or "(nobody named)"


def validity(painter: Painter, link: Link, now: datetime) -> str:
    """`valid from 2026-11-01 until 2027-01-30 (63 days left)`."""
    span = f"valid from {link.not_before:%Y-%m-%d} until {link.not_after:%Y-%m-%d}"
    days = (link.not_after - now).days
    if link.not_before > now:
        return f"{span} ({painter.paint('not valid yet', 'bad')})"
    if link.not_after <= now:
        return f"{span} ({painter.paint(f'expired {-days} days ago', 'bad')})"
    return f"{span} ({painter.paint(f'{days} days left', 'warn' if days < EXPIRES_SOON_DAYS else 'good')})"


def server_lines(painter: Painter, facts: ServerFacts) -> Iterator[str]:
    """What the server says of itself."""
    if not facts.capabilities:
        return
    yield painter.paint("What the server offers", "strong")
    for line in facts.capabilities:
        keyword = line.replace("=", " ").split(" ", 1)[0].upper()
        meaning = _CAPABILITIES.get(keyword, "")
        yield from painter.fold(f"{meaning}: {line}" if meaning else line, "  ", "      ")
    if facts.max_message_bytes:
        yield f"  the largest mail it takes: {facts.max_message_bytes / 1_000_000:.1f} MB"
    yield ""


def cautions(relay: Relay, links: Sequence[Link], now: datetime) -> tuple[str, ...]:
    """What works today and is still worth a thought."""
    auth, told = relay.auth, []
    if relay.tls.mode is TlsMode.NONE:
        told.append("The connection is not encrypted: everybody on the way can read the mail.")
    elif not relay.tls.verify:
        told.append("The certificate was not verified: somebody on the way could be the one who answers.")
    if links and now < links[0].not_after < now + timedelta(days=EXPIRES_SOON_DAYS):
        told.append(f"The server's certificate expires on {links[0].not_after:%Y-%m-%d}: it must be renewed before.")
    username, has_password = (auth.username, auth.password is not None) if auth else ("", False)
    known = providers.warnings(relay.host, username, relay.mail_from, has_password=has_password)
    return (*told, *in_flags(known))


def caution_lines(painter: Painter, told: Sequence[str]) -> Iterator[str]:
    """The same as lines."""
    if told:
        yield painter.paint("Worth a thought", "warn")
        for sentence in told:
            yield from painter.fold(sentence, "  - ")
        yield ""


def fault_lines(painter: Painter, fault: Fault) -> Iterator[str]:
    """What went wrong: the reason, what it means, the whole chain of causes, and what to do."""
    yield painter.paint(f"{fault.reason}, at stage {fault.stage}", "bad")
    meaning = fault.reason.doc
    if not fault.message.startswith(meaning.rstrip(".")):
        yield from painter.fold(meaning, "  ")
    yield from painter.fold(fault.message, "  ")
    if fault.chain:
        yield "  The errors, the outermost first:"
        for number, entry in enumerate(fault.chain, 1):
            yield from painter.fold(entry, f"  {number:>3}. ")
    yield ""
    told = in_flags(fault.remedies)
    if told:
        yield painter.paint("What to do", "strong")
    for sentence in told:
        yield from painter.fold(sentence, "  - ")
    when = "It will not heal by itself." if fault.is_permanent else "It may heal by itself: try again."
    yield from painter.fold(when, "  - ")


def transcript_lines(painter: Painter, lines: Sequence[str]) -> Iterator[str]:
    """What was said; logins are left out where it was noted."""
    yield painter.paint("What was said (C: we, S: the server; logins left out)", "strong")
    for line in lines:
        yield from painter.fold(line, "  ", "       ")
    yield ""
