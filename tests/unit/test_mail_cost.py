"""What a mail costs: measured against the standard library in the same run, so that a slow machine changes nothing."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage

from watchbell.mail.address import Mailbox
from watchbell.mail.crash import CrashFacts, PodFacts, render_crash
from watchbell.mail.message import Draft, build, message_id

NOW = datetime(2026, 11, 21, 14, 14, 20, tzinfo=UTC)
TEXT = "Collector prod/otel-gateway keeps failing.\n" * 30
HTML = "<p>Collector prod/otel-gateway keeps failing.</p>\n" * 40


def best_ms(work: Callable[[], object], rounds: int) -> float:
    """CPU time of the best of five runs."""
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        for _ in range(rounds):
            work()
        best = min(best, (time.process_time() - started) / rounds * 1000)
    return best


def draft() -> Draft:
    mailbox = Mailbox("On Call", "oncall@example.org")
    return Draft(
        mailbox,
        (mailbox,),
        "Collector prod/otel-gateway crash looping",
        TEXT,
        message_id(("a",), "example.org"),
        NOW,
        HTML,
    )


def by_the_standard_library() -> bytes:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = message["To"] = "On Call <oncall@example.org>"
    message["Subject"] = "Collector prod/otel-gateway crash looping"
    message["Message-ID"] = message_id(("a",), "example.org")
    message.set_content(TEXT, cte="quoted-printable")
    message.add_alternative(HTML, subtype="html", cte="quoted-printable")
    return message.as_bytes()


def crash_facts() -> CrashFacts:
    pod = PodFacts("otel-gateway-6d5f9c7b88-x2kqp", "node-7", 1, None, "Error", 7, NOW - timedelta(seconds=22))
    line = '2026-11-20T14:02:11.123Z\terror\tqueue.go:132\tExporting failed\t{"name": "otlp/1", "error": "code = Unavailable"}'
    return CrashFacts(
        "c",
        "ns",
        "p",
        "i",
        "Deployment",
        "o",
        "CrashLoopBackOff",
        "Critical",
        "c",
        "image:1",
        (pod,),
        NOW,
        NOW,
        log_lines=(line,) * 20,
    )


def test_building_a_mail_takes_less_than_half_of_what_the_standard_library_takes() -> None:
    ours, theirs = best_ms(lambda: build(draft()), 50), best_ms(by_the_standard_library, 20)
    assert ours < theirs / 2, f"{ours:.3f} ms against {theirs:.3f} ms"


def test_rendering_a_crash_mail_takes_less_than_the_standard_library_takes_to_write_one() -> None:
    facts = crash_facts()
    ours, theirs = best_ms(lambda: render_crash(facts), 30), best_ms(by_the_standard_library, 20)
    assert ours < theirs, f"{ours:.3f} ms against {theirs:.3f} ms"
