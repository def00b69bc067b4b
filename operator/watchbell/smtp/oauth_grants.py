"""The forms that are posted to a token endpoint, one for each grant.

Used by `oauth` just before the request. Reads the federated token's file (anew each time: the kubelet rotates it) and signs assertions; time
comes in as an argument. Sources: RFC 6749 §4.4 and §6, RFC 7521, RFC 7523; Microsoft's certificate credentials; Google's service-account flow.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.model import Grant, OAuthPlan
from watchbell.smtp.oauth_verdict import default_scope

Form = Mapping[str, str]
_ASSERTION_LIFE_S = 300
_GOOGLE_LIFE_S = 3600
_FILE_LIMIT_BYTES = 64 * 1024
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class GrantProblem:
    """Why no form can be made; `message` names the field or the key, never a value."""

    reason: Reason
    message: str


def form_of(plan: OAuthPlan, username: str, now: datetime) -> Form | GrantProblem:
    """The form for the plan's grant. `now` dates the assertions; each has an identifier of its own, as replay checks want."""
    match plan.grant:
        case Grant.CLIENT_CREDENTIALS:
            return _client_credentials(plan, now)
        case Grant.WORKLOAD_IDENTITY:
            return _workload_identity(plan)
        case Grant.REFRESH_TOKEN:
            return _refresh_token(plan)
        case Grant.GOOGLE_SERVICE_ACCOUNT:
            return _google_service_account(plan, username, now)


def _scope(plan: OAuthPlan) -> str:
    return " ".join(plan.scopes) or default_scope(plan.token_url)


def _scoped(form: dict[str, str], plan: OAuthPlan) -> dict[str, str]:
    return form | ({"scope": scope} if (scope := _scope(plan)) else {})


def _client_credentials(plan: OAuthPlan, now: datetime) -> Form | GrantProblem:
    form = _scoped({"grant_type": "client_credentials", "client_id": plan.client_id}, plan)
    if plan.client_secret:
        return form | {"client_secret": plan.client_secret.reveal()}
    if plan.client_cert_pem is None or not plan.client_key_pem:
        return _invalid("ClientCredentials needs client-secret, or client.crt and client.key, in the Secret")
    assertion = _certificate_assertion(plan, plan.client_cert_pem, plan.client_key_pem, now)
    return assertion if isinstance(assertion, GrantProblem) else form | _asserted(assertion)


def _asserted(assertion: str) -> dict[str, str]:
    return {"client_assertion_type": _CLIENT_ASSERTION, "client_assertion": assertion}


def _certificate_assertion(plan: OAuthPlan, cert_pem: str, key: Sensitive, now: datetime) -> str | GrantProblem:
    seconds = int(now.timestamp())
    claims = {
        "aud": plan.token_url,
        "iss": plan.client_id,
        "sub": plan.client_id,
        "jti": str(uuid4()),
        "iat": seconds,
        "nbf": seconds,
        "exp": seconds + _ASSERTION_LIFE_S,
    }
    # Imported when first needed: the library behind it takes ten megabytes, and most connectors never sign anything.
    from watchbell.smtp.assertions import UnusableKeyError, signed_by_certificate  # noqa: PLC0415 - see above

    try:
        return signed_by_certificate(claims, cert_pem, key)
    except UnusableKeyError as error:
        return _rejected(f"client.crt or client.key cannot be used: {error}")


def _workload_identity(plan: OAuthPlan) -> Form | GrantProblem:
    form = _scoped({"grant_type": "client_credentials", "client_id": plan.client_id}, plan)
    token = _federated_token(plan.federated_token_file)
    return token if isinstance(token, GrantProblem) else form | _asserted(token)


def _federated_token(path: str | None) -> str | GrantProblem:
    if not path:
        return _invalid(
            "WorkloadIdentity needs a projected token: the operator's pod has no AZURE_FEDERATED_TOKEN_FILE"
        )
    try:
        with Path(path).open("rb") as file:
            data = file.read(_FILE_LIMIT_BYTES + 1)
    except OSError as error:
        return _invalid(f"the projected token cannot be read: {type(error).__name__}")
    token = data.decode("ascii", "ignore").strip()
    if not token or len(data) > _FILE_LIMIT_BYTES:
        return _invalid("the projected token is empty or too large")
    return token


def _refresh_token(plan: OAuthPlan) -> Form | GrantProblem:
    if not plan.refresh_token:
        return _invalid("RefreshToken needs the key refresh-token in the Secret")
    form = {"grant_type": "refresh_token", "client_id": plan.client_id, "refresh_token": plan.refresh_token.reveal()}
    secret = {"client_secret": plan.client_secret.reveal()} if plan.client_secret else {}
    scope = {"scope": " ".join(plan.scopes)} if plan.scopes else {}
    return form | secret | scope


def _google_service_account(plan: OAuthPlan, username: str, now: datetime) -> Form | GrantProblem:
    try:
        account = json.loads(plan.service_account_json.reveal()) if plan.service_account_json else {}
        seconds = int(now.timestamp())
        claims = {
            "iss": account["client_email"],
            "sub": plan.subject or username,
            "scope": _scope(plan) or "https://mail.google.com/",
            "aud": plan.token_url,
            "iat": seconds,
            "exp": seconds + _GOOGLE_LIFE_S,
        }
        key, key_id = Sensitive(str(account["private_key"])), str(account.get("private_key_id", ""))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return _rejected(f"service-account.json cannot be used: {type(error).__name__}")
    from watchbell.smtp.assertions import UnusableKeyError, signed_by_key  # noqa: PLC0415 - as above

    try:
        return {"grant_type": _JWT_BEARER, "assertion": signed_by_key(claims, key, key_id)}
    except UnusableKeyError as error:
        return _rejected(f"service-account.json cannot be used: {error}")


def _invalid(message: str) -> GrantProblem:
    return GrantProblem(Reason.OAUTH_CONFIG_INVALID, message)


def _rejected(message: str) -> GrantProblem:
    return GrantProblem(Reason.OAUTH_CLIENT_REJECTED, message)
