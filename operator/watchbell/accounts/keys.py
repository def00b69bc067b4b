"""The keys that account mail is signed with, as a Secret holds them. Pure: the Secret comes in, a ring of keys or a named trouble goes out.

Each key of the Secret's data is a key id (`kid`), each value a key; the annotation says which one signs, all of them verify. So a key is rotated by
adding one, moving the annotation, and taking the old one away once its last link has expired. No message ever holds a value.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchbell.api.names import ANNOTATION_SIGNS_WITH, LABEL_SIGNING_KEY
from watchbell.api.reasons import Reason

MIN_KEY_BYTES = 32
"""As many as HMAC-SHA-256 gives out (RFC 7518 §3.2)."""
MAX_KEY_BYTES = 1024
MAX_KEYS = 16


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps account mail from being made: a reason for the condition, and a message with the cure."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """Keys by their id; `signs` is the id of the one that signs."""

    signs: str
    keys: Mapping[str, bytes]

    @property
    def signing_key(self) -> bytes:
        """The key that signs."""
        return self.keys[self.signs]

    def __repr__(self) -> str:
        """Ids only: the keys never show."""
        return f"KeyRing(signs={self.signs!r}, ids={sorted(self.keys)!r})"


def keyring_of(secret: Mapping[str, Any]) -> KeyRing | Trouble:
    """The ring of a Secret of the API server (`v1`, data in base64).

    The Secret opts in with a label of its own, not with the one for connectors: else whoever may create an AccountRecovery could have the password
    of a relay used as a key, and guess it from the token.
    """
    metadata = secret["metadata"]
    namespace, name = str(metadata["namespace"]), str(metadata["name"])
    if (metadata.get("labels") or {}).get(LABEL_SIGNING_KEY) != "true":
        return Trouble(
            Reason.SECRET_NOT_OPTED_IN,
            f"Secret {name} does not say that account mail may be signed with it. Opt in: "
            f"kubectl -n {namespace} label secret {name} {LABEL_SIGNING_KEY}=true",
        )
    keys = {str(key): _decoded(str(value)) for key, value in (secret.get("data") or {}).items()}
    signs = (metadata.get("annotations") or {}).get(ANNOTATION_SIGNS_WITH, "")
    return keyring(keys, signs, f"Secret {name}", f"kubectl -n {namespace} annotate --overwrite secret {name}")


def keyring(keys: Mapping[str, bytes], signs: str, where: str, annotate: str) -> KeyRing | Trouble:
    """The checked ring. `where` names where the keys come from, `annotate` is the beginning of the command that says which one signs."""
    if not keys or len(keys) > MAX_KEYS:
        return Trouble(Reason.SECRET_KEY_MISSING, f"{where} must hold 1 to {MAX_KEYS} keys, and holds {len(keys)}")
    for kid in sorted(keys):
        if problem := _problem(keys[kid]):
            reason = (
                Reason.MASKED_PLACEHOLDER if not keys[kid].strip(b"*\r\n") and keys[kid] else Reason.SECRET_MALFORMED
            )
            return Trouble(
                reason, f"Key {kid} of {where} {problem}. A good one: head -c 32 /dev/urandom | base64 | tr -d '\\n'"
            )
    if not signs and len(keys) == 1:
        return KeyRing(next(iter(keys)), keys)
    if signs not in keys:
        named = f"names {signs}, which it does not hold" if signs else "does not say which"
        return Trouble(
            Reason.SIGNING_KEY_UNCLEAR,
            f"{where} holds {', '.join(sorted(keys))}; one of them signs, and its annotation {named}. Say it: "
            f"{annotate} {ANNOTATION_SIGNS_WITH}={max(keys)}",
        )
    return KeyRing(signs, keys)


def _problem(key: bytes) -> str:
    if key and not key.strip(b"*\r\n"):
        return "holds only asterisks: a mask was saved over the real value"
    if key.endswith((b"\n", b"\r")):
        return "ends with a line break, which some programs would leave off when they check a token"
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        return f"has {len(key)} bytes and must have {MIN_KEY_BYTES} to {MAX_KEY_BYTES}"
    return ""


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""
