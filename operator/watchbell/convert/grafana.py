"""Grafana's `[smtp]` section of grafana.ini, or its `GF_SMTP_*` variables, as a draft (pure)."""

import configparser
from collections.abc import Mapping

from watchbell.api.enums import TlsMode
from watchbell.convert.draft import Draft, UnreadableError, flag
from watchbell.convert.settings import read_env

_PREFIX = "GF_SMTP_"
_IGNORED = {
    "enable_tracing": "tracing of Grafana itself",
    "enabled": "a connector is there or not; spec.suspend holds it",
}


def drafted(text: str) -> Draft:
    """The draft. Raises UnreadableError: no such section, or no such file."""
    given = _variables(text) if _PREFIX in text and "[smtp]" not in text else _section(text)
    draft = Draft()
    draft.set_address("host", given.get("host") or "localhost:25")
    for name, value in given.items():
        _take(draft, name, value)
    _decide_tls(draft, given)
    return draft


def _section(text: str) -> dict[str, str]:
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, allow_no_value=True, comment_prefixes=(";", "#")
    )
    parser.optionxform = str.lower  # type: ignore[assignment,method-assign] # the library documents that it may be replaced
    try:
        parser.read_string(text if text.lstrip().startswith(("[", ";", "#")) else f"[DEFAULT]\n{text}")
    except configparser.Error as error:
        raise UnreadableError(f"it is not an ini file: {str(error).splitlines()[0]}") from error
    if not parser.has_section("smtp"):
        raise UnreadableError("there is no section [smtp]")
    return {key: _unquoted(value or "") for key, value in parser["smtp"].items() if key not in parser.defaults()}


def _variables(text: str) -> dict[str, str]:
    return {
        key.removeprefix(_PREFIX).lower(): value for key, value in read_env(text).items() if key.startswith(_PREFIX)
    }


def _unquoted(text: str) -> str:
    """Grafana takes values in triple quotes where they hold # or ;."""
    for quote in ('"""', '"', "`"):
        if len(text) >= 2 * len(quote) and text.startswith(quote) and text.endswith(quote):
            return text[len(quote) : -len(quote)]
    return text.strip()


def _take(draft: Draft, name: str, value: str) -> None:
    match name:
        case "user":
            draft.username = value
        case "password":
            draft.set_password(name, value)
        case "from_address":
            draft.sender = value
        case "from_name":
            draft.sender_name = value
        case "ehlo_identity" if value:
            draft.hello_name = value
        case "skip_verify":
            if flag(value):
                draft.refuse(name, "certificates are verified: trust a private CA with spec.tls.caConfigMapRef instead")
        case "cert_file" if value:
            draft.set_client_certificate(name)
        case "host" | "starttls_policy" | "ehlo_identity" | "cert_file" | "key_file":
            pass
        case _ if name in _IGNORED:
            draft.ignore(name, _IGNORED[name])
        case _:
            draft.refuse(name, "watchbell has no such setting")


def _decide_tls(draft: Draft, given: Mapping[str, str]) -> None:
    """Grafana: TLS at once on port 465, else by `startTLS_policy`, which is opportunistic unless set."""
    policy = given.get("starttls_policy", "").lower()
    if draft.port == 465:
        draft.mode = TlsMode.IMPLICIT
    elif policy == "nostarttls":
        draft.mode = TlsMode.NONE
        draft.change(
            "startTLS_policy", "no encryption, as it was; better remove spec.tls and let STARTTLS protect the mail"
        )
    else:
        draft.mode = TlsMode.START_TLS
        if policy != "mandatorystarttls":
            draft.change(
                "startTLS_policy",
                "STARTTLS is required here: Grafana would go on in clear text where it is not offered",
            )
