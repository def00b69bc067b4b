"""What tests of mails share: an incident, hostile texts, and what a mail program would see of a page."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser

from hypothesis import strategies as st

from watchbell.mail.address import Mailbox
from watchbell.mail.document import Rendered
from watchbell.mail.facts import CrashFacts, PodFacts
from watchbell.mail.message import Draft, build, message_id

NOW = datetime(2026, 11, 21, 14, 14, 20, tzinfo=UTC)
POD = PodFacts("otel-gateway-6d5f9c7b88-x2kqp", "node-7", 1, None, "Error", 7, NOW - timedelta(seconds=22), "", "512Mi")
FACTS = CrashFacts(
    cluster="prod-eu-1",
    namespace="prod",
    policy="gateways",
    incident="gateways-otel-gateway-7f3a91",
    owner_kind="Deployment",
    owner_name="otel-gateway",
    kind="CrashLoopBackOff",
    severity="Critical",
    container="otel-collector",
    image="ghcr.io/open-telemetry/collector-contrib:0.139.0",
    pods=(POD,),
    start_time=NOW - timedelta(minutes=12),
    now=NOW,
    log_lines=("starting", "Error: no such host", "password=hunter2"),
    repeat_seconds=14400,
    resolve_after_seconds=300,
)
# Elements of the skeleton; anything else in a page came in through a hole.
ELEMENTS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "div",
    "table",
    "tr",
    "td",
    "p",
    "span",
    "h1",
    "h2",
    "a",
    "b",
}
HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
HOSTILE = st.one_of(
    st.text(st.characters(), max_size=80),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            '"><img src=http://evil.example/x>',
            "a\r\nBcc: v@example.org",
            "\u202egnp.exe",
            "\x1b[31mred\x1b[0m\x00",
            "%(title)s %s {{ x }} &lt;",
            "; rm -rf / $(id) `id`",
            "</div></td></table>",
        ]
    ),
)


class Page(HTMLParser):
    """Elements and attributes that a mail program would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.words: list[str] = []
        self._is_unseen = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self._is_unseen = tag == "style" or any(
            key == "style" and "display:none" in (value or "") for key, value in attrs
        )
        self.attributes.update((key, value or "") for key, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        self._is_unseen = False

    def handle_data(self, data: str) -> None:
        if not self._is_unseen:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def flat(text: str) -> str:
    return " ".join(text.split())


def is_harmless(mail: Rendered) -> bool:
    page = Page(mail.html)
    links = [value for key, value in page.attributes if key in {"href", "src", "background", "action"}]
    return (
        page.elements <= ELEMENTS
        and not any(key.startswith("on") for key, _ in page.attributes)
        and all(link.startswith(("http://", "https://")) for link in links)
        and len(mail.html.encode()) < 100_000
        and not HIDDEN.search(mail.subject + mail.text + unescape(mail.html).replace("\ufeff", ""))
        and "\n" not in mail.subject
        and len(mail.subject) <= 250
        and isinstance(built(mail), bytes)
    )


def built(mail: Rendered) -> object:
    """The mail as it would go out, or the problem that keeps it from that."""
    return build(
        Draft(
            sender=Mailbox("", "a@example.org"),
            to=(Mailbox("", "b@example.org"),),
            subject=mail.subject,
            text=mail.text,
            html=mail.html,
            message_id=message_id((mail.subject,), "example.org"),
            date=NOW,
            attachments=mail.attachments,
        )
    )


def both(mail: Rendered) -> tuple[str, str]:
    """What the text part says and what the HTML part says, with single spaces."""
    return flat(mail.text), Page(mail.html).text


def words_of(text: str) -> set[str]:
    """The words, without what only lays them out."""
    return set(re.findall(r"[\w.%/:@=+-]*\w", text))
