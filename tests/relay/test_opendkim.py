"""Our DKIM signatures before OpenDKIM, which is what receivers run: as Postfix delivered the mail, and after somebody changed it."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane.debian import listed, unpacked
from dkimrig import NAME, key, record
from relay.postfix import MAILBOX
from smtprig import USER, dialer
from smtprig import relay as loopback
from watchbell.mail.address import Mailbox
from watchbell.mail.attachment import Attachment
from watchbell.mail.dkim import signed
from watchbell.mail.message import Draft, build, message_id
from watchbell.smtp.model import Envelope
from watchbell.smtp.session import Session, StageLog, open_session
from watchbell.smtp.submit import submit

WHEN = datetime(2026, 11, 21, 14, 14, 20, tzinfo=UTC)


def letter(marker: str) -> bytes:
    raw = build(
        Draft(
            sender=Mailbox("Größe", USER),
            to=(Mailbox("", MAILBOX),),
            subject=f"{marker}: a subject that is long enough to be folded, größer als eine Zeile sein darf",
            text="Hello \t there  \n.\n\n",
            html="<p>Hello</p>\n",
            message_id=message_id((marker,), "example.com"),
            date=WHEN,
            list_id="alerts.main",
            attachments=(Attachment("a.bin", "application/octet-stream", data=bytes(range(256)) * 30),),
        )
    )
    assert isinstance(raw, bytes), raw
    return raw


def verdict(folder: Path, raw: bytes, kind: str) -> str:
    """What OpenDKIM would write into Authentication-Results: pass, fail, …"""
    root = unpacked(listed())
    (folder / "keys").write_text(f"{NAME} {record(kind)}\n")
    (folder / "opendkim.conf").write_text(f"Mode v\nTestPublicKeys {folder}/keys\nStrictTestMode yes\n")
    (folder / "mail.eml").write_bytes(raw)
    libraries = [*(root / "usr/lib").glob("*-linux-gnu"), *(root / "lib").glob("*-linux-gnu"), root / "usr/lib"]
    done = subprocess.run(
        [root / "usr/sbin/opendkim", "-x", folder / "opendkim.conf", "-t", folder / "mail.eml", "-vvv"],
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, libraries))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = re.search(r"\bdkim=(\w+)", done.stdout)
    assert found, done.stdout + done.stderr
    return found[1]


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
async def test_opendkim_takes_a_signature_as_postfix_delivered_it_and_no_changed_mail(postfix, tmp_path, kind):
    raw = signed(letter(f"dkim-{kind}"), key(kind), WHEN)
    session = await open_session(loopback(postfix.ports["plain"]), dialer(), StageLog())
    assert isinstance(session, Session), session

    async def go_on() -> bool:
        return True

    report = await submit(session, Envelope(USER, (MAILBOX,)), raw, go_on)
    await session.quit()
    assert report.fault is None, report.fault
    delivered = postfix.mail_with("inbox", f"dkim-{kind}".encode()).replace(b"\n", b"\r\n")
    assert delivered != raw, "Postfix adds its own headers"
    assert verdict(tmp_path, delivered, kind) == "pass"
    assert (
        verdict(tmp_path, delivered.replace(b"Auto-Submitted: auto-generated", b"Auto-Submitted: no"), kind) == "fail"
    )
    assert verdict(tmp_path, delivered.replace(b"<p>Hello</p>", b"<p>Hullo</p>"), kind) == "fail"
    assert verdict(tmp_path, delivered.replace(b"From: ", b"Subject: x\r\nFrom: ", 1), kind) == "fail"
