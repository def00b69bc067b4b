"""Tokens for XOAUTH2 and OAUTHBEARER: asked for before the server is dialled, kept until four fifths of their life are over.

Comes before `session`'s login; knows nothing of SMTP but the stage name Token. The token endpoint gets a secret, so it must be https, a host that is
allowed, and an address that the egress policy allows at the moment of the connection; redirects are not followed. The answers' meaning is in
`oauth_verdict`, the forms that are posted in `oauth_grants`.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.breakage import breakage_of
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.egress import EgressPolicy, check_address, is_host_named
from watchbell.smtp.model import Fault, OAuthPlan, StageName, TlsPlan
from watchbell.smtp.oauth_grants import Form, GrantProblem, form_of
from watchbell.smtp.oauth_verdict import AUTHORITIES, Answer, Granted, read_answer
from watchbell.smtp.resolver import resolve
from watchbell.smtp.tls import Unusable, tls_context
from watchbell.smtp.token_url import TokenUrl, parse_token_url
from watchbell.smtp.verdict import classify_breakage, fault

_DEADLINE_S = 10.0
_ANSWER_LIMIT_BYTES = 64 * 1024
_RENEW_AT = 0.8
_SPARE_S = 30.0
_PLAN_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. `renew_at` and `expires_at` are seconds of the source's monotonic clock."""

    value: Sensitive
    renew_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class TokenEgress:
    """Where tokens may be asked for. `is_host_allowed` None: known authorities and the policy's `allow_hosts`.

    `has_plain_loopback` lets `http://127.0.0.1` through, for tests and sidecars; `ssl_context` None: the system's roots.
    """

    policy: EgressPolicy
    is_host_allowed: Callable[[str], bool] | None = None
    ssl_context: ssl.SSLContext | None = None
    has_plain_loopback: bool = False

    def allows_host(self, host: str) -> bool:
        """The client's secret may go to this host."""
        if self.is_host_allowed is not None:
            return self.is_host_allowed(host)
        return is_host_named((*AUTHORITIES, *self.policy.allow_hosts), host)


class TokenSource:
    """Tokens for every plan of the process: cached, renewed early, never asked for twice at the same time.

    `clock` is monotonic seconds; `now` the wall clock in UTC that assertions are dated with. Call `close` at the end.
    """

    def __init__(self, egress: TokenEgress, *, clock: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._egress = egress
        self._clock = clock
        self._now = now
        self._tokens: dict[str, Token] = {}
        self._under_way: dict[str, asyncio.Task[Token | Fault]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def token(self, plan: OAuthPlan, username: str) -> Token | Fault:
        """A token that is good for a login as `username` now, or a fault of stage Token. A failed renewal is no fault while the old token lives."""
        key = _key(plan, username)
        held = self._tokens.get(key)
        if held is not None and self._clock() < held.renew_at:
            return held
        fresh = await asyncio.shield(self._asked(key, plan, username))
        if isinstance(fresh, Fault) and not fresh.is_permanent and held and self._clock() < held.expires_at - _SPARE_S:
            return held if key in self._tokens else fresh
        return fresh

    def drop(self, plan: OAuthPlan, username: str) -> None:
        """Forgets the token: a server has rejected it."""
        self._tokens.pop(_key(plan, username), None)

    async def close(self) -> None:
        """Ends what is under way and closes the connections."""
        for task in tuple(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _asked(self, key: str, plan: OAuthPlan, username: str) -> "asyncio.Task[Token | Fault]":
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(key, plan, username), name="oauth token")
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return task

    async def _ask(self, key: str, plan: OAuthPlan, username: str) -> Token | Fault:
        started = self._clock()
        context = _context(plan, username)
        if refused := self._refused(parse_token_url(plan.token_url), context):
            return refused
        form = form_of(plan, username, self._now())
        if isinstance(form, GrantProblem):
            return fault(StageName.TOKEN, form.reason, context, form.message)
        answer = await self._posted(plan, form, context)
        granted = answer if isinstance(answer, Fault) else read_answer(answer, plan, context)
        return granted if isinstance(granted, Fault) else self._kept(key, granted, started)

    def _refused(self, url: TokenUrl | None, context: ReplyContext) -> Fault | None:
        if url is None:
            detail = "tokenURL must be an https URL without credentials"
            return fault(StageName.TOKEN, Reason.OAUTH_CONFIG_INVALID, context, detail)
        if self._egress.has_plain_loopback and url.is_loopback:
            return None
        if not url.is_https:
            return fault(StageName.TOKEN, Reason.OAUTH_CONFIG_INVALID, context, "tokenURL must be an https URL")
        if not self._egress.allows_host(url.host):
            detail = f"tokenURL names {url.host}, which may not be given a client secret here"
            return fault(StageName.TOKEN, Reason.HOST_NOT_ALLOWED, context, detail)
        if url.port not in {443, *self._egress.policy.allow_ports}:
            return fault(StageName.TOKEN, Reason.PORT_NOT_ALLOWED, context, f"tokenURL names port {url.port}")
        if url.is_address:  # the HTTP client asks no resolver about these
            denied = check_address(self._egress.policy, url.host, url.host, context)
            return replace(denied, stage=StageName.TOKEN) if denied else None
        return None

    async def _posted(self, plan: OAuthPlan, form: Form, context: ReplyContext) -> Answer | Fault:
        trusted = self._trusted(plan)
        if isinstance(trusted, Unusable):
            return fault(StageName.TOKEN, trusted.reason, context, trusted.detail)
        try:
            async with (
                asyncio.timeout(_DEADLINE_S),
                self._opened().post(plan.token_url, data=dict(form), allow_redirects=False, ssl=trusted) as response,
            ):
                body = await _bounded(response.content)
                return Answer(response.status, body)
        except _EgressDeniedError as denied:
            return denied.fault
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _unreachable(error, context)

    def _trusted(self, plan: OAuthPlan) -> ssl.SSLContext | bool | Unusable:
        """Whom to trust: a connector with a private CA often has its token endpoint behind the same one. True: as the session was made."""
        return True if plan.ca_pem is None else tls_context(TlsPlan(ca_pem=plan.ca_pem))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedResolver(self._egress),
                ssl=self._egress.ssl_context or ssl.create_default_context(),
                use_dns_cache=False,
                limit=16,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=_DEADLINE_S),
                headers={"Accept": "application/json", "User-Agent": "watchbell"},
                trust_env=False,
                auto_decompress=False,
                max_line_size=8190,
            )
        return self._session

    def _kept(self, key: str, granted: Granted, started: float) -> Token:
        token = Token(granted.value, started + granted.life_s * _RENEW_AT, started + granted.life_s)
        self._tokens.pop(key, None)
        while len(self._tokens) >= _PLAN_LIMIT:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[key] = token
        return token


class _EgressDeniedError(OSError):
    """Carries the policy's verdict through aiohttp's resolver."""

    def __init__(self, denied: Fault) -> None:
        super().__init__(denied.message)
        self.fault = denied


class _CheckedResolver(AbstractResolver):
    """Every address of a token endpoint passes the egress policy in the same look-up that it is dialled from."""

    def __init__(self, egress: TokenEgress) -> None:
        self._policy = egress.policy
        self._has_loopback = egress.has_plain_loopback

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:  # noqa: ARG002 - both families, in the order that the look-up gives
        policy = self._policy
        cidrs = (*policy.allow_cidrs, "127.0.0.0/8", "::1/128") if self._has_loopback else policy.allow_cidrs
        widened = EgressPolicy(policy.allow_hosts, cidrs, policy.deny_cidrs, frozenset({port}), policy.api_servers)
        found = await resolve(host, port, widened)
        if isinstance(found, Fault):
            raise _EgressDeniedError(found)
        return [
            ResolveResult(hostname=host, host=address.ip, port=port, family=address.family, proto=0, flags=0)
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_chunked(8192):
        body += chunk
        if len(body) > _ANSWER_LIMIT_BYTES:
            raise ValueError(f"the answer is larger than {_ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)


def _unreachable(error: Exception, context: ReplyContext) -> Fault:
    denied = next(
        (cause for cause in (error, error.__cause__, error.__context__) if isinstance(cause, _EgressDeniedError)), None
    )
    if denied is not None and denied.fault.reason is Reason.DESTINATION_NOT_ALLOWED:
        return fault(StageName.TOKEN, denied.fault.reason, context, denied.fault.message)
    return classify_breakage(StageName.TOKEN, breakage_of(error), context)


def _context(plan: OAuthPlan, username: str) -> ReplyContext:
    secrets = (plan.client_secret, plan.client_key_pem, plan.refresh_token, plan.service_account_json)
    url = parse_token_url(plan.token_url)
    host, port = (url.host, url.port) if url else ("", 0)
    return ReplyContext(host, port, username=username, secrets=tuple(secret for secret in secrets if secret))


def _key(plan: OAuthPlan, username: str) -> str:
    """Equal for logins that may share a token; holds no secret that could be read back."""
    secrets = (plan.client_secret, plan.client_key_pem, plan.refresh_token, plan.service_account_json)
    text = "\0".join((repr(plan), username, *(secret.reveal() if secret else "" for secret in secrets)))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
