"""Signs a finished mail (DKIM, RFC 6376): the last thing that happens to its bytes before they go out. Pure.

Before: `message` has built the mail in 7 bits. After: the same bytes with one header more. The time in the signature is the mail's own date, and both
algorithms give the same signature each time, so every attempt carries the same bytes. Most providers sign for themselves: this is for relays that
do not.

Header and body are canonicalised `relaxed` (§3.4): a server on the way may fold lines anew without breaking the signature.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from watchbell.mail.headers import FOLD_AT

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

MIN_RSA_BITS = 1024  # RFC 8301 §3.2: verifiers refuse less; new keys should have 2048.
MAX_RSA_BITS = 4096
# §5.4: what makes the mail what it is. Not those that programs add or change for display.
_SIGNED = re.compile(
    r"from|to|cc|reply-to|subject|date|message-id|in-reply-to|references|mime-version|content-type|content-transfer-encoding|"
    r"auto-submitted|feedback-id|list-[a-z]+"
)
# §8.15: named once more than they occur, so that nobody can add a second one.
_SEALED = ("from", "to", "cc", "reply-to", "subject")
_HEADER = re.compile(rb"([!-9;-~]+):((?:[^\r]|\r\n[ \t])*)\r\n")
_SPACE = re.compile(rb"[ \t]+")
_LINE_SPACE = re.compile(rb"[ \t]+\r\n")
_LAST_LINES = re.compile(rb"(?:\r\n)+\Z")


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """Why a text is no key that could sign, as the end of a sentence; nothing of it shows."""

    message: str


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key and where its public half stands: the TXT record `<selector>._domainkey.<domain>`."""

    domain: str
    selector: str
    private: "RSAPrivateKey | Ed25519PrivateKey" = field(repr=False, compare=False)

    @property
    def algorithm(self) -> str:
        """As the tag `a` has it (RFC 6376 §3.3, RFC 8463)."""
        return "rsa-sha256" if hasattr(self.private, "key_size") else "ed25519-sha256"


def private_key(pem: str) -> "RSAPrivateKey | Ed25519PrivateKey | KeyProblem":
    """The key of a PEM block: RSA (PKCS#1 or PKCS#8) or Ed25519 (PKCS#8), not encrypted."""
    # The library takes ten megabytes, which only those pay who sign.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - see above
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - see above

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        return KeyProblem("is encrypted with a passphrase; store it without one")
    except (ValueError, UnsupportedAlgorithm):
        return KeyProblem(
            "is not a private key in PEM form (-----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----)"
        )
    if isinstance(key, Ed25519PrivateKey):
        return key
    if not isinstance(key, RSAPrivateKey):
        return KeyProblem("is neither an RSA nor an Ed25519 key: DKIM knows no others")
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return KeyProblem(f"has {key.key_size} bits; DKIM wants {MIN_RSA_BITS} to {MAX_RSA_BITS}, best 2048")
    return key


def signed(payload: bytes, key: DkimKey, when: datetime) -> bytes:
    """The mail with its signature in front. `payload` has CRLF line ends and is not dot-stuffed; `when` is aware.

    Some 0.7 ms for a key of 2,048 bits and a short mail; the larger part of it does not hold up other threads.
    """
    head, _, body = payload.partition(b"\r\n\r\n")
    found = {match[1].decode().lower(): match[2] for match in _HEADER.finditer(head + b"\r\n")}
    names = [name for name in found if _SIGNED.fullmatch(name)]
    sealed = [*names, *_SEALED]
    unsigned = _header(key, sealed, _body_hash(body), int(when.timestamp()))
    lines = [_relaxed(name, found[name]) for name in names]
    # The second of each does not exist, and counts as nothing (§5.4.2). Of one that is not there at all neither does the first.
    data = b"".join(f"{line}\r\n".encode("latin-1") for line in lines) + _relaxed("dkim-signature", unsigned).encode(
        "latin-1"
    )
    signature = base64.b64encode(_sign(key, data)).decode("ascii")
    return b"DKIM-Signature:" + unsigned + "".join(_folded(signature)).encode("ascii") + b"\r\n" + payload


def _sign(key: DkimKey, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - see `private_key`
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415 - see `private_key`
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415 - see `private_key`

    if isinstance(key.private, Ed25519PrivateKey):
        return key.private.sign(hashlib.sha256(data).digest())  # RFC 8463 §3
    return key.private.sign(data, PKCS1v15(), SHA256())


def _header(key: DkimKey, names: list[str], body_hash: str, when_s: int) -> bytes:
    """The value of the header (§3.5) up to `b=`, folded."""
    tags = (
        f" v=1; a={key.algorithm}; c=relaxed/relaxed; d={key.domain};\r\n s={key.selector}; t={when_s}; bh={body_hash};"
    )
    return f"{tags}\r\n h={_list(names)};\r\n b=".encode("ascii")


def _list(names: list[str]) -> str:
    """Names with colons between them, folded behind a colon (§2.8)."""
    out, width = "", 3
    for index, name in enumerate(names):
        piece = name + (":" if index + 1 < len(names) else "")
        if width + len(piece) > FOLD_AT:
            out, width = out + "\r\n  ", 2
        out, width = out + piece, width + len(piece)
    return out


def _folded(text: str) -> Iterator[str]:
    for start in range(0, len(text), FOLD_AT - 4):
        yield ("\r\n  " if start else "") + text[start : start + FOLD_AT - 4]


def _relaxed(name: str, value: bytes) -> str:
    """§3.4.2: lower-case name, unfolded, one space for each run of them, none at the ends."""
    flat = _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" \t")
    return f"{name}:{flat.decode('latin-1')}"


def _body_hash(body: bytes) -> str:
    """§3.4.4, §3.7: runs of white space as one space, none at line ends, no empty lines at the end, and one line end at the end of what is left."""
    relaxed = _LINE_SPACE.sub(b"\r\n", _SPACE.sub(b" ", body))
    relaxed = _LAST_LINES.sub(b"", relaxed)
    return base64.b64encode(hashlib.sha256(relaxed + b"\r\n" if relaxed else b"").digest()).decode("ascii")
