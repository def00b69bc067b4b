"""SMTP settings as applications keep them: a JSON file, an .env file, the environment (pure).

The keys are looked for as `Smtp:Host`, then `Email:Smtp:Host`, then `Notify:Email:Host`, then plain; an environment variable has two underscores
where a file nests (`Smtp__Host`). Case, spaces and punctuation do not matter, so `SMTP Host` of a form and `SMTP_HOST` are the same key. The
port, and all else, is read beside the host that was found.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from watchbell.api.enums import TlsMode
from watchbell.convert.draft import Draft, UnreadableError, flag

PREFIXES = ("smtp", "emailsmtp", "notifyemail", "")
DEFAULT_PORT = 587
MAX_DEPTH = 8
MAX_KEYS = 2000
_NAMES: Mapping[str, tuple[str, ...]] = {
    "host": ("host", "server", "hostname", "smtphost", "smtpserver", "mailhost", "address"),
    "port": ("port", "smtpport"),
    "username": ("username", "user", "login", "smtpusername", "smtpuser"),
    "password": ("password", "pass", "smtppassword", "smtppass", "pwd"),
    "domain": ("domain", "smtpdomain"),
    "sender": ("from", "fromaddress", "fromemail", "defaultfromaddress", "sender", "senderemail", "mailfrom"),
    "sender_name": ("fromname", "sendername", "defaultfromdisplayname", "fromdisplayname", "displayname"),
    "reply_to": ("replyto", "replytoaddress"),
    "ssl": ("usessl", "ssl", "enablessl", "enablesecureconnection", "secure", "secureconnection", "smtps"),
    "tls": ("usetls", "tls", "enabletls", "starttls", "usestarttls"),
    "unverified": ("skipverify", "insecureskipverify", "insecure", "allowinsecure"),
    "existing_secret": ("existingsecret",),
}
_ENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.:-]*)\s*=\s*(.*)")


def read_json(text: str) -> dict[str, str]:
    """A JSON document as flat keys (`Smtp:Host`). Raises UnreadableError."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableError('it must be a JSON object, such as {"Smtp": {"Host": "smtp.example.com"}}')
    found: dict[str, str] = {}
    for key, value in _flat(document, ""):
        found[key] = value
        if len(found) > MAX_KEYS:
            raise UnreadableError(f"it has more than {MAX_KEYS} keys: give only the part about mail")
    return found


def read_env(text: str) -> dict[str, str]:
    """An .env file: `NAME=value`, quotes around the value, comments. Raises UnreadableError with the line's number."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _ENV_LINE.fullmatch(stripped)
        if match is None:
            raise UnreadableError(f"line {number} is not NAME=value")
        found[match[1].replace("__", ":")] = _unquoted(match[2])
    return found


def read_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, as far as its variables can be about mail."""
    pairs = ((name.replace("__", ":"), value) for name, value in environ.items())
    return {name: value for name, value in pairs if _plain(name).startswith(tuple(filter(None, PREFIXES)))}


def drafted(pairs: Mapping[str, str]) -> Draft:
    """The draft; keys that have nothing to do with mail are passed over. Raises UnreadableError where no host is."""
    plain = {_plain(key): (key, value) for key, value in reversed(list(pairs.items()))}
    prefix = next((prefix for prefix in PREFIXES if _find(plain, prefix, "host")), None)
    if prefix is None:
        raise UnreadableError("there is no host: give Smtp:Host, Email:Smtp:Host or Notify:Email:Host")
    found = {name: hit for name in _NAMES if (hit := _find(plain, prefix, name))}
    draft = Draft()
    for name, (key, value) in found.items():
        _take(draft, name, key, value)
    if not draft.port and "port" not in found:
        draft.port = DEFAULT_PORT
    _decide_tls(draft, found)
    return draft


def _flat(node: Mapping[str, Any], path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        raise UnreadableError(f"{path} is nested more than {MAX_DEPTH} deep")
    for key, value in node.items():
        name = f"{path}:{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _flat(value, name, depth + 1)
        elif isinstance(value, str | int | float | bool):
            yield name, str(value)


def _unquoted(text: str) -> str:
    text = text.strip()
    for quote in "\"'":
        if len(text) >= 2 and text[0] == quote:
            inner, closing, rest = text[1:].partition(quote)
            if closing and (not rest.strip() or rest.lstrip().startswith("#")):
                return inner
    return text.partition(" #")[0].rstrip()


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _find(plain: Mapping[str, tuple[str, str]], prefix: str, name: str) -> tuple[str, str] | None:
    return next((plain[prefix + word] for word in _NAMES[name] if plain.get(prefix + word, ("", ""))[1].strip()), None)


def _take(draft: Draft, name: str, key: str, value: str) -> None:
    match name:
        case "port":
            draft.set_port(key, value)
        case "password":
            draft.set_password(key, value)
        case "unverified" if flag(value):
            draft.refuse(key, "certificates are verified; trust a private CA with spec.tls.caConfigMapRef instead")
        case "existing_secret":
            draft.ignore(key, f"the chart's Secret {value[:80]}: name it in spec.auth.secretRef and let it opt in")
        case "host" | "username" | "domain" | "sender" | "sender_name" | "reply_to":
            setattr(draft, name, value.strip())


def _decide_tls(draft: Draft, found: Mapping[str, tuple[str, str]]) -> None:
    """What `ssl` means depends on the port: on 465 TLS from the first byte, else STARTTLS, as .NET and most forms have it."""
    wishes = {name: flag(found[name][1]) for name in ("ssl", "tls") if name in found}
    for name, wish in wishes.items():
        if wish is None:
            draft.refuse(found[name][0], f"must be true or false, not {found[name][1][:40]!r}")
    if draft.port in {465, 2465}:
        draft.mode = TlsMode.IMPLICIT
    elif any(wishes.values()):
        draft.mode = TlsMode.START_TLS
    elif (wishes and all(wish is False for wish in wishes.values())) or draft.port == 25:
        draft.mode = TlsMode.NONE
        key = next((found[name][0] for name in wishes), f"port {draft.port}")
        draft.change(key, "no encryption, as it was; better remove spec.tls and let STARTTLS protect the mail")
    else:
        draft.mode = TlsMode.START_TLS
        draft.change(found["host"][0], "encryption was not mentioned: STARTTLS with full verification")
