"""The memory of what is on the wire: written before a body goes out, so that a successor knows what may have been sent.

Before it: the courier is about to send. After it: `submit` writes the body. It has a line for each message that is being sent or whose result is not
yet written, in pages of some `LINES_EACH` lines: a write costs by the size of its page. In quiet times there is one page, in a storm up to
`PAGES_MAX`. What the server took is told with the next write too, so that its result may be written when there is time.

Two processes that both believe to lead cannot both write. Whoever takes the journal over writes his name into the first page, then into all others,
then into the first again, and sends only after that; whoever opens another page writes the first one after it. So a page is never used by a
process that does not hold the first one, and no page is opened behind the back of a successor.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from watchbell.kube.client import Client
from watchbell.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from watchbell.outbox.records.entry import Entry, line_of
from watchbell.outbox.records.page import Hold, Page

log = logging.getLogger(__name__)

JOURNAL_NAME = "watchbell-outbox-journal"
PAGES_MAX = 16
LINES_EACH = 64
"""A page with so many lines (some 20 KB) is left for another one, as long as there is one."""
_TAKE_OVERS_MAX = 3
_OPEN_AGAIN_S = 1.0


def page_name(number: int) -> str:
    """The ConfigMap of a page; the first one says who holds the journal."""
    return f"{JOURNAL_NAME}-{number}" if number else JOURNAL_NAME


class Journal:
    """The outbox's own record in the cluster. `identity` must differ between any two processes."""

    def __init__(self, client: Client, namespace: str, identity: str, *, on_lost: Callable[[], None]) -> None:
        self._client = client
        self._namespace = namespace
        self._hold = Hold(identity, on_lost)
        self._first = Page(client, namespace, page_name(0), self._hold)
        self._pages = [self._first]
        self._numbers = {0}
        self._current = self._first
        self._opening: asyncio.Task[None] | None = None
        self._may_open_at = 0.0
        self._began: int | None = None

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    @property
    def is_lost(self) -> bool:
        """Whether another process holds it: nothing may be sent any more."""
        return self._hold.is_lost

    @property
    def is_failing(self) -> bool:
        """Whether the last write of a page failed."""
        return any(page.is_failing for page in self._pages)

    @property
    def began(self) -> int | None:
        """The resourceVersion at which this process had all of it: what was made after that, no other process can have sent. None = not known.

        Resource versions of one API server rise and may be compared as numbers (Kubernetes API concepts, "Resource versions").
        """
        return self._began

    @property
    def writes(self) -> int:
        """How many writes stand in the cluster."""
        return self._hold.writes

    @property
    def failures(self) -> int:
        """How many writes failed."""
        return self._hold.failures

    @property
    def has_room(self) -> bool:
        """Whether results may stay unwritten for a while, known to the journal alone."""
        return not self.is_lost and len(self) < PAGES_MAX * LINES_EACH

    def stop(self) -> None:
        """Write nothing any more, whoever asks."""
        self._hold.is_lost = True

    # --- taking it over

    async def open(self) -> tuple[Entry, ...]:
        """Take the journal over and return what the process before left in it; its entries stay until `forget`. Raises ApiError."""
        for _ in range(_TAKE_OVERS_MAX):
            try:
                return await self._take_over()
            except (AlreadyExists, NotFound, Conflict) as error:
                log.info("The journal changed while it was taken over (%s); reading it again", error.reason)
        return await self._take_over()

    async def _take_over(self) -> tuple[Entry, ...]:
        self._hold.is_lost = False
        self._pages, self._numbers, self._current = [self._first], {0}, self._first
        entries = list(await self._first.claim() or ())
        others = range(1, PAGES_MAX)
        found = await asyncio.gather(*(self._claim(number) for number in others))
        for number, one in zip(others, found, strict=True):
            if one is not None:
                page, left = one
                self._add(page, number)
                entries += left
        if len(self._pages) > 1 and not await self._first.write():
            raise Conflict(409, "Conflict", "another process took the outbox journal over in the same moment")
        version = self._first.version
        self._began = int(version) if version.isdecimal() else None
        return tuple(entries)

    async def _claim(self, number: int) -> tuple[Page, tuple[Entry, ...]] | None:
        page = self._page(number)
        entries = await page.claim(is_made=False)
        return None if entries is None else (page, entries)

    def _page(self, number: int) -> Page:
        return Page(self._client, self._namespace, page_name(number), self._hold, self._first)

    def _add(self, page: Page, number: int) -> None:
        self._pages.append(page)
        self._numbers.add(number)

    # --- its entries

    async def enter(self, entry: Entry) -> bool:
        """Write that this message is about to be sent. True = it stands in the cluster; False = it does not, so nothing may be sent."""
        page = self._holding(entry.uid) or self._roomy()
        if self.is_lost or not page.has_room_for(entry.uid):
            return False
        page.tell(entry.uid, line_of(entry))
        return await page.write()

    def accept(self, entry: Entry, *, is_awaited: bool = False) -> None:
        """The server took this message, which was `enter`ed: it goes into the next write, or one of its own soon; at once if somebody awaits it."""
        page = self._holding(entry.uid)
        if page is None or self.is_lost:
            return
        page.tell(entry.uid, line_of(entry))
        if is_awaited:
            page.hasten()

    async def stands(self, uid: str) -> bool:
        """True = what was told of this message stands in the cluster, or its result does."""
        page = self._holding(uid)
        return not self.is_lost if page is None else await page.stands(uid)

    def forget(self, uid: str) -> None:
        """The result is written. The entry leaves with the next write, or after a second of quiet."""
        page = self._holding(uid)
        if page is not None:
            page.forget(uid)

    async def close(self) -> None:
        """Write what is still to be forgotten, and stop. What cannot be written stays for the successor to find."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for page in self._pages:
            await page.close()

    # --- its pages

    def _holding(self, uid: str) -> Page | None:
        if uid in self._current:
            return self._current
        return next((page for page in self._pages if uid in page), None)

    def _roomy(self) -> Page:
        """Where new lines go, all to one page, so that they share its writes. While another page is being opened this one takes some more."""
        if _is_good(self._current):
            return self._current
        self._current = next(filter(_is_good, self._pages), None) or _emptiest(self._pages)
        if not _is_good(self._current):
            self._open_another()
        return self._current

    def _open_another(self) -> None:
        now = asyncio.get_running_loop().time()
        is_opening = self._opening is not None and not self._opening.done()
        if is_opening or len(self._pages) >= PAGES_MAX or now < self._may_open_at or self.is_lost:
            return
        self._may_open_at = now + _OPEN_AGAIN_S
        self._opening = asyncio.get_running_loop().create_task(self._open_page(), name="outbox-journal-page")

    async def _open_page(self) -> None:
        number = min(set(range(PAGES_MAX)) - self._numbers)
        page = self._page(number)
        try:
            await page.claim()
        except ApiError as error:
            log.warning("The outbox journal gets no page %d: %s", number, error)
            return
        if await self._first.write():
            self._add(page, number)
            self._may_open_at = 0.0


def _is_good(page: Page) -> bool:
    return len(page) < LINES_EACH and not page.is_failing


def _emptiest(pages: Sequence[Page]) -> Page:
    return min(pages, key=lambda page: (page.is_failing, len(page)))
