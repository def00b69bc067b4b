"""Whatever a user writes: what a real server receives is one mail, with the headers that were meant, and ends where it should."""

import email
import email.policy
import re
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outboxrig import message, outlet
from smtprig import dialer, mail_server, relay
from watchbell.mail.attachment import Attachment
from watchbell.outbox.letters.content import Enclosure
from watchbell.outbox.letters.envelope import batch_of
from watchbell.outbox.letters.letter import Composed, Flaw, compose, enclosed, read
from watchbell.outbox.outlet import OutletLimits
from watchbell.smtp.replies import wire_body
from watchbell.smtp.session import Session, open_session
from watchbell.smtp.stagelog import StageLog
from watchbell.smtp.submit import submit

HEADERS = {
    "from", "to", "cc", "reply-to", "subject", "date", "message-id", "auto-submitted", "x-auto-response-suppress", "importance", "x-priority",
    "x-team", "mime-version", "content-type", "content-transfer-encoding",
}  # fmt: skip
NASTY = [
    "a\r\nBcc: v@example.org",
    "a\nBcc: v@example.org",
    "\r\n.\r\nMAIL FROM:<v@example.org>",
    "\n.\n",
    "\r.\r",
    ".",
    "..",
    "=?utf-8?q?=0D=0ABcc:_v@example.org?=",
    "A \U0001f4a9 x=?UTF-8?Q?=0A?=Bcc: v@example.org",
    "\u2028Bcc: v@example.org",
    "\x85Bcc: v",
    "x" * 500,
    "--=_x--",
    "\x00",
    "\u202egnp.exe",
    '"; name="x',
    "> <v@example.org",
    "größe" * 30,
]
TEXT = st.one_of(
    st.text(max_size=60), st.sampled_from(NASTY), st.tuples(st.text(max_size=9), st.sampled_from(NASTY)).map("".join)
)


FINE = {"subject": "Hello", "name": "Ops", "text": "Hi.\n", "html": "<p>Hi</p>", "filename": "a.csv", "header": "team"}
CHANGES = st.dictionaries(st.sampled_from(sorted(FINE)), TEXT, min_size=1, max_size=2)


def body(said):
    made = message("m", f"{said['name']} <ops@example.org>", subject=said["subject"])
    made["metadata"] |= {"namespace": "apps", "uid": "7d9f6a2e-0000-4000-8000-000000000001"}
    made["metadata"]["creationTimestamp"] = "2026-11-21T08:00:00Z"
    made["spec"]["body"] = {"text": said["text"], "html": said["html"]}
    made["spec"]["attachments"] = [
        {"filename": said["filename"], "contentType": "text/csv", "text": said["text"]},
        {"filename": "b.bin", "contentType": "application/octet-stream", "configMapKeyRef": {"name": "a", "key": "b"}},
    ]
    made["spec"]["replyTo"] = [f"{said['name']} <a@example.org>", "b@example.org"]
    return made


def built(written, header, data, at):
    letter = read(written)
    if isinstance(letter, Flaw):
        return letter, None
    assert letter.enclosures == (Enclosure("ConfigMap", "a", "b", 1),)
    letter = enclosed(letter, [data])
    assert isinstance(letter.attachments[1], Attachment)
    return compose(letter, replace(at, headers=(("X-Team", header),)), ""), letter


async def received(server, composed, letter, at):
    session = await open_session(at.relay, dialer(), StageLog())
    assert isinstance(session, Session), session
    envelope = batch_of(letter, (0,), OutletLimits(), composed).envelope

    async def go_on():
        return True

    report = await submit(session, envelope, composed.payload, go_on)
    await session.quit()
    assert report.fault is None, report.fault
    return server.inbox.messages


@given(CHANGES, st.binary(max_size=120))
@example({"subject": "a\r\nBcc: v@example.org"}, b"\r\n.\r\n")
@example({"text": "\r\n.\r\n.\n", "html": "<p>.</p>\n.\n", "filename": "größe.csv", "header": "größe"}, b".\r\n.\r\n")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_input_puts_a_second_header_or_a_bare_dot_on_the_wire(change, data):
    said = FINE | change
    async with mail_server(has_auth=False) as server:
        at = replace(outlet(25), relay=relay(server.port))
        composed, letter = built(body(said), said["header"], data, at)
        if isinstance(composed, Flaw):
            assert composed.field.startswith("spec.")
            return
        assert isinstance(composed, Composed)
        messages = await received(server, composed, letter, at)
    ((sender, recipients, raw),) = messages
    assert (sender, recipients) == ("alerts@example.com", ["ops@example.org"])
    assert raw == composed.payload
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    wire = wire_body(raw)
    assert wire.find(b"\r\n.\r\n") == len(wire) - 5
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    names = [key.lower() for key in mail]
    assert len(names) == len(set(names))
    assert set(names) <= HEADERS
    assert mail["To"].addresses[0].addr_spec == "ops@example.org"
    parts = list(mail.iter_attachments())
    assert [part.get_filename() for part in parts] == [said["filename"], "b.bin"]
    assert parts[1].get_payload(decode=True) == data
