"""What the API takes, the mail can be built from: headers and mailboxes."""

from datetime import UTC, datetime

import pytest

from api.cases import REFUSED, TAKEN, body_of, spec_of
from watchbell.api.connector import SmtpConnector
from watchbell.api.message import EmailMessage
from watchbell.api.meta import parse
from watchbell.mail import attachment, links
from watchbell.mail.address import Mailbox, WireAddress, parse_mailbox, wire_address
from watchbell.mail.attachment import Attachment
from watchbell.mail.message import Draft, build

HEADERS = (
    "X-Team",
    "x-lower-case",
    "List-Help",
    "List-Unsubscribe",
    "List-Subscribe",
    "List-Post",
    "List-Owner",
    "List-Archive",
    "Feedback-ID",
    "Importance",
)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_a_connector_may_set_is_built_into_the_mail(name: str):
    spec = spec_of("SmtpConnector", {"headers": [{"name": name, "value": "Grüße"}]})
    connector = parse(SmtpConnector, body_of("SmtpConnector", spec))
    assert isinstance(connector, SmtpConnector)
    draft = Draft(
        sender=Mailbox("", "alerts@example.com"),
        to=(Mailbox("", "ops@example.com"),),
        subject="Hello",
        text="Hello.",
        message_id="<1@example.com>",
        date=datetime(2026, 1, 31, 8, tzinfo=UTC),
        extra_headers=tuple((header.name, header.value) for header in connector.spec.headers),
    )
    built = build(draft)
    assert isinstance(built, bytes), built
    assert name.lower().encode() in built.lower()


def each(value):
    """The texts of a field that is a list of addresses, or one."""
    return [value] if isinstance(value, str) else value


def test_every_address_of_the_valid_examples_can_go_on_the_wire():
    senders = [
        spec["from"]["address"]
        for kind, change in TAKEN
        if "address" in (spec := spec_of(kind, change)).get("from", {})
    ]
    texts = [
        text
        for kind, change in TAKEN
        for field in ("to", "cc", "bcc")
        for text in each(spec_of(kind, change).get(field, []))
    ]
    mailboxes = [parse_mailbox(text) for text in texts]
    assert all(isinstance(mailbox, Mailbox) for mailbox in mailboxes)
    addresses = [*senders, *(mailbox.address for mailbox in mailboxes if isinstance(mailbox, Mailbox))]
    assert len(addresses) > 100
    assert all(isinstance(wire_address(address), WireAddress) for address in addresses)


@pytest.mark.parametrize(
    "text", ["Ops <ops@example.com>", '"Ops, on call" <ops@example.com>', "Dörte Müller <d@müller.example>"]
)
def test_a_mailbox_with_a_name_is_taken_by_both(text: str):
    message = parse(EmailMessage, body_of("EmailMessage", spec_of("EmailMessage", {"to": [text]})))
    assert isinstance(message, EmailMessage)
    assert isinstance(parse_mailbox(message.spec.to[0]), Mailbox)


def attachments_of(spec):
    return tuple(
        Attachment(item["filename"], item["contentType"], item["text"])
        for item in spec.get("attachments", ())
        if "text" in item
    )


def test_every_attachment_of_the_valid_examples_can_go_into_a_mail():
    found = [attachments_of(spec_of(kind, change)) for kind, change in TAKEN]
    assert sum(map(bool, found)) >= 1
    assert [attachment.problem(items) for items in found if items] == [None] * sum(map(bool, found))


def test_an_attachment_that_the_mail_cannot_hold_is_refused_by_the_api():
    for name in ("a/b.csv", "..", ".", "a\x00b", " a", "a ", 'a"b', "x" * 121):
        assert attachment.problem((Attachment(name, "text/csv", ""),)) is not None, name
        spec = spec_of("EmailMessage", {"attachments": [{"filename": name, "contentType": "text/csv", "text": ""}]})
        assert isinstance(parse(EmailMessage, body_of("EmailMessage", spec)), tuple), name


def templates_of(changes):
    return [url for change in changes if (url := change.get("links", {}).get("dashboardURLTemplate"))]


def test_every_dashboard_that_the_api_takes_becomes_a_link():
    values = links.LinkValues("prod", "obs", "gateway", "OOMKilled", "gateway-0", "collectors-1")
    taken = templates_of(change for _, change in TAKEN)
    assert len(taken) >= 3
    for template in taken:
        assert links.problem(template) is None, template
        assert links.expand(template, values), template


def test_every_dashboard_that_can_be_no_link_is_refused_by_the_api():
    refused = set(templates_of(case.change for case in REFUSED))
    impossible = {template for template in refused if links.problem(template)}
    assert len(impossible) >= 8
    assert refused - impossible == {"https://user:secret@grafana.example.com/"}
