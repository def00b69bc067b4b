"""Attachments of an EmailMessage: they reach the mail as they were written, and a wrong one is a flaw of the message with its path."""

import email
import email.policy

import pytest

from watchbell.mail.address import Mailbox
from watchbell.outbox.letters.letter import Composed, Flaw, compose, read
from watchbell.outbox.outlet import ConnectorKey, Outlet
from watchbell.smtp.model import Relay

OUTLET = Outlet(
    ConnectorKey("SmtpConnector", "apps", "main"), Relay("mail.example.com", 587), Mailbox("", "alerts@example.com")
)


def body(*attachments: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailMessage",
        "metadata": {
            "name": "m",
            "namespace": "apps",
            "uid": "7d9f6a2e-0000-4000-8000-000000000001",
            "generation": 1,
            "creationTimestamp": "2026-11-21T08:00:00Z",
        },
        "spec": {
            "to": ["ops@example.org"],
            "subject": "Hello",
            "body": {"text": "Hi.\n"},
            "attachments": list(attachments),
        },
    }


CSV = {"filename": "incidents.csv", "contentType": "text/csv", "text": "pod,node\r\notel-1,größe\r\n"}


def test_attachments_reach_the_mail_as_they_were_written() -> None:
    letter = read(body(CSV, {"filename": "größe.json", "contentType": "application/json", "text": '{"a": 1}\n'}))
    assert not isinstance(letter, Flaw), letter
    found = compose(letter, OUTLET, "")
    assert isinstance(found, Composed), found
    message = email.message_from_bytes(found.payload, policy=email.policy.default)
    parts = list(message.iter_attachments())
    assert [(part.get_filename(), part.get_content_type()) for part in parts] == [
        ("incidents.csv", "text/csv"),
        ("größe.json", "application/json"),
    ]
    assert [part.get_payload(decode=True) for part in parts] == ["pod,node\r\notel-1,größe\r\n".encode(), b'{"a": 1}\n']
    assert found.payload.isascii()
    assert compose(letter, OUTLET, "") == found


@pytest.mark.parametrize(
    "changes",
    [
        {"filename": "a/../b.csv"},
        {"filename": "a\r\nBcc: v@example.org"},
        {"filename": ".hidden"},
        {"contentType": "multipart/mixed"},
        {"contentType": "text/csv\r\nX-A: b"},
        {"text": "a\0b"},
    ],
)
def test_a_wrong_attachment_is_a_flaw_of_the_message_with_its_path(changes: dict[str, str]) -> None:
    letter = read(body({**CSV, **changes}))
    found = letter if isinstance(letter, Flaw) else compose(letter, OUTLET, "")
    assert isinstance(found, Flaw)
    assert found.field == f"spec.attachments[0].{next(iter(changes))}"
    assert not found.is_of_connector
