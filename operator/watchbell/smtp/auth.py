"""Logging in: which SASL mechanism, and its lines. Exactly one try for each session, because accounts get locked.

Comes after the EHLO that counts (under TLS the second one), before MAIL. The mechanisms are pure tables of what to answer; `authenticate` says
them over a `Dialog`. Credentials never travel in clear unless the plan allows it, and no line of ours is shown anywhere.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace

from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.dialog import Dialog
from watchbell.smtp.model import AuthPlan, Fault, Mechanism, Relay, StageName
from watchbell.smtp.replies import Reply
from watchbell.smtp.verdict import classify_challenge, fault

STAGE = StageName.AUTHENTICATE
_MAX_LINE_BYTES = 12288  # RFC 4954 §4.3
_MAX_CHALLENGES = 3
_CANCEL = b"*"
_SASL_NAMES = {
    Mechanism.PLAIN: "PLAIN",
    Mechanism.LOGIN: "LOGIN",
    Mechanism.CRAM_MD5: "CRAM-MD5",
    Mechanism.XOAUTH2: "XOAUTH2",
    Mechanism.OAUTHBEARER: "OAUTHBEARER",
    Mechanism.EXTERNAL: "EXTERNAL",
}
_WITH_TOKEN = (Mechanism.XOAUTH2, Mechanism.OAUTHBEARER)
_WITH_PASSWORD = (Mechanism.PLAIN, Mechanism.LOGIN)


@dataclass(frozen=True, slots=True)
class Login:
    """What a mechanism needs to know. `secret` is the password or the token."""

    username: str
    secret: str
    host: str
    port: int

    def __repr__(self) -> str:
        return "Login(********)"


@dataclass(frozen=True, slots=True)
class Sasl:
    """A mechanism as data: the initial response (None: wait for the server's first word) and the answer to each challenge.

    `answer` gets the decoded challenge and its number from 0, and returns None to give up. `error_in_challenge`: a 334 after the initial
    response is not a question but an error report (RFC 7628 §3.2.3 and Google's XOAUTH2).
    """

    name: str
    initial: bytes | None
    answer: Callable[[bytes, int], bytes | None]
    error_in_challenge: bool = False


def candidates(auth: AuthPlan, *, has_client_certificate: bool) -> tuple[Mechanism, ...]:
    """The mechanisms that fit the credentials, best first; a pinned one stands alone.

    CRAM-MD5 only if pinned: it makes the server keep the password in clear.
    """
    if auth.mechanism is not Mechanism.AUTO:
        return (auth.mechanism,)
    if auth.oauth is not None:
        return _WITH_TOKEN
    if auth.password is None and has_client_certificate:
        return (Mechanism.EXTERNAL,)
    return _WITH_PASSWORD


def choose(relay: Relay, offered: tuple[str, ...]) -> Mechanism | None:
    """The first candidate that the server offers. RFC 4954 §3."""
    if relay.auth is None:
        return None
    fitting = candidates(relay.auth, has_client_certificate=relay.tls.client_cert_pem is not None)
    return next((mechanism for mechanism in fitting if _SASL_NAMES[mechanism] in offered), None)


def sasl(mechanism: Mechanism, login: Login) -> Sasl:
    """The lines of a mechanism, before base64. `Auto` has none: it is a choice, not a mechanism."""
    name = _SASL_NAMES[mechanism]
    match mechanism:
        case Mechanism.PLAIN:  # RFC 4616 §2
            return Sasl(name, f"\0{login.username}\0{login.secret}".encode(), _nothing_more)
        case Mechanism.LOGIN:  # draft-murchison-sasl-login: the prompts are free text, so only their order counts
            lines = (login.username.encode(), login.secret.encode())
            return Sasl(name, None, lambda _, number: lines[number] if number < len(lines) else None)
        case Mechanism.CRAM_MD5:  # RFC 2195 §2
            return Sasl(name, None, lambda challenge, number: _cram(login, challenge) if number == 0 else None)
        case Mechanism.XOAUTH2:
            initial = f"user={login.username}\x01auth=Bearer {login.secret}\x01\x01"
            return Sasl(name, initial.encode(), lambda *_: b"", error_in_challenge=True)
        case Mechanism.OAUTHBEARER:  # RFC 7628 §3.1
            user = login.username.replace("=", "=3D").replace(",", "=2C")
            initial = f"n,a={user},\x01host={login.host}\x01port={login.port}\x01auth=Bearer {login.secret}\x01\x01"
            return Sasl(name, initial.encode(), lambda *_: b"\x01", error_in_challenge=True)
        case Mechanism.EXTERNAL:  # RFC 4422 appendix A
            return Sasl(name, login.username.encode(), _nothing_more)
        case Mechanism.AUTO:
            raise ValueError("Auto must be resolved to a mechanism first")


def _nothing_more(_: bytes, __: int) -> None:
    return None


def _cram(login: Login, challenge: bytes) -> bytes:
    digest = hmac.new(login.secret.encode(), challenge, hashlib.md5).hexdigest()
    return f"{login.username} {digest}".encode()


async def authenticate(dialog: Dialog, relay: Relay, offered: tuple[str, ...], token: str) -> Fault | None:
    """Log in once. `offered` are the mechanisms of the EHLO that counts; `token` is empty unless the plan has `oauth`."""
    auth = relay.auth
    if auth is None:
        return None
    mechanism = choose(relay, offered)
    if (refused := _refuse(dialog, auth, offered, mechanism)) is not None:
        return refused
    if mechanism is None:
        return None
    dialog.learn(mechanism=mechanism, offered=offered)
    secret = token or (auth.password.reveal() if auth.password else "")
    talk = _Talk(dialog, sasl(mechanism, Login(auth.username, secret, relay.host, relay.port)), relay.timeouts.auth_s)
    return await talk.run()


def _refuse(dialog: Dialog, auth: AuthPlan, offered: tuple[str, ...], mechanism: Mechanism | None) -> Fault | None:
    """What we decide ourselves, before any line of AUTH. A configured login that cannot be made is a failure, never a mail without login."""
    context = dialog.context
    if not dialog.wire.is_encrypted and not auth.plaintext_allowed:
        return fault(STAGE, Reason.ENCRYPTION_REQUIRED, context, "the connection is in clear text")
    if not offered:
        return fault(STAGE, Reason.AUTH_NOT_OFFERED, context, "no AUTH in the answer to EHLO")
    if mechanism is None:
        dialog.learn(offered=offered)
        return fault(STAGE, Reason.NO_SHARED_AUTH_MECHANISM, dialog.context, f"offered: {' '.join(offered)}")
    return None


class _Talk:
    """The lines of one login."""

    def __init__(self, dialog: Dialog, mechanism: Sasl, timeout_s: float) -> None:
        self._dialog = dialog
        self._sasl = mechanism
        self._timeout_s = timeout_s
        self._pending = mechanism.initial
        self._reported: Fault | None = None

    async def run(self) -> Fault | None:
        self._dialog.journal.remark(f"AUTH {self._sasl.name}, not shown")
        reply = await self._say(self._first_line())
        for number in range(_MAX_CHALLENGES):
            if isinstance(reply, Fault) or reply.code != 334:
                break
            reply = await self._meet(reply, number)
        return self._end_of(reply)

    def _first_line(self) -> bytes:
        """With the initial response when there is one and it fits (RFC 4954 §4; empty is written as `=`)."""
        head = b"AUTH " + self._sasl.name.encode()
        if self._pending is None:
            return head
        encoded = b64encode(self._pending) or b"="
        if len(head) + len(encoded) + 3 > _MAX_LINE_BYTES:
            return head
        self._pending = None
        return head + b" " + encoded

    async def _meet(self, reply: Reply, number: int) -> Reply | Fault:
        """Answer one challenge, or cancel with `*` when there is nothing left to say."""
        challenge = _decode(reply.text)
        answer: bytes | None
        if self._pending is not None:
            answer = self._pending
            self._pending = None
        elif self._sasl.error_in_challenge:
            self._reported = self._reported or classify_challenge(
                (challenge or b"").decode("utf-8", "replace"), self._dialog.context
            )
            answer = self._sasl.answer(b"", number)
        elif challenge is None and self._sasl.name == "CRAM-MD5":
            answer = None
        else:
            answer = self._sasl.answer(challenge or b"", number)
        return await self._say(_CANCEL if answer is None else b64encode(answer))

    async def _say(self, line: bytes) -> Reply | Fault:
        spoken = line.rpartition(b" ")[2]
        if len(spoken) > len(_CANCEL) and not spoken.isalpha():
            self._dialog.keep_out(Sensitive(spoken.decode()))
        return await self._dialog.ask(STAGE, line, self._timeout_s, is_secret=True)

    def _end_of(self, reply: Reply | Fault) -> Fault | None:
        if isinstance(reply, Fault):
            return reply
        if reply.is_positive:
            return None
        if reply.code == 334:
            return self._dialog.violation(STAGE, "the server asks on and on for more authentication data")
        told = self._dialog.refusal(STAGE, reply)
        return _joined(self._reported, told) if self._reported else told


def _decode(text: str) -> bytes | None:
    """The challenge, or None if it is not base64: some servers prompt in clear text."""
    try:
        return b64decode(text.strip().encode(), validate=True)
    except ValueError:
        return None


def _joined(reported: Fault, told: Fault) -> Fault:
    """The final reply, which has the code, with the error report of the challenge behind it, which has the cause."""
    return replace(told, chain=(*told.chain, *reported.chain))
