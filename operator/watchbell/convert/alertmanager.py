"""Alertmanager's SMTP settings (`global.smtp_*` of alertmanager.yml, else those of the first email receiver) as a draft (pure)."""

from collections.abc import Mapping
from typing import Any

import yaml

from watchbell.api.enums import Mechanism, TlsMode, TlsVersion
from watchbell.convert.draft import Draft, UnreadableError, flag

_VERSIONS = {"TLS12": TlsVersion.TLS12, "TLS13": TlsVersion.TLS13}
_RECEIVER_KEYS = (
    "smarthost",
    "from",
    "hello",
    "auth_username",
    "auth_password",
    "auth_password_file",
    "auth_secret",
    "auth_identity",
    "require_tls",
    "tls_config",
)


def drafted(text: str) -> Draft:
    """The draft. Raises UnreadableError: not YAML, or no smarthost in it."""
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UnreadableError(f"it is not YAML: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(document, dict):
        raise UnreadableError("it must be Alertmanager's configuration, with global.smtp_smarthost")
    given = _settings(document)
    draft = Draft()
    if not given.get("smarthost"):
        raise UnreadableError("there is no smarthost: give global.smtp_smarthost")
    draft.set_address("smtp_smarthost", str(given["smarthost"]))
    for name, value in given.items():
        _take(draft, name, f"smtp_{name}", value)
    _decide_tls(draft, given)
    _tell_receivers(draft, document)
    return draft


def _settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without their prefix; the global ones, completed by the first email receiver."""
    common = document.get("global") if isinstance(document.get("global"), dict) else {}
    found = {key.removeprefix("smtp_"): value for key, value in (common or {}).items() if str(key).startswith("smtp_")}
    first = next(iter(_email_configs(document)), {})
    return {key: first[key] for key in _RECEIVER_KEYS if key in first and key not in found} | found


def _email_configs(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    receivers = document.get("receivers") if isinstance(document.get("receivers"), list) else []
    found = [
        config
        for receiver in receivers or ()
        if isinstance(receiver, dict)
        for config in receiver.get("email_configs") or ()
    ]
    return [config for config in found if isinstance(config, dict)]


def _take(draft: Draft, name: str, key: str, value: Any) -> None:  # noqa: ANN401 - as YAML had it
    match name:
        case "from":
            draft.sender = str(value)
        case "hello" if value != "localhost":
            draft.hello_name = str(value)
        case "auth_username":
            draft.username = str(value)
        case "auth_password":
            draft.set_password(key, str(value))
        case "auth_password_file" | "auth_secret_file":
            draft.ignore(key, "put what is in the file into the Secret")
        case "auth_secret":
            draft.mechanism = Mechanism.CRAM_MD5
            draft.set_password(key, str(value))
        case "auth_identity" if value:
            draft.refuse(key, "a login acts for itself only")
        case "tls_config" if isinstance(value, dict):
            _take_tls(draft, key, value)
        case "smarthost" | "require_tls" | "hello" | "auth_identity" | "force_implicit_tls":
            pass
        case _:
            draft.refuse(key, "watchbell has no such setting")


def _take_tls(draft: Draft, key: str, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        path = f"{key}.{name}"
        match name:
            case "insecure_skip_verify":
                if flag(value):
                    draft.refuse(
                        path, "certificates are verified: trust a private CA with spec.tls.caConfigMapRef instead"
                    )
            case "ca_file" | "ca":
                draft.has_private_ca = True
                draft.change(
                    path, "put the file into a ConfigMap: kubectl create configmap smtp-ca --from-file=ca.crt=FILE"
                )
            case "cert_file" | "cert":
                draft.set_client_certificate(path)
            case "key_file" | "key":
                pass
            case "server_name":
                draft.server_name = str(value)
            case "min_version":
                draft.min_version = _VERSIONS.get(str(value))
                if draft.min_version is None:
                    draft.refuse(path, f"{str(value)[:20]}: TLS 1.2 is the oldest that is spoken (RFC 8996)")
            case _:
                draft.refuse(path, "watchbell has no such setting")


def _decide_tls(draft: Draft, given: Mapping[str, Any]) -> None:
    """Alertmanager: TLS at once on port 465, else STARTTLS unless `require_tls` is false; then clear text."""
    if draft.port == 465 or flag(given.get("force_implicit_tls", "false")):
        draft.mode = TlsMode.IMPLICIT
    elif flag(given.get("require_tls", "true")):
        draft.mode = TlsMode.START_TLS
    else:
        draft.mode = TlsMode.NONE
        draft.change(
            "smtp_require_tls", "no encryption, as it was; better remove spec.tls and let STARTTLS protect the mail"
        )


def _tell_receivers(draft: Draft, document: Mapping[str, Any]) -> None:
    count = len(_email_configs(document))
    if count:
        draft.ignore(
            "receivers[].email_configs",
            f"{count} of them: who gets which alert belongs into spec.routes of a CollectorPolicy",
        )
