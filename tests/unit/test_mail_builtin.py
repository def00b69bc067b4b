"""Facts that wait in an EmailMessage: small, without secrets, and the same mail when it is sent."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrig import FACTS, HOSTILE, NOW, POD
from watchbell.api.enums import BuiltinTemplate
from watchbell.mail.builtin import PACKED_MAX_BYTES, Packed, pack, packed_or_rendered, subject_of, unpack
from watchbell.mail.crash import render_crash, render_resolved
from watchbell.mail.digest import render_digest
from watchbell.mail.document import Rendered
from watchbell.mail.facts import (
    CrashFacts,
    DifferenceFacts,
    DigestEntry,
    DigestFacts,
    DigestReason,
    PodFacts,
    Return,
    SilenceFacts,
)

SECRET = "AKIAIOSFODNN7EXAMPLE"
DRIFT = replace(
    FACTS,
    kind="Drift",
    severity="Warning",
    differences=(DifferenceFacts("Image", "containers[c].image", "otel:1", "otel:2"),),
    return_reason=Return.ROLLED_BACK,
)
ENTRY = DigestEntry(
    "gateways-x", "Deployment", "otel-gateway", "OOMKilled", "Critical", "Fired", pods=(POD,), first_time=NOW
)
DIGEST = DigestFacts("prod-eu-1", "prod", "gateways", "", NOW, (ENTRY, replace(ENTRY, transition="Resolved")))
RICH = replace(
    FACTS,
    events=("BackOff: restarting", "Failed: no such image"),
    changes=("Image: a to b.",),
    well_since=NOW - timedelta(minutes=1),
    send_resolved=False,
    pods=(
        POD,
        replace(POD, name="second", exit_code=137, signal=9, memory_limit="", message="last words\nof two lines"),
    ),
)

MAILS = {
    "a crash": (BuiltinTemplate.CRASH, FACTS, render_crash),
    "a crash of which much is known": (BuiltinTemplate.CRASH, RICH, render_crash),
    "a drift": (BuiltinTemplate.CRASH, DRIFT, render_crash),
    "an end": (BuiltinTemplate.RESOLVED, RICH, render_resolved),
    "back to baseline": (BuiltinTemplate.RESOLVED, DRIFT, render_resolved),
    "a digest": (BuiltinTemplate.DIGEST, DIGEST, render_digest),
}


def unpacked(builtin: BuiltinTemplate, facts: object) -> Rendered:
    packed = pack(facts)  # type: ignore[arg-type]  # one of both kinds
    assert packed is not None
    rendered = unpack(builtin, packed)
    assert isinstance(rendered, Rendered), rendered
    return rendered


@pytest.mark.parametrize("name", MAILS)
def test_what_waited_is_the_mail_that_would_have_been_sent_at_once(name: str) -> None:
    builtin, facts, render = MAILS[name]
    assert unpacked(builtin, facts) == render(facts)


@pytest.mark.parametrize("name", MAILS)
def test_the_subject_is_known_before_the_mail_is_rendered(name: str) -> None:
    builtin, facts, render = MAILS[name]
    assert subject_of(builtin, facts) == render(facts).subject


def test_the_subject_of_a_silence_that_ended_is_known_too() -> None:
    facts = replace(DIGEST, reason=DigestReason.SILENCE_ENDED, silence=SilenceFacts("maintenance"))
    assert subject_of(BuiltinTemplate.DIGEST, facts) == render_digest(facts).subject


def test_an_alert_waits_in_a_tenth_of_its_size() -> None:
    rendered = render_crash(FACTS)
    assert len(pack(FACTS) or "") < (len(rendered.text) + len(rendered.html)) / 10


@pytest.mark.parametrize(
    "facts",
    [
        replace(FACTS, log_lines=("starting", f"key {SECRET}")),
        replace(FACTS, pods=(replace(POD, message=f"panic: {SECRET}"),)),
        replace(FACTS, events=(f"Failed: {SECRET}",)),
        replace(FACTS, changes=(f"Args: {SECRET}",)),
        replace(FACTS, note=f"It said {SECRET}"),
        replace(DRIFT, differences=(DifferenceFacts("Args", "containers[c].args", SECRET, f"--key={SECRET}"),)),
        replace(DIGEST, entries=(replace(ENTRY, reason=f"It said {SECRET}"),)),
        replace(DIGEST, entries=(replace(ENTRY, pods=(replace(POD, message=SECRET),)),)),
    ],
)
def test_no_secret_waits_in_an_object(facts: CrashFacts | DigestFacts) -> None:
    packed = pack(facts)
    assert packed is not None
    assert SECRET not in packed
    assert "[redacted]" in packed


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        ("", "is not what the built-in template Crash takes"),
        ("[]", "Expected `object`"),
        ('{"cluster": "c"}', "missing required field"),
        ('{"cluster": 7}', "Expected `str`"),
    ],
)
def test_what_is_no_facts_is_said_in_a_sentence(packed: str, said: str) -> None:
    problem = unpack(BuiltinTemplate.CRASH, packed)
    assert isinstance(problem, str)
    assert said in problem


def test_a_later_versions_fields_are_passed_over_and_an_earlier_ones_have_their_defaults() -> None:
    facts = json.loads(pack(FACTS) or "")
    assert "flaps" not in facts
    newer = json.dumps(facts | {"mood": "sunny"})
    assert unpack(BuiltinTemplate.CRASH, newer) == render_crash(FACTS)


def test_facts_too_large_for_an_object_are_not_packed() -> None:
    pods = tuple(PodFacts(f"pod-{number}", message="w" * 1000) for number in range(PACKED_MAX_BYTES // 1000))
    facts = replace(DIGEST, entries=(replace(ENTRY, pods=pods),))
    assert pack(facts) is None
    assert packed_or_rendered(BuiltinTemplate.DIGEST, facts) == render_digest(facts)
    assert isinstance(packed_or_rendered(BuiltinTemplate.DIGEST, DIGEST), Packed)


@given(texts=st.lists(HOSTILE, min_size=4, max_size=4))
def test_hostile_text_waits_as_it_came(texts: list[str]) -> None:
    clean = [text.encode(errors="replace").decode() for text in texts]
    facts = replace(
        FACTS, owner_name=clean[0], pods=(replace(POD, name=clean[1], message=clean[2]),), container=clean[3]
    )
    assert unpacked(BuiltinTemplate.CRASH, facts).subject == render_crash(facts).subject
