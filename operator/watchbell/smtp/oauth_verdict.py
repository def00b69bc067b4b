"""What a token endpoint's answer means: a token that SMTP will take, or a fault of stage Token.

Used by `oauth` after the request. Pure. Sources: RFC 6749 §5.1 and §5.2, the AADSTS error codes of Microsoft Entra ID, RFC 7519 for the claims,
which are only read for a better message and never trusted.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Fault, OAuthPlan, StageName
from watchbell.smtp.server_text import sanitise
from watchbell.smtp.token_url import host_of
from watchbell.smtp.verdict import Evidence, fault

_MICROSOFT = (
    "login.microsoftonline.com",
    "login.microsoftonline.us",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
)
_GOOGLE = ("oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com")
AUTHORITIES = (*_MICROSOFT, *_GOOGLE)
_EXCHANGE_AUDIENCES = frozenset(
    {
        "https://outlook.office365.com",
        "https://outlook.office.com",
        "https://outlook.office365.us",
        "https://partner.outlook.cn",
        "https://ps.outlook.com",
        "00000002-0000-0ff1-ce00-000000000000",
    }
)
_ROLE = "SMTP.SendAsApp"
_DELEGATED_SCOPE = "SMTP.Send"
_USUAL_LIFE_S = 3600.0
_LIFE_LIMITS_S = (60.0, 86_400.0)
_TOKEN_LIMIT_CHARS = 16 * 1024

_REJECTED_CODES = frozenset({"7000215", "7000222", "700027", "7000216", "700024", "7000112"})
_CONFIG_CODES = frozenset(
    {"90002", "700016", "70021", "700213", "700211", "700212", "50034", "900023", "70011", "500011", "1002012"}
)
_UNAVAILABLE_CODES = frozenset({"90033", "50196", "90019", "700229"})
_ERRORS: Mapping[str, Reason] = {
    "invalid_client": Reason.OAUTH_CLIENT_REJECTED,
    "invalid_grant": Reason.OAUTH_CONFIG_INVALID,
    "unauthorized_client": Reason.OAUTH_CONFIG_INVALID,
    "invalid_request": Reason.OAUTH_CONFIG_INVALID,
    "unsupported_grant_type": Reason.OAUTH_CONFIG_INVALID,
    "access_denied": Reason.OAUTH_CONFIG_INVALID,
    "invalid_scope": Reason.OAUTH_TOKEN_WRONG_SCOPE,
    "invalid_resource": Reason.OAUTH_TOKEN_WRONG_SCOPE,
    "temporarily_unavailable": Reason.OAUTH_UNAVAILABLE,
    "server_error": Reason.OAUTH_UNAVAILABLE,
    "slow_down": Reason.OAUTH_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, already bounded."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Granted:
    """A token and how long it lives from the request on."""

    value: Sensitive
    life_s: float


def default_scope(token_url: str) -> str:
    """The scope that SMTP needs from a known authority; empty for others."""
    host = host_of(token_url)
    if host in _MICROSOFT:
        return "https://outlook.office365.com/.default"
    return "https://mail.google.com/" if host in _GOOGLE else ""


def read_answer(answer: Answer, plan: OAuthPlan, context: ReplyContext) -> Granted | Fault:
    """The token, or one fault that quotes the endpoint's error and description, scrubbed of secrets."""
    told = _object(answer.body)
    if answer.status != 200 or "access_token" not in told:
        return _refusal(answer.status, told, context)
    value = told["access_token"]
    if (
        not isinstance(value, str)
        or not value.isascii()
        or not value.isprintable()
        or not 0 < len(value) <= _TOKEN_LIMIT_CHARS
    ):
        return _fault(Reason.OAUTH_UNAVAILABLE, "the access token is not a usable text", context)
    token = Sensitive(value)
    if problem := _wrong_scope(value, plan):
        return _fault(Reason.OAUTH_TOKEN_WRONG_SCOPE, problem, replace(context, secrets=(*context.secrets, token)))
    return Granted(token, _life_s(told.get("expires_in")))


def _refusal(status: int, told: Mapping[str, Any], context: ReplyContext) -> Fault:
    if status == 429 or status >= 500 or 300 <= status < 400 or not told:
        words = "answered without JSON" if status == 200 else f"answered HTTP {status}"
        return _fault(Reason.OAUTH_UNAVAILABLE, f"the token endpoint {words}", context, status)
    error, description = _text(told, "error"), _text(told, "error_description")
    reason = _reason(status, error, description)
    return _fault(reason, f"{error or f'HTTP {status}'}: {description}".rstrip(": "), context, status)


def _reason(status: int, error: str, description: str) -> Reason:
    codes = set(re.findall(r"AADSTS(\d{4,9})", description))
    if codes & _REJECTED_CODES:
        return Reason.OAUTH_CLIENT_REJECTED
    if codes & _CONFIG_CODES:
        return Reason.OAUTH_CONFIG_INVALID
    if codes & _UNAVAILABLE_CODES:
        return Reason.OAUTH_UNAVAILABLE
    usual = Reason.OAUTH_CLIENT_REJECTED if status == 401 else Reason.OAUTH_CONFIG_INVALID
    return _ERRORS.get(error, usual)


def _fault(reason: Reason, detail: str, context: ReplyContext, status: int | None = None) -> Fault:
    line = (
        f"POST https://{context.host}: HTTP {status}: {detail}" if status else f"POST https://{context.host}: {detail}"
    )
    return fault(StageName.TOKEN, reason, context, detail, Evidence(chain=(line,)))


def _wrong_scope(token: str, plan: OAuthPlan) -> str:
    """Why Exchange will refuse the token, if that can be seen. Opaque tokens and those for other servers are not judged."""
    claims = _claims(token)
    is_for_exchange = host_of(plan.token_url) in _MICROSOFT or any("outlook." in s for s in plan.scopes)
    if not claims or not is_for_exchange:
        return ""
    audience = str(claims.get("aud", "")).rstrip("/")
    if audience not in _EXCHANGE_AUDIENCES:
        return f"the token is for {sanitise(audience, limit_bytes=128) or 'no audience'}, not for https://outlook.office365.com"
    if _holds(claims.get("roles"), _ROLE) or _holds(claims.get("scp"), _DELEGATED_SCOPE):
        return ""
    return f"the token lacks the role {_ROLE}"


def _holds(claim: object, wanted: str) -> bool:
    names = claim.split() if isinstance(claim, str) else claim
    return isinstance(names, list) and wanted in names


def _claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return _object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return {}


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(told: Mapping[str, Any], key: str) -> str:
    value = told.get(key)
    return sanitise(value, limit_bytes=400) if isinstance(value, str) else ""


def _life_s(expires_in: object) -> float:
    try:
        life_s = float(str(expires_in))
    except ValueError:
        life_s = _USUAL_LIFE_S
    lowest, highest = _LIFE_LIMITS_S
    return min(max(life_s, lowest), highest) if life_s == life_s else _USUAL_LIFE_S  # noqa: PLR0124 - not a number
