"""Tokens of reset links: signed, for one account of one application, until a time. Pure: time and keys come in.

A JWS in compact form (RFC 7515, RFC 7519) with HMAC-SHA-256; the format stands in docs/account-mail.md, since other programs check it too. The same
claims and key give the same token, so a mail that is sent again has the same link. Imported only where a token is made or checked: PyJWT and
cryptography take ten megabytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt

from watchbell.accounts.keys import KeyRing

ALGORITHM = "HS256"
PASSWORD_RESET = "password-reset"  # noqa: S105 - what a token is for
MAX_TOKEN_CHARACTERS = 4096
CLOCKS_APART = timedelta(seconds=60)
"""A token may be from so far ahead: it was made by another clock."""
_CLAIMS = ("iss", "aud", "sub", "jti", "iat", "exp", "purpose")
_YEAR_9999 = 253_402_300_799


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says; times are aware and whole seconds, `token_id` is the AccountRecovery's uid."""

    issuer: str
    audience: str
    account: str
    token_id: str
    issued: datetime
    expires: datetime
    purpose: str = PASSWORD_RESET


class Fault(StrEnum):
    """What is wrong with a token."""

    MALFORMED = "Malformed"
    WRONG_ALGORITHM = "WrongAlgorithm"
    UNKNOWN_KEY = "UnknownKey"
    BAD_SIGNATURE = "BadSignature"
    CLAIM_MISSING = "ClaimMissing"
    WRONG_PURPOSE = "WrongPurpose"
    WRONG_AUDIENCE = "WrongAudience"
    WRONG_ISSUER = "WrongIssuer"
    NOT_YET_VALID = "NotYetValid"
    EXPIRED = "Expired"


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a token counts for nothing; `message` is one sentence and holds nothing of the token."""

    fault: Fault
    message: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must be for; an empty audience or issuer is not looked at."""

    audience: str = ""
    issuer: str = ""
    purpose: str = PASSWORD_RESET


def sign(claims: Claims, ring: KeyRing) -> str:
    """The token."""
    payload = {
        "iss": claims.issuer,
        "aud": claims.audience,
        "sub": claims.account,
        "jti": claims.token_id,
        "iat": int(claims.issued.timestamp()),
        "exp": int(claims.expires.timestamp()),
        "purpose": claims.purpose,
    }
    return jwt.encode(payload, ring.signing_key, algorithm=ALGORITHM, headers={"kid": ring.signs})


def key_id(token: str) -> str:
    """The `kid` that the token names, which nobody has checked; empty if it names none."""
    header = _header(token)
    kid = None if isinstance(header, Refused) else header.get("kid")
    return kid if isinstance(kid, str) else ""


def verify(token: str, keys: Mapping[str, bytes], expected: Expected, now: datetime) -> Claims | Refused:
    """What the token says, if a key of `keys` signed it and it is what is expected and still valid."""
    payload = _payload(token, keys)
    if isinstance(payload, Refused):
        return payload
    claims = _claims(payload)
    return claims if isinstance(claims, Refused) else _judge(claims, expected, now) or claims


def _payload(token: str, keys: Mapping[str, bytes]) -> dict[str, Any] | Refused:
    header = _header(token)
    if isinstance(header, Refused):
        return header
    if header.get("alg") != ALGORITHM:
        return Refused(Fault.WRONG_ALGORITHM, f"the token is not signed with {ALGORITHM}")
    key = keys.get(kid) if isinstance(kid := header.get("kid"), str) else None
    if key is None:
        return Refused(Fault.UNKNOWN_KEY, "the token names a key that is not (or no longer) known")
    try:
        return dict(jwt.decode(token, key, algorithms=[ALGORITHM], options=_OPTIONS))
    except jwt.InvalidSignatureError:
        return Refused(Fault.BAD_SIGNATURE, "the signature does not fit: the token was changed, or another key made it")
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return Refused(Fault.MALFORMED, "the token's content is not what a token holds")


def _header(token: str) -> dict[str, Any] | Refused:
    if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        return Refused(Fault.MALFORMED, f"the token is not {MAX_TOKEN_CHARACTERS} characters of ASCII or less")
    try:
        return dict(jwt.get_unverified_header(token))
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return Refused(Fault.MALFORMED, "the token is no JWS in compact form")


# What is said of time and audience is checked below: the library would ask its own clock.
_OPTIONS: Any = {f"verify_{name}": False for name in ("exp", "iat", "nbf", "aud", "iss", "sub", "jti")}


def _claims(payload: Mapping[str, Any]) -> Claims | Refused:
    times = [payload.get(name) for name in ("iat", "exp")]
    texts = [payload.get(name) for name in _CLAIMS if name not in {"iat", "exp"}]
    if not all(isinstance(text, str) and text for text in texts) or not all(map(_is_time, times)):
        return Refused(Fault.CLAIM_MISSING, f"the token must hold {', '.join(_CLAIMS)}, as texts and whole seconds")
    issued, expires = (datetime.fromtimestamp(time, UTC) for time in times if time is not None)
    issuer, audience, account, token_id, purpose = map(str, texts)
    return Claims(issuer, audience, account, token_id, issued, expires, purpose)


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _YEAR_9999


def _judge(claims: Claims, expected: Expected, now: datetime) -> Refused | None:
    if claims.purpose != expected.purpose:
        return Refused(Fault.WRONG_PURPOSE, f"the token is not for {expected.purpose}")
    if expected.audience and claims.audience != expected.audience:
        return Refused(Fault.WRONG_AUDIENCE, f"the token is not for {expected.audience}")
    if expected.issuer and claims.issuer != expected.issuer:
        return Refused(Fault.WRONG_ISSUER, f"the token is not from {expected.issuer}")
    if claims.issued > now + CLOCKS_APART:
        return Refused(Fault.NOT_YET_VALID, "the token was made in the future: one of the clocks is wrong")
    if now >= claims.expires:
        return Refused(Fault.EXPIRED, f"the token expired at {claims.expires:%Y-%m-%dT%H:%M:%SZ}")
    return None
