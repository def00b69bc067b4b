"""Attempts for messages that share a mail: as `courier`, with one transaction whose result is the result of each of them.

Before it: the queue gave a sender messages that go together (`gathering`). After it: the ledger writes the result of each, with the Message-ID that
they share. Before the body goes out the journal has an entry for every message in it, so a process that dies leaves none of them out: what it
left is in doubt for all of them alike, and they find each other again by their Message-ID.

If the server refuses the mail as a whole, nobody knows for whose sake: then each goes by itself, and only the one that is to blame fails.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import msgspec

from watchbell import metrics
from watchbell.api.message import RecipientState
from watchbell.api.reasons import Reason
from watchbell.outbox.courier import Courier, OnOutcome, Outcome, Round, Sending, Stopped, accepted_entry
from watchbell.outbox.letters.letter import Flaw, Letter, compose
from watchbell.outbox.outlet import Outlet, Unavailable
from watchbell.outbox.progress import Progress
from watchbell.outbox.records.entry import Entry
from watchbell.outbox.settle import Held, Rules, Settled, Tried, rejected, resumed, settle
from watchbell.outbox.slot import Going, Slot
from watchbell.outbox.together.batching import Kind, shared_id
from watchbell.outbox.together.compilation import Page, bundle, fitting, retelling
from watchbell.outbox.verdict import waiting
from watchbell.smtp.model import RecipientOutcome, RecipientResult, RetryClass, StageName

_APART = Stopped(0.0, is_apart=True)
_OF_THE_MAIL = frozenset({StageName.SENDER, StageName.DATA})


@dataclass(frozen=True, slots=True)
class _Member:
    """One message that could be read and is due; `due` are the addresses that it is still for."""

    slot: Slot
    progress: Progress
    rules: Rules
    page: Page
    due: frozenset[str]

    @property
    def letter(self) -> Letter:
        return self.page.letter


class SharingCourier(Courier):
    """Carries out attempts for single messages and for those that go together."""

    async def attempt(self, slots: Sequence[Slot], done: OnOutcome) -> None:
        """Try messages of one lane now, as their party says."""
        party = slots[0].party
        if party is None or party.going is Going.APART:
            await super().attempt(slots, done)
            return
        told: set[str] = set()

        def tell(slot: Slot, outcome: Outcome) -> None:
            told.add(slot.uid)
            done(slot, outcome)

        # Their texts were let go while they waited: all are read at once, not one after the other.
        seen = await asyncio.gather(*(self._member(slot, tell) for slot in slots))
        ready = [member for member in seen if member is not None]
        if party.going is Going.WAITING:
            for member in ready:
                tell(member.slot, _waits(member))
        elif ready:
            stopped = await self._guarded(ready[0].slot, self._attempt_together(ready, tell))
            if stopped is None:
                return
            # What went wrong unforeseen is in no result: all that have none yet are tried again.
            for member in ready:
                if member.slot.uid not in told:
                    tell(member.slot, stopped)

    async def _member(self, slot: Slot, done: OnOutcome) -> _Member | None:
        """The message as it stands; None if its outcome is known without any mail, and told."""
        made = await self._guarded(slot, self._look(slot))
        if isinstance(made, _Member):
            return made
        done(slot, made)
        return None

    async def _look(self, slot: Slot) -> _Member | Outcome:
        seen = await self._read(slot)
        if not isinstance(seen, tuple):
            return seen
        progress, letter, rules, body = seen
        if letter.is_minted:
            return rejected(progress, Reason.INVALID_MESSAGE, "spec.batch: may not be set for account mail")
        due = frozenset(letter.recipients[i].text for i in progress.due(self._desk.now()))
        if not due:
            return resumed(progress, rules, self._desk.now())
        return _Member(slot, progress, rules, Page(letter, body, b""), due)

    async def _attempt_together(self, ready: Sequence[_Member], done: OnOutcome) -> None:
        asked = ready[0].letter
        outlet = await self._desk.outlets.outlet(asked.namespace, asked.connector, asked.use)
        if isinstance(outlet, Unavailable):
            for member in ready:
                done(member.slot, self._held(member, outlet))
            return
        members = await self._alike(ready, outlet, done)
        if not members:
            return
        lead = members[0]
        known, lead.slot.message_id = lead.slot.message_id, _identifier(members)
        made = await self._compose(lead.slot, lead.progress, self._letter(members), lead.rules, dict(lead.page.body))
        if not isinstance(made, Sending):
            lead.slot.message_id = known
            for member in members:
                done(member.slot, _unsent(member, made, is_alone=len(members) == 1))
            return
        made.others = tuple(_entry(member, made) for member in members[1:])
        await self._carry(made, members, done)

    async def _alike(self, ready: Sequence[_Member], outlet: Outlet, done: OnOutcome) -> list[_Member]:
        """The first, and those that have the same use and are for the same recipients still; as many as one mail holds. The rest has its own turn."""
        paged = [page for member in ready if (page := await self._paged(member, outlet, done)) is not None]
        alike = [one for one in paged if one.due == paged[0].due and one.letter.use is paged[0].letter.use]
        is_batch = bool(paged) and self._kind(paged[0]) is Kind.BATCH
        room_bytes = outlet.limits.max_message_bytes
        kept = alike[: fitting([one.page for one in alike], room_bytes, is_enclosing_all=not is_batch)]
        is_whole = is_batch or len(kept) == len(paged)
        for member in paged:
            if not is_whole:
                done(member.slot, _APART)
            elif member not in kept:
                _goes_next(member.slot)
                done(member.slot, Stopped(0.0))
        return kept if is_whole else []

    async def _paged(self, member: _Member, outlet: Outlet, done: OnOutcome) -> _Member | None:
        """With what it names elsewhere, and the bytes that it would be by itself, unsigned: the mail around it is signed.

        A flaw of its own ends it here, and costs the others nothing.
        """
        if member.letter.has_sources:
            whole = await self._whole(member.progress, member.letter, member.rules, outlet)
            if isinstance(whole, Settled):
                done(member.slot, whole)
                return None
            letter, progress = whole
            member = replace(member, progress=progress, page=replace(member.page, letter=letter))
        alone = compose(member.letter, replace(outlet, dkim=None), "", self._desk.cluster_name)
        if not isinstance(alone, Flaw):
            return replace(member, page=replace(member.page, payload=alone.payload))
        if alone.is_of_connector:
            return member
        done(member.slot, rejected(member.progress, Reason.INVALID_MESSAGE, str(alone)))
        return None

    @staticmethod
    def _kind(member: _Member) -> Kind | None:
        return member.slot.group.kind if member.slot.group else None

    def _letter(self, members: Sequence[_Member]) -> Letter:
        pages = [member.page for member in members]
        group = members[0].slot.group
        if group is not None and group.kind is Kind.INCIDENT:
            return retelling(pages)
        return bundle(pages, group.key if group else "", self._desk.cluster_name)

    def _held(self, member: _Member, why: Unavailable) -> Outcome:
        """As for a single message."""
        desk = self._desk
        if why.is_unjudged:
            return Stopped(desk.pause_s * 10, is_held=True)
        return self._without(member.progress, member.letter, member.rules, Held(why.reason, why.message))

    async def _carry(self, sending: Sending, members: Sequence[_Member], done: OnOutcome) -> None:
        desk = self._desk
        try:
            with metrics.SEND_SECONDS.time():
                tried = await self._send(sending, Round(sending.entry.uid))
        finally:
            self._unused(sending)
        if tried is None:
            for member in members:
                done(member.slot, Stopped(desk.pause_s))
            return
        if len(members) > 1 and _is_refused_whole(tried):
            for member in members:
                done(member.slot, _APART)
            return
        now, chance = desk.now(), desk.chance()
        by_address = {members[0].letter.recipients[i].text: result for i, result in tried.results.items()}
        for member, entry in zip(members, (sending.entry, *sending.others), strict=True):
            own = replace(tried, results=_results(by_address, member))
            settled = settle(member.progress, own, member.rules, now, chance)
            if settled.verdict.status == "True" and own.fault is None:
                desk.journal.accept(accepted_entry(entry, own))
            member.slot.message_id = sending.entry.message_id
            done(member.slot, settled)


def _unsent(member: _Member, outcome: Outcome, *, is_alone: bool) -> Outcome:
    """What kept the mail from being sent, for each of its messages; what ends the mail as a whole ends none of them."""
    if not isinstance(outcome, Settled) or is_alone:
        return outcome
    if outcome.due is None:
        return _APART
    return replace(outcome, progress=member.progress, due=min(outcome.due, member.rules.deadline))


def _goes_next(slot: Slot) -> None:
    """There was no room for it: it need not wait for others again."""
    if slot.waiting is not None:
        slot.waiting = replace(slot.waiting, until=slot.waiting.since)


def _waits(member: _Member) -> Settled:
    """It waits for company. One that was just made is not late, whatever its clock says."""
    hold = member.slot.waiting
    if hold is None:
        raise ValueError("a message without batch waits for nobody")
    until = datetime.fromtimestamp(hold.until, UTC)
    key = member.slot.note.spec.batch.key if member.slot.note.spec.batch else ""
    told = f"waits for others with batch key {key}: it goes out at {until:%H:%M:%S} UTC at the latest, or when {hold.most} wait"
    return Settled(member.progress, waiting(Reason.BATCHED, told), until)


def _identifier(members: Sequence[_Member]) -> str:
    """The Message-ID that is kept; empty for a new one."""
    states = {
        recipient.state
        for member in members
        for recipient, address in zip(member.progress.recipients, member.letter.recipients, strict=True)
        if address.text in member.due
    }
    known = [member.slot.message_id for member in members]
    uids = [member.slot.uid for member in members]
    return shared_id(known, uids, may_have_it=states == {RecipientState.UNCERTAIN})


def _entry(member: _Member, lead: Sending) -> Entry:
    """Its own line in the journal; of no party, since what is in doubt of one is in doubt of all."""
    sent = frozenset(lead.batch.envelope.recipients)
    indexes = tuple(i for i, address in enumerate(member.letter.recipients) if address.text in sent)
    slot = member.slot
    return msgspec.structs.replace(
        lead.entry,
        uid=slot.uid,
        namespace=slot.namespace,
        name=slot.name,
        attempt=member.progress.attempts + 1,
        indexes=indexes,
        content_digest=member.progress.content_digest,
    )


def _results(by_address: Mapping[str, RecipientResult], member: _Member) -> dict[int, RecipientResult]:
    """The same results by the places of this message's own recipients: each names them in its own order."""
    addresses = enumerate(member.letter.recipients)
    return {i: by_address[address.text] for i, address in addresses if address.text in by_address}


def _is_refused_whole(tried: Tried) -> bool:
    """Whether the server said no to the mail itself, for good, and nobody has it."""
    faults = [result.fault for result in tried.results.values()] if tried.results else [tried.fault]
    if tried.fault is not None and tried.fault.stage in _OF_THE_MAIL:
        faults = [tried.fault]
    nobody = all(
        result.outcome in (RecipientOutcome.REFUSED, RecipientOutcome.DEFERRED) for result in tried.results.values()
    )
    return nobody and all(
        fault is not None and fault.stage in _OF_THE_MAIL and fault.retry is RetryClass.NEVER for fault in faults
    )
