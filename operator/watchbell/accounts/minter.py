"""Makes the mail of an AccountRecovery just before it goes out: the outbox's port for mail that may stand nowhere.

Before it: the outbox has an EmailMessage whose template is PasswordReset or RecoveryCodes. After it: the text is on its way, and forgotten. The
message is not believed: its AccountRecovery is read anew, must be the very object that owns it, unfinished and unexpired, and must want exactly this
message. The same object and key give the same text at every attempt.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watchbell.accounts import plans
from watchbell.accounts.keys import KeyRing, Trouble
from watchbell.accounts.vault import Vault
from watchbell.api.account import AccountRecovery, RecoveryLink
from watchbell.api.meta import parse
from watchbell.api.reasons import Reason
from watchbell.kube.client import custom
from watchbell.kube.errors import ApiError, NotFound
from watchbell.mail.document import Rendered
from watchbell.mail.recovery import RecoveryFacts, account_values, render_codes, render_reset, unfit
from watchbell.mail.template import Flaw as TemplateFlaw
from watchbell.mail.template import TemplateProblem
from watchbell.outbox.letters.minting import NO_WORDS, Flaw, Unavailable, Words

RECOVERIES = custom("accountrecoveries")
_OWNERS = "metadata.ownerReferences"


@dataclass(frozen=True, slots=True)
class AccountMinter:
    """See the module's text. `now` is the wall clock."""

    vault: Vault
    now: Callable[[], datetime]
    cluster_name: str = ""
    words: Words = NO_WORDS

    async def mint(self, message: Mapping[str, Any]) -> Rendered | Flaw | Unavailable:
        """The mail; a Flaw if this message may never have one; Unavailable while something is not there."""
        try:
            recovery = await self._recovery(message)
            if isinstance(recovery, Flaw):
                return recovery
            ring = await self.vault.keys(recovery)
            made = ring if isinstance(ring, Trouble) else await self._made(recovery, ring)
        except ApiError as error:
            return Unavailable(Reason.TEMPORARY_FAILURE, f"what account mail is made of cannot be read now: {error}")
        return Unavailable(made.reason, made.message) if isinstance(made, Trouble) else made

    async def _recovery(self, message: Mapping[str, Any]) -> AccountRecovery | Flaw:
        if not plans.has_own_name(message):
            return Flaw(
                _OWNERS, "is not that of an AccountRecovery's own message: create one, and it makes its message"
            )
        try:
            body = await self.vault.client.get(
                RECOVERIES, plans.owner_name(message), str(message["metadata"]["namespace"])
            )
        except NotFound:
            return Flaw(_OWNERS, "its AccountRecovery is gone")
        recovery = parse(AccountRecovery, body)
        if isinstance(recovery, tuple):
            return Flaw(_OWNERS, f"its AccountRecovery is not valid: {'; '.join(map(str, recovery))[:500]}")
        if recovery.metadata.deletion_timestamp is not None or recovery.status.completion_time is not None:
            return Flaw(_OWNERS, "its AccountRecovery is finished")
        path, _, text = plans.stranger(message, recovery).partition(": ")
        if text:
            return Flaw(path, text)
        if self.now() >= plans.expires(recovery):
            return Flaw(_OWNERS, "its AccountRecovery has expired")
        return recovery

    async def _made(self, recovery: AccountRecovery, ring: KeyRing) -> Rendered | Trouble:
        facts, link = plans.facts_of(recovery, self.cluster_name), recovery.spec.link
        if link is not None:
            address = plans.address(link, _token(recovery, link, ring))
            return (
                await self._worded(recovery, facts, address, ())
                if recovery.spec.template_ref
                else render_reset(facts, address)
            )
        made = await self.vault.codes(recovery, ring)
        if isinstance(made, Trouble):
            return made
        return (
            await self._worded(recovery, facts, "", made) if recovery.spec.template_ref else render_codes(facts, made)
        )

    async def _worded(
        self, recovery: AccountRecovery, facts: RecoveryFacts, link: str, codes: tuple[str, ...]
    ) -> Rendered | Trouble:
        """The mail in the words of an EmailTemplate. While there is none it waits: whoever chose those words did not want others."""
        chosen = recovery.spec.template_ref.name if recovery.spec.template_ref else ""
        made = await self.words.render(recovery.metadata.namespace, chosen, account_values(facts, link, codes))
        if isinstance(made, TemplateProblem):
            reason = Reason.TEMPLATE_NOT_FOUND if made.flaw is TemplateFlaw.NOT_FOUND else Reason.TEMPLATE_FAILED
            return Trouble(reason, f"spec.templateRef.name: EmailTemplate {chosen} gives no mail: {made}")
        if flaw := unfit(made, link, codes):
            return Trouble(Reason.TEMPLATE_FAILED, f"spec.templateRef.name: EmailTemplate {chosen} {flaw}")
        return made


def _token(recovery: AccountRecovery, link: RecoveryLink, ring: KeyRing) -> str:
    # PyJWT is imported with the first token; most clusters never have any.
    from watchbell.accounts import tokens  # noqa: PLC0415 - see above

    until = plans.expires(recovery)
    meta = recovery.metadata
    issued = meta.creation_timestamp or until
    claims = tokens.Claims(
        plans.issuer(meta.namespace), plans.audience(link), recovery.spec.account, meta.uid, issued, until
    )
    return tokens.sign(claims, ring)
