"""Recovery codes: derived, so that they need not be stored, and hashed slowly, for the application that checks them. Pure: salts come in.

A code is ten characters of Crockford's alphabet (no I, L, O, U), 50 bits of HKDF-SHA-256 (RFC 5869) from a signing key and the uid of the
AccountRecovery: the same object has the same codes, another one has others. Formats: docs/account-mail.md. Imported only where codes are made or
checked, for argon2's sake.
"""

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from itertools import count, islice

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 10
MAX_CODES = 20
SALT = b"watchbell/recovery-codes/v1"
SALT_BYTES = 16
HASH_BEGINS = "$argon2id$v=19$m=19456,t=2,p=1$"
"""19 MiB and two passes, what OWASP asks for at least; with 50 bits to guess it need not be more, and an operator has little memory."""
HASH_MAX_CHARACTERS = 160

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=SALT_BYTES, type=Type.ID)
# Whatever a mail program or a pen makes of the hyphen; what looks alike is taken for what it must be.
_GAPS = str.maketrans(dict.fromkeys("-\u2010\u2011\u2012\u2013\u2014\u2212 \t\r\n\u00a0"))
_ALIKE = str.maketrans({"O": "0", "I": "1", "L": "1"})


def derive(key: bytes, uid: str, number: int) -> tuple[str, ...]:
    """So many codes, each another, as people read them (`7K3QX-9MPRT`)."""
    return tuple(islice(_each_once(key, uid), number))


def _each_once(key: bytes, uid: str) -> Iterator[str]:
    extracted = hmac.digest(SALT, key, hashlib.sha256)
    seen: set[str] = set()
    for index in count(1):
        block = hmac.digest(extracted, f"{uid}/{index}".encode() + b"\x01", hashlib.sha256)
        bits = int.from_bytes(block[:7]) >> 6
        code = "".join(ALPHABET[bits >> 5 * place & 31] for place in reversed(range(LENGTH)))
        if code not in seen:
            seen.add(code)
            yield f"{code[:5]}-{code[5:]}"


def normal(typed: str) -> str | None:
    """A code as it is hashed: ten upper-case characters without the hyphen. None for what can be no code."""
    plain = typed[:64].translate(_GAPS)
    if not plain.isascii():
        return None
    plain = plain.upper().translate(_ALIKE)
    return plain if len(plain) == LENGTH and set(plain) <= set(ALPHABET) else None


def slow_hash(code: str, salt: bytes) -> str:
    """Argon2id in the PHC form. Takes some 30 ms and 19 MiB; `salt` is 16 random bytes."""
    plain = normal(code)
    if plain is None or len(salt) != SALT_BYTES:
        raise ValueError("only a code can be hashed, with a salt of 16 bytes")
    return _HASHER.hash(plain, salt=salt)


def is_hash(text: str) -> bool:
    """Whether this is a hash of ours; one with other parameters could cost any amount of memory to look at."""
    return text.startswith(HASH_BEGINS) and len(text) <= HASH_MAX_CHARACTERS


def fits(code: str, hashed: str) -> bool:
    """Whether the hash is that of the code. Takes some 30 ms and 19 MiB."""
    plain = normal(code)
    if plain is None or not is_hash(hashed):
        return False
    try:
        return _HASHER.verify(hashed, plain)
    except (VerificationError, InvalidHashError):
        return False


def place_of(code: str, hashes: Sequence[str]) -> int | None:
    """Which of the hashes it is, from 0; None if it is none. Looks at 20 at most."""
    if normal(code) is None:
        return None
    return next((place for place, hashed in enumerate(hashes[:MAX_CODES]) if fits(code, hashed)), None)
