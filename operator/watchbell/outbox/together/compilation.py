"""One mail of several messages: of a batch, or of one incident whose mails an outage kept. Pure.

Before it: `sharing` has read the messages that the queue gave it together. After it: the courier sends the letter as any other. What is more than
text (HTML, files) goes along as the mail that the message would have been, whole and apart from what others wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watchbell.api.enums import BuiltinTemplate, Priority, Transition
from watchbell.api.names import ANNOTATION_INCIDENTS
from watchbell.mail.builtin import FACTS, unpack
from watchbell.mail.bundle import BundleEntry, BundleFacts, render_bundle
from watchbell.mail.content import Enclosed
from watchbell.mail.document import Rendered
from watchbell.mail.message import MAX_SUBJECT_CHARACTERS
from watchbell.outbox.letters.letter import Letter
from watchbell.outbox.together.batching import seed

ENCLOSED_MAX = 20
"""Mails inside of one; more make programs slow to open it."""
TEXT_MAX_BYTES = 1_000_000
_FRAME_BYTES = 150_000
_ROW_BYTES = 1_000
_TEXT_COPIES = 3
"""A text is in the text part, in the page as far as that goes, and in `messages.txt`; each copy a third longer at most by its encoding."""
_RANKS = (Priority.LOW, Priority.NORMAL, Priority.HIGH)
RECOVERED = "fired and recovered while mail was down"


@dataclass(frozen=True, slots=True)
class Page:
    """One of the messages: its letter, the object as it stands, and the bytes that it would be by itself."""

    letter: Letter
    body: Mapping[str, Any]
    payload: bytes

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.body["metadata"]["name"])

    @property
    def is_more_than_text(self) -> bool:
        """Whether the mail has something that a page of text cannot show."""
        return bool(self.letter.html or self.letter.attachments)


def fitting(pages: Sequence[Page], max_bytes: int, *, is_enclosing_all: bool = False) -> int:
    """How many of the first pages make a mail that the connector takes; the first always counts, it goes as it would alone."""
    room, text_room, enclosed = max_bytes - _FRAME_BYTES, TEXT_MAX_BYTES, 0
    for number, page in enumerate(pages):
        is_enclosed = is_enclosing_all or page.is_more_than_text
        text_bytes = len(page.letter.text.encode("utf-8", "replace"))
        enclosed += is_enclosed
        text_room -= text_bytes
        room -= text_bytes * 4 // 3 * _TEXT_COPIES + _ROW_BYTES + (len(page.payload) if is_enclosed else 0)
        # Only an address beyond ASCII makes a mail that can be no part of another.
        if min(room, text_room) < 0 or enclosed > ENCLOSED_MAX or (is_enclosed and not page.payload.isascii()):
            return max(number, 1)
    return len(pages)


def bundle(pages: Sequence[Page], key: str, cluster: str) -> Letter:
    """The mail of a batch; of one message that message as it is."""
    first = pages[0].letter
    if len(pages) == 1:
        return first
    names = [f"message-{number}.eml" if page.is_more_than_text else "" for number, page in enumerate(pages, 1)]
    entries = tuple(
        BundleEntry(page.name, page.letter.subject, page.letter.text, page.letter.created, name)
        for page, name in zip(pages, names, strict=True)
    )
    made = render_bundle(BundleFacts(cluster, first.namespace, key, entries))
    enclosed = tuple(Enclosed(name, page.payload) for page, name in zip(pages, names, strict=True) if name)
    return _shared(pages, first, made, enclosed)


def retelling(pages: Sequence[Page]) -> Letter:
    """The mail of an incident of which several wait: the last one, which says that it also stands for those before; they are attached."""
    last, earlier = pages[-1], pages[:-1]
    if not earlier:
        return last.letter
    is_over = _tells_an_end(last)
    sentence = _belated(earlier, is_over=is_over)
    made = _retold(last, sentence) or _prefixed(last.letter, sentence)
    subject = last.letter.subject
    if is_over:
        subject = f"{earlier[0].letter.subject[: MAX_SUBJECT_CHARACTERS - len(RECOVERED) - 2]}: {RECOVERED}"
    enclosed = tuple(Enclosed(f"mail-{number}.eml", page.payload) for number, page in enumerate(earlier, 1))
    return _shared(pages, last.letter, replace(made, subject=subject), enclosed)


def _prefixed(letter: Letter, sentence: str) -> Rendered:
    """A mail in the user's own words with a sentence before its text."""
    return Rendered(letter.subject, f"{sentence}\n\n{letter.text}", letter.html, letter.attachments)


def _shared(pages: Sequence[Page], like: Letter, made: Rendered, enclosed: tuple[Enclosed, ...]) -> Letter:
    letters = [page.letter for page in pages]
    return replace(
        like,
        uid=seed([letter.uid for letter in letters]),
        created=max(letter.created for letter in letters),
        priority=max((letter.priority for letter in letters), key=_RANKS.index),
        subject=made.subject,
        text=made.text,
        html=made.html,
        attachments=made.attachments,
        enclosed=enclosed,
    )


def _belated(earlier: Sequence[Page], *, is_over: bool) -> str:
    bad = " It was Critical." if any(page.letter.priority is Priority.HIGH for page in earlier) else ""
    told = "The earlier mail about it is attached."
    if len(earlier) > 1:
        told = f"The {len(earlier)} earlier mails about it are attached."
    if is_over:
        return (
            f"It began and was over while no mail could be sent, so this is the first that you hear of it.{bad} {told}"
        )
    return f"Mail could not be sent for a while.{bad} {told}"


def _tells_an_end(page: Page) -> bool:
    """As the collectors marked it: `incident:sequence:Resolved`."""
    told = (page.body["metadata"].get("annotations") or {}).get(ANNOTATION_INCIDENTS, "")
    return str(told).endswith(f":{Transition.RESOLVED}")


def _builtin(page: Page) -> str:
    return str((page.body["spec"].get("templateRef") or {}).get("builtin", ""))


def _retold(page: Page, sentence: str) -> Rendered | None:
    """A mail of our own, made anew from its facts with one more sentence; None for any other."""
    facts = next((one["value"] for one in page.body["spec"].get("parameters") or () if one["name"] == FACTS), None)
    if facts is None or _builtin(page) not in {BuiltinTemplate.CRASH, BuiltinTemplate.RESOLVED}:
        return None
    made = unpack(BuiltinTemplate(_builtin(page)), facts, sentence)
    return made if isinstance(made, Rendered) else None
