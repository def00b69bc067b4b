"""What an earlier process left in the journal: mail of which nobody knows whether it went out.

Before it: `journal.open` at take-over. After it: the message's status says so (uncertain, or unknown for good), the entry is gone, and only then
does anything else go out. A message that was settled after all, or deleted, needs nothing.
"""

import logging

from watchbell.api.names import API_VERSION
from watchbell.kube.errors import Conflict, NotFound
from watchbell.logs import about
from watchbell.outbox.courier import MESSAGES, Desk
from watchbell.outbox.journal import Entry
from watchbell.outbox.ledger import MANAGER
from watchbell.outbox.letter import Flaw, read
from watchbell.outbox.note import note_of, progress_of
from watchbell.outbox.record import status_of
from watchbell.outbox.settle import Inherited, Rules, settle

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
        found = Inherited(entry.attempt, entry.started, entry.indexes)
        settled = settle(progress, found, rules, desk.now(), desk.chance())
        log.warning(
            "a mail was under way when its process ended", extra=about(message=f"{entry.namespace}/{entry.name}")
        )
        status = status_of(
            settled,
            note.metadata.generation,
            note.status.message_id or entry.message_id,
            note.status.conditions,
            desk.now(),
        )
        await _write(desk, entry, status)
    desk.journal.forget(entry.uid)


async def _write(desk: Desk, entry: Entry, status: dict[str, object]) -> None:
    try:
        await desk.client.apply_status(
            MESSAGES,
            entry.name,
            status,
            entry.namespace,
            manager=MANAGER,
            api_version=API_VERSION,
            kind="EmailMessage",
            uid=entry.uid,
        )
    except (NotFound, Conflict):
        log.info("a message of the journal is gone", extra=about(message=f"{entry.namespace}/{entry.name}"))
