"""What is known of well-known mail providers: their limits, ports and the traps that a spec can be warned of before anything is tried.

Read by connectors (defaults for `limits`, warnings) and by `remedies`. Pure data. Numbers are the providers' published ones, as of 2026; a number
that is not published is 0, which means "not known here".
"""

from dataclasses import dataclass

from watchbell.smtp.model import TlsMode


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages and recipients in the unit of the name; 0 = not published. `message_bytes` is the size of the whole message as sent."""

    messages_per_minute: int = 0
    messages_per_day: int = 0
    recipients_per_message: int = 50
    recipients_per_day: int = 0
    connections: int = 1
    messages_per_connection: int = 100
    message_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Provider:
    """A known provider. `suffixes` are the host names it serves, with everything below them."""

    name: str
    suffixes: tuple[str, ...]
    port: int
    tls_mode: TlsMode
    limits: Limits
    login_warning: str = ""
    username: str = ""
    hint: str = ""


_MIB = 1024 * 1024
_LOGINS_CHANGE = (
    "Microsoft switches password logins for SMTP AUTH off by default at the end of December 2026: "
    "use spec.auth.oauth2 with the permission SMTP.SendAsApp."
)
DEFAULT_LIMITS = Limits(connections=2)
"""No rate: an unknown host is most often a relay of one's own, and a limit that nobody asked for would hold an alert back. One that does have a
limit says so, and the outbox slows down then."""

PROVIDERS: tuple[Provider, ...] = (
    Provider(
        "Microsoft 365 High Volume Email",
        ("smtp-hve.office365.com",),
        587,
        TlsMode.START_TLS,
        Limits(),
        hint="High Volume Email delivers to recipients inside of the tenant only.",
    ),
    Provider(
        "Microsoft 365",
        ("office365.com", "office365.us", "outlook.office.com", "partner.outlook.cn"),
        587,
        TlsMode.START_TLS,
        Limits(
            messages_per_minute=30, recipients_per_message=500, recipients_per_day=10_000, connections=3, message_bytes=25 * _MIB
        ),
        login_warning=_LOGINS_CHANGE,
        hint="The From address must be the login's mailbox, an alias of it, or one with Send As rights.",
    ),
    Provider(
        "Outlook.com",
        ("smtp-mail.outlook.com", "outlook.com", "hotmail.com", "live.com"),
        587,
        TlsMode.START_TLS,
        Limits(messages_per_day=300, recipients_per_message=100),
        login_warning="Outlook.com has taken no passwords for SMTP since 16 September 2024: use spec.auth.oauth2.",
    ),
    Provider(
        "Google Workspace SMTP relay",
        ("smtp-relay.gmail.com",),
        587,
        TlsMode.START_TLS,
        Limits(messages_per_day=10_000, recipients_per_message=100, recipients_per_day=10_000, message_bytes=25 * _MIB),
        hint="The relay knows clients by address or by login, as set in the Google Admin console; spec.helloName must be a name of yours.",
    ),
    Provider(
        "Gmail",
        ("smtp.gmail.com", "smtp.googlemail.com"),
        465,
        TlsMode.IMPLICIT,
        Limits(messages_per_day=500, recipients_per_message=100, recipients_per_day=10_000, message_bytes=25 * _MIB),
        login_warning="Gmail takes no account passwords: use an app password (16 letters, needs 2-step verification) or spec.auth.oauth2.",
    ),
    Provider(
        "Amazon SES",
        ("amazonaws.com", "amazonaws.com.cn"),
        587,
        TlsMode.START_TLS,
        Limits(message_bytes=40 * _MIB),
        hint="SES needs the SMTP password of this very region, which is not the secret access key: set spec.auth.ses.region to derive it.",
    ),
    Provider(
        "SendGrid",
        ("smtp.sendgrid.net", "smtp.eu.sendgrid.net"),
        587,
        TlsMode.START_TLS,
        Limits(recipients_per_message=1000, connections=10, messages_per_connection=5000, message_bytes=31_457_280),
        username="apikey",
        hint="The user name of SendGrid is the word apikey, and the password is the API key.",
    ),
    Provider(
        "Mailgun",
        ("smtp.mailgun.org", "smtp.eu.mailgun.org"),
        587,
        TlsMode.START_TLS,
        Limits(recipients_per_message=1000, message_bytes=25 * _MIB),
        hint="Mailgun has SMTP users per domain, such as postmaster@mg.example.com; the account's login does not work.",
    ),
    Provider(
        "Brevo",
        ("smtp-relay.brevo.com", "smtp-relay.sendinblue.com"),
        587,
        TlsMode.START_TLS,
        Limits(messages_per_day=300),
        hint="Brevo wants its SMTP key, which is not the API key.",
    ),
    Provider("Postmark", ("smtp.postmarkapp.com",), 587, TlsMode.START_TLS, Limits(recipients_per_message=50, connections=10)),
    Provider(
        "SocketLabs",
        ("smtp.socketlabs.com",),
        587,
        TlsMode.START_TLS,
        Limits(recipients_per_message=500, connections=10, messages_per_connection=50, message_bytes=30 * _MIB),
    ),
)  # fmt: skip


def provider_of(host: str) -> Provider | None:
    """The provider that serves `host`, by name only (case and a trailing dot do not matter)."""
    name = host.rstrip(".").lower()
    return next((known for known in PROVIDERS if _is_below(name, known.suffixes)), None)


def limits_of(host: str) -> Limits:
    """The limits of the host's provider; unknown hosts have no rate, and careful sizes."""
    known = provider_of(host)
    return known.limits if known else DEFAULT_LIMITS


def warnings(host: str, username: str, mail_from: str, *, has_password: bool) -> tuple[str, ...]:
    """What is known to go wrong with this host before anything is tried; plain sentences."""
    known = provider_of(host)
    if known is None:
        return ()
    told = [known.login_warning] if has_password and known.login_warning else []
    if known.username and has_password and username != known.username:
        told.append(known.hint)
    if _is_foreign_sender(known, username, mail_from):
        told.append(
            f"{known.name} usually refuses a From address ({mail_from}) that is not the login's own ({username})."
        )
    return tuple(told)


def _is_foreign_sender(known: Provider, username: str, mail_from: str) -> bool:
    is_mailbox_login = known.name in {"Microsoft 365", "Outlook.com", "Gmail"} and "@" in username
    return is_mailbox_login and bool(mail_from) and username.lower() != mail_from.lower()


def _is_below(name: str, suffixes: tuple[str, ...]) -> bool:
    return any(name == suffix or name.endswith(f".{suffix}") for suffix in suffixes)
