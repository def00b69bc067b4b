"""What an earlier process left in the journal: mail of which nobody knows whether it went out, and mail that did and whose result was not written.

Before it: `journal.open` at take-over. After it: the message's status says so (uncertain, unknown for good, or accepted), the entry is gone, and
only then does it go out again. A message that was settled after all, or deleted, needs nothing.
"""

import logging
from dataclasses import replace

from watchbell.api.names import API_VERSION
from watchbell.kube.errors import NotFound
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status
from watchbell.logs import about
from watchbell.outbox.courier import MESSAGES, Desk
from watchbell.outbox.letters.letter import Flaw, Letter, read
from watchbell.outbox.note import note_of, progress_of
from watchbell.outbox.progress import Progress
from watchbell.outbox.records.entry import Entry
from watchbell.outbox.records.ledger import MANAGER
from watchbell.outbox.records.record import status_of
from watchbell.outbox.settle import Inherited, Rules, Tried, settle
from watchbell.smtp.model import RecipientOutcome, RecipientResult

log = logging.getLogger(__name__)


async def settle_inherited(desk: Desk, entry: Entry) -> None:
    """Write the lost attempt into the message's status, once. Raises ApiError when that cannot be done now; it is safe to call again."""
    try:
        body = await desk.client.get(MESSAGES, entry.name, entry.namespace)
    except NotFound:
        desk.journal.forget(entry.uid)
        return
    note, letter = note_of(body), read(body)
    if note.metadata.uid == entry.uid and not note.is_finished and not isinstance(letter, Flaw):
        rules = Rules(letter.deadline, letter.on_uncertain, desk.schedule)
        progress = progress_of(note.status, len(letter.recipients), desk.schedule.resend_after_s)
        progress = replace(progress, content_digest=entry.content_digest or progress.content_digest)
        settled = settle(progress, _happened(entry, progress, letter), rules, desk.now(), desk.chance())
        told = "was taken" if entry.accepted else "was under way"
        log.warning("a mail %s when its process ended", told, extra=about(message=f"{entry.namespace}/{entry.name}"))
        status = status_of(
            settled,
            note.metadata.generation,
            note.status.message_id or entry.message_id,
            note.status.conditions,
            desk.now(),
        )
        ref = ObjectRef(API_VERSION, "EmailMessage", entry.name, entry.namespace, entry.uid)
        if await write_status(desk.client, MESSAGES, ref, status, None, manager=MANAGER) is Written.GONE:
            log.info("a message of the journal is gone", extra=about(message=f"{entry.namespace}/{entry.name}"))
    desk.journal.forget(entry.uid)


def _happened(entry: Entry, progress: Progress, letter: Letter) -> Tried | Inherited:
    taken = entry.accepted
    if taken is None or progress.attempts >= entry.attempt:
        return Inherited(entry.attempt, entry.started, entry.indexes)
    known = zip(entry.indexes, taken.codes, strict=False)
    results = {
        i: RecipientResult(letter.recipients[i].text, RecipientOutcome.ACCEPTED, None, code, enhanced)
        for i, (code, enhanced) in known
        if i < len(letter.recipients)
    }
    return Tried(entry.started, results, None, taken.response)
