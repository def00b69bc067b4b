"""What to do about each reason, in the words of somebody who runs a cluster: spec fields, Secrets, network policies, commands.

Added to a fault by `verdict`; shown as `status.remediation`. Pure data and formatting. Commands hold the shell variables `$NAMESPACE`, `$CONNECTOR`,
`$SECRET` and `$OPERATOR_NAMESPACE`, since nothing here knows Kubernetes objects; `personalise` puts the names in.
"""

import re
from collections.abc import Mapping, Sequence

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.providers import provider_of
from watchbell.smtp.remedy_table import REMEDIES
from watchbell.smtp.server_text import sanitise

_SAFE_IN_A_COMMAND = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?\.?")
_ABOUT_THE_LOGIN = frozenset(
    {
        R.CREDENTIALS_REJECTED,
        R.APP_PASSWORD_REQUIRED,
        R.BASIC_AUTH_DISABLED,
        R.SMTP_AUTH_DISABLED,
        R.AUTHENTICATION_REQUIRED,
    }
)
_ABOUT_THE_PROVIDER = _ABOUT_THE_LOGIN | {
    R.SENDER_NOT_ALLOWED,
    R.RELAY_DENIED,
    R.EHLO_REJECTED,
    R.SOURCE_IP_NOT_ALLOWED,
}
_LIMIT = 6


def remedies(reason: R, context: ReplyContext) -> tuple[str, ...]:
    """At most six sentences for `reason`, what is known of the host's provider first. Empty for reasons that need none."""
    words = _words(context)
    general = (sentence.format_map(words) for sentence in REMEDIES.get(reason, ()))
    return tuple(dict.fromkeys((*_of_provider(reason, context), *general)))[:_LIMIT]


def personalise(sentences: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...]:
    """The sentences with `$NAMESPACE` and the like replaced by what `names` holds; an unknown or unfit name stays a variable."""
    fit = {name: value for name, value in names.items() if _SAFE_IN_A_COMMAND.fullmatch(value)}
    return tuple(re.sub(r"\$([A-Z_]+)", lambda match: fit.get(match[1], match[0]), sentence) for sentence in sentences)


def _of_provider(reason: R, context: ReplyContext) -> tuple[str, ...]:
    known = provider_of(context.host)
    if known is None:
        return ()
    warning = known.login_warning if reason in _ABOUT_THE_LOGIN and context.has_password_login else ""
    hint = known.hint if reason in _ABOUT_THE_PROVIDER else ""
    return tuple(filter(None, (warning, hint)))


def _words(context: ReplyContext) -> dict[str, str]:
    """The placeholders. Whatever lands in a command must be harmless in a shell, whoever wrote the spec or the certificate."""
    return {
        "host": _safe(context.host.rstrip("."), "SMTP_HOST"),
        "port": str(context.port or 587),
        "address": _safe(context.address, "the server's address"),
        "mode": context.tls_mode.value,
        "hello": _safe(context.hello_name, "the name it was given"),
        "names": ", ".join(
            name for name in context.certificate_names[:8] if _SAFE_IN_A_COMMAND.fullmatch(name.removeprefix("*."))
        )
        or "see the command below",
        "offered": sanitise(", ".join(context.offered[:12]), limit_bytes=256) or "none",
        "size": str(context.max_message_bytes) if context.max_message_bytes else "the SIZE that the server names",
        "sender": sanitise(context.mail_from, limit_bytes=256) or "the From address",
        "user": sanitise(context.username, context.secrets, 256) or "the login",
        "starttls": "-starttls smtp " if context.tls_mode == "StartTLS" else "",
    }


def _safe(value: str, otherwise: str) -> str:
    return value if _SAFE_IN_A_COMMAND.fullmatch(value) else otherwise
