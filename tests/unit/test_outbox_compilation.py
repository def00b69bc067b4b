"""One mail of several messages: what goes in, what goes along, how much fits, and what an incident's mails come to after an outage."""

import email
import email.policy
from dataclasses import replace

import pytest

from mailrig import FACTS as CRASH
from watchbell.api.enums import BuiltinTemplate, Priority
from watchbell.mail.address import Mailbox
from watchbell.mail.builtin import Packed, packed_or_rendered
from watchbell.outbox.letters.letter import Composed, Letter, compose, read
from watchbell.outbox.outlet import ConnectorKey, Outlet
from watchbell.outbox.together.compilation import ENCLOSED_MAX, RECOVERED, Page, bundle, fitting, retelling
from watchbell.smtp.model import Relay

OUTLET = Outlet(
    ConnectorKey("SmtpConnector", "apps", "main"), Relay("mail.example.com", 587), Mailbox("", "a@example.com")
)


def page(name, incidents="", **spec):
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "EmailMessage",
        "metadata": {
            "name": name,
            "namespace": "apps",
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-11-21T08:00:00Z",
            "annotations": {"watchbell.dev/incidents": incidents},
        },
        "spec": {"to": ["ops@example.org"], "subject": f"About {name}", "body": {"text": f"{name} says so.\n"}, **spec},
    }
    if "templateRef" in spec:
        del body["spec"]["body"]
    letter = read(body)
    assert isinstance(letter, Letter), letter
    alone = compose(letter, OUTLET, "")
    assert isinstance(alone, Composed), alone
    return Page(letter, body, alone.payload)


def alert(name, builtin, priority="Normal", **facts):
    packed = packed_or_rendered(builtin, replace(CRASH, **facts))
    assert isinstance(packed, Packed)
    transition = "Resolved" if builtin is BuiltinTemplate.RESOLVED else "Fired"
    return page(
        name,
        f"otel-7f3a91:1:{transition}",
        subject=packed.subject,
        templateRef={"builtin": str(builtin)},
        parameters=[{"name": "facts", "value": packed.facts}],
        priority=priority,
    )


def sent(letter):
    made = compose(letter, OUTLET, "")
    assert isinstance(made, Composed), made
    return email.message_from_bytes(made.payload, policy=email.policy.default)


def test_one_message_of_a_batch_is_sent_as_it_is():
    alone = page("alone", body={"html": "<p>Hi</p>"})
    assert bundle([alone], "reports", "") == alone.letter


def test_the_bytes_of_a_bundle_follow_from_its_messages_and_not_from_their_order_of_arrival():
    pages = [page("a"), page("b", priority="Low"), page("c", body={"text": "t", "html": "<p>t</p>"})]
    first, second = (compose(bundle(pages, "reports", "prod"), OUTLET, "") for _ in range(2))
    assert first == second
    assert bundle(pages, "reports", "").uid == bundle(pages[::-1], "reports", "").uid
    assert bundle(pages, "reports", "").priority is Priority.NORMAL
    assert bundle(pages[:2], "reports", "").uid != bundle(pages, "reports", "").uid


def test_an_enclosed_mail_can_be_read_back_whole_by_any_mail_program():
    html = page("rich", body={"text": "t\n", "html": "<p>ü</p>"}, cc=["Ünal <u@example.org>"])
    mail = sent(bundle([page("a"), html], "reports", ""))
    [inner] = [part for part in mail.iter_attachments() if part.get_content_type() == "message/rfc822"]
    assert inner.get_filename() == "message-2.eml"
    assert inner.get_content()["Cc"] == "Ünal <u@example.org>"
    assert inner.get_content().get_body(("html",)).get_content().strip() == "<p>ü</p>"
    assert inner.get_content()["Message-ID"] != mail["Message-ID"]
    assert mail.defects == []


def test_what_fits_is_bounded_by_size_by_text_and_by_the_number_of_enclosed_mails():
    small, rich = page("s"), page("r", body={"text": "t", "html": "<p>t</p>"})
    large = page("l", body={"text": "x" * 200_000})
    assert fitting([small] * 100, 10_485_760) == 100
    assert fitting([rich] * 100, 10_485_760) == ENCLOSED_MAX
    assert fitting([large] * 100, 10_485_760) == 5
    assert fitting([large] * 100, 2_000_000) == 2
    assert fitting([large] * 2, 1024) == 1


@pytest.mark.parametrize("limit", [300_000, 500_000, 1_000_000, 3_000_000])
def test_what_fits_is_never_larger_than_the_connector_takes(limit):
    pages = [
        page(f"m{i}", body={"text": ("ä" if i % 3 else "<") * 9_000, "html": "<p>ß</p>" * 400})
        if i % 2
        else page(f"m{i}", body={"text": ("ä" if i % 3 else "<") * 9_000})
        for i in range(60)
    ]
    number = fitting(pages, limit)
    assert number > 1
    made = compose(bundle(pages[:number], "k" * 63, "c" * 80), OUTLET, "")
    assert isinstance(made, Composed)
    assert len(made.payload) <= limit


def test_fired_and_resolved_become_one_mail_that_says_so_and_holds_the_first():
    fired = alert("fired", BuiltinTemplate.CRASH, "High")
    mail = sent(retelling([fired, alert("resolved", BuiltinTemplate.RESOLVED)]))
    assert mail["Subject"] == f"{fired.letter.subject}: {RECOVERED}"
    assert mail["Importance"] == "high"
    for part in ("plain", "html"):
        said = mail.get_body((part,)).get_content()
        assert "It began and was over while no mail could be sent" in said
        assert "It was Critical." in said
        assert "runs again" in said
    [first] = [part.get_content() for part in mail.iter_attachments()]
    assert first["Subject"] == fired.letter.subject
    assert "no such host" in first.get_body(("plain",)).get_content()


def test_a_later_telling_takes_the_place_of_those_before_it():
    pages = [
        alert("fired", BuiltinTemplate.CRASH),
        alert("again", BuiltinTemplate.CRASH, is_reminder=True),
        alert("worse", BuiltinTemplate.CRASH, "High", severity="Critical", escalated_from="Warning"),
    ]
    letter = retelling(pages)
    assert letter.subject == pages[-1].letter.subject
    assert "Mail could not be sent for a while. The 2 earlier mails about it are attached." in letter.text
    assert "It was Warning before." in letter.text
    assert [one.filename for one in letter.enclosed] == ["mail-1.eml", "mail-2.eml"]
    assert letter.priority is Priority.HIGH


def test_a_drift_that_came_and_went_says_so_too():
    drift = {"kind": "Drift", "log_lines": ()}
    pages = [alert("f", BuiltinTemplate.CRASH, **drift), alert("r", BuiltinTemplate.RESOLVED, **drift)]
    assert "It began and was over while no mail could be sent" in retelling(pages).text


def test_mails_in_the_users_own_words_are_told_with_a_sentence_before_them():
    letter = retelling([page("fired"), page("resolved")])
    assert letter.text == (
        "Mail could not be sent for a while. The earlier mail about it is attached.\n\nresolved says so.\n"
    )
    assert letter.subject == "About resolved"
    assert retelling([page("fired"), page("over", "i:2:Resolved")]).subject == f"About fired: {RECOVERED}"


def test_one_alert_alone_is_sent_as_it_is():
    fired = alert("fired", BuiltinTemplate.CRASH)
    assert retelling([fired]) == fired.letter
