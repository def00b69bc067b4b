"""Text that came from the network, made fit for a status, a log line or a mail: cleaned, scrubbed of secrets, bounded.

Comes after a reply was read and before anybody stores it. Pure. Servers echo bad commands, so even a reply can hold a password
(reference: RFC 4954 §4, CWE-532); terminals and browsers act on control and bidi characters (CVE-2021-42574).
"""

import base64
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, quote_plus

from watchbell.api.sensitive import Sensitive

ENTRY_LIMIT_BYTES = 1024
CHAIN_LIMIT = 8
MESSAGE_LIMIT_CHARS = 512
_INPUT_LIMIT_CHARS = 64 * 1024
_SHORT_SECRET_CHARS = 4
_SECRET_LIMIT = 256
_MASKS = ("[redacted]", "********")
_UNFIT = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Zs"})
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def sanitise(text: str, secrets: Sequence[Sensitive] = (), limit_bytes: int = ENTRY_LIMIT_BYTES) -> str:
    """`text` as one printable line of at most `limit_bytes` bytes of UTF-8, without any of `secrets` in clear, base64, URL or JSON form.

    Undecodable bytes (surrogate escapes) are read as UTF-8 where they are, and become U+FFFD where they are not.
    """
    raw = _decoded(text[:_INPUT_LIMIT_CHARS])
    line = _cleaned(_scrubbed(raw, secrets))
    return _capped(_scrubbed(line, secrets), limit_bytes)


def bounded_chain(entries: Sequence[str], secrets: Sequence[Sensitive] = ()) -> tuple[str, ...]:
    """At most eight sanitised, non-empty entries without repetition, outermost first; the innermost ones are what is kept when it is too long."""
    clean = list(dict.fromkeys(filter(None, (sanitise(entry, secrets) for entry in entries))))
    return tuple(clean if len(clean) <= CHAIN_LIMIT else [clean[0], *clean[len(clean) - CHAIN_LIMIT + 1 :]])


def one_line(message: str, secrets: Sequence[Sensitive] = ()) -> str:
    """A sanitised message of at most 512 characters, cut with an ellipsis."""
    clean = sanitise(message, secrets, 4 * MESSAGE_LIMIT_CHARS)
    return clean if len(clean) <= MESSAGE_LIMIT_CHARS else clean[: MESSAGE_LIMIT_CHARS - 1] + "…"


def guess_protocol(first_bytes: bytes) -> str:
    """`HTTP`, `SSH`, `TLS` or empty: the only thing that is ever said of bytes that are not SMTP (they may be a secret of another service)."""
    if first_bytes.startswith((b"HTTP/", b"<!DOCTYPE", b"<html")):
        return "HTTP"
    if first_bytes.startswith(b"SSH-"):
        return "SSH"
    return "TLS" if first_bytes[:2] in {b"\x15\x03", b"\x16\x03"} else ""


def _decoded(text: str) -> str:
    return _LONE_SURROGATE.sub("\ufffd", text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _cleaned(text: str) -> str:
    return " ".join("".join(" " if unicodedata.category(c) in _UNFIT else c for c in text).split())


def _capped(text: str, limit_bytes: int) -> str:
    data = text.encode()
    if len(data) <= limit_bytes:
        return text
    return data[: limit_bytes - 3].decode("utf-8", "ignore") + "…"


def _scrubbed(text: str, secrets: Sequence[Sensitive]) -> str:
    for secret in secrets:
        if secret:
            text = _without(text, secret)
    return text


@dataclass(frozen=True, slots=True, repr=False)
class _Shapes:
    """Every shape in which one secret may come back: texts as they are, and the characters that it fixes in any base64 around it."""

    texts: tuple[str, ...]
    cores: tuple[str, ...]
    mask: str


@lru_cache(maxsize=_SECRET_LIMIT)
def _shapes(secret: Sensitive) -> _Shapes:
    """Remembered, since a session asks for each reply; the secret itself stays in memory no longer than its relay and this cache's turn."""
    value = secret.reveal()
    forms = {value, _cleaned(value), value.strip(), quote(value), quote(value, safe=""), quote_plus(value)}
    texts = sorted(filter(None, forms | {json.dumps(value)[1:-1]}), key=len, reverse=True)
    mask = next((mask for mask in _MASKS if value not in mask), "…")
    return _Shapes(tuple(texts), tuple(_base64_cores(value.encode("utf-8", "surrogatepass"))), mask)


def _without(text: str, secret: Sensitive) -> str:
    shapes = _shapes(secret)
    for form in shapes.texts:
        if form in text:
            text = _masked(text, form, shapes.mask)
    if any(core in text for core in shapes.cores):
        text = _BASE64_RUN.sub(
            lambda run: shapes.mask if any(core in run[0] for core in shapes.cores) else run[0], text
        )
    value = secret.reveal()
    survives = len(value) >= _SHORT_SECRET_CHARS and value in text
    return shapes.mask if survives else text


def _masked(text: str, form: str, mask: str) -> str:
    """A very short secret goes only where it stands alone, or it would eat every reply code."""
    if len(form) >= _SHORT_SECRET_CHARS:
        return text.replace(form, mask)
    return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", lambda _: mask, text)


def _base64_cores(value: bytes) -> Iterator[str]:
    """The characters that `value` fixes wherever it stands in a longer encoded text (NUL user NUL password), for each alignment."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value).decode().rstrip("=")
        core = encoded[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]
        if len(core) >= _SHORT_SECRET_CHARS:
            yield core
            yield core.replace("+", "-").replace("/", "_")
