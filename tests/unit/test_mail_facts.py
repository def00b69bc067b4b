"""Facts of a mail that anybody wrote as JSON: they become a harmless mail or a sentence, never an exception."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailrig import FACTS, HOSTILE, NOW, POD, is_harmless
from watchbell.api.enums import BuiltinTemplate, IncidentKind
from watchbell.mail.builtin import unpack
from watchbell.mail.document import Rendered, moment
from watchbell.mail.facts import CrashFacts, DigestEntry, DigestFacts, DigestReason

CRASH: dict[str, Any] = json.loads(msgspec.json.encode(FACTS))
ENTRY = DigestEntry("i", "Deployment", "otel", "OOMKilled", "Critical", "Fired", "c", 1, NOW, NOW, 3, "", (POD,))
DIGEST: dict[str, Any] = json.loads(msgspec.json.encode(DigestFacts("c", "prod", "p", "", NOW, (ENTRY,))))
EDGES = ("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
TIMES = st.sampled_from((*EDGES, "2026-11-21T14:14:20Z"))
NUMBERS = st.sampled_from((-(2**62), -1, 0, 1, 7, 2**62))


def mail_of(template: BuiltinTemplate, facts: dict[str, Any]) -> Rendered:
    mail = unpack(template, json.dumps(facts))
    assert isinstance(mail, Rendered), mail
    return mail


def test_facts_read_back_as_they_were_written() -> None:
    assert msgspec.json.decode(msgspec.json.encode(FACTS), type=CrashFacts) == FACTS


@pytest.mark.parametrize("template", [BuiltinTemplate.CRASH, BuiltinTemplate.RESOLVED])
@pytest.mark.parametrize("field", ["start_time", "now", "well_since"])
def test_a_time_without_its_zone_is_refused_with_its_place(template: BuiltinTemplate, field: str) -> None:
    found = unpack(template, json.dumps({**CRASH, field: "2026-11-21T14:14:20"}))
    assert isinstance(found, str)
    assert field in found


@pytest.mark.parametrize("time", EDGES)
def test_times_at_the_ends_of_the_calendar_are_shown_and_break_nothing(time: str) -> None:
    pod = {**CRASH["pods"][0], "last_time": time}
    for template in (BuiltinTemplate.CRASH, BuiltinTemplate.RESOLVED):
        for kind in ("OOMKilled", "Drift"):
            facts = {**CRASH, "kind": kind, "start_time": time, "now": time, "well_since": time, "pods": [pod]}
            assert is_harmless(mail_of(template, facts))
    entry = {**DIGEST["entries"][0], "first_time": time, "last_time": time, "pods": [pod]}
    silence = {"name": "s", "start_time": time, "end_time": time}
    for reason in DigestReason:
        facts = {**DIGEST, "now": time, "entries": [entry], "silence": silence, "reason": str(reason)}
        assert is_harmless(mail_of(BuiltinTemplate.DIGEST, facts))


def test_a_moment_is_told_in_utc() -> None:
    assert moment(NOW) == "2026-11-21 14:14:20 UTC"


@given(st.lists(NUMBERS, min_size=9, max_size=9), TIMES, TIMES, st.sampled_from(list(IncidentKind)), st.booleans())
@settings(max_examples=100)
def test_no_number_and_no_time_breaks_a_mail(
    numbers: list[int], start: str, end: str, kind: IncidentKind, gone: bool
) -> None:
    pod = {
        **CRASH["pods"][0],
        "exit_code": numbers[0],
        "signal": numbers[1],
        "restarts": numbers[2],
        "last_time": start,
    }
    counts = dict(
        zip(
            ("affected_count", "repeat_seconds", "resolve_after_seconds", "flaps", "hidden_pods", "hidden_owners"),
            numbers[3:],
            strict=True,
        )
    )
    facts = {
        **CRASH,
        **counts,
        "pods": [pod],
        "kind": str(kind),
        "start_time": start,
        "now": end,
        "are_pods_gone": gone,
    }
    for template in (BuiltinTemplate.CRASH, BuiltinTemplate.RESOLVED):
        assert is_harmless(mail_of(template, facts))
    entry = {
        **DIGEST["entries"][0],
        "pods": [pod],
        "pods_count": numbers[0],
        "occurrences": numbers[1],
        "flaps": numbers[2],
    }
    digest = {
        **DIGEST,
        "entries": [entry],
        "total": numbers[3],
        "period_seconds": numbers[4],
        "messages_per_hour": numbers[5],
        "part": numbers[6],
        "parts": numbers[7],
    }
    assert is_harmless(mail_of(BuiltinTemplate.DIGEST, digest))


@given(
    st.sampled_from(list(BuiltinTemplate)),
    st.dictionaries(
        st.sampled_from(sorted({*CRASH, *DIGEST, "differences", "events", "pods", "entries", "silence"})),
        st.one_of(
            HOSTILE,
            NUMBERS,
            st.none(),
            st.booleans(),
            st.lists(HOSTILE, max_size=3),
            st.just({}),
            st.lists(st.just({}), max_size=2),
        ),
        max_size=4,
    ),
)
@settings(max_examples=200)
def test_facts_of_any_shape_are_a_mail_or_a_sentence(template: BuiltinTemplate, changes: dict[str, Any]) -> None:
    base = DIGEST if template is BuiltinTemplate.DIGEST else CRASH
    found = unpack(template, json.dumps({**base, **changes}, ensure_ascii=True))
    if isinstance(found, Rendered):
        assert is_harmless(found)
    else:
        assert found.startswith("is not what the built-in template")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"cluster": "\\ud800"}', "[" * 5000, '{"x": ' + "[" * 5000, '"\ud800"'],
)
def test_what_is_no_facts_at_all_is_refused_in_a_sentence(text: str) -> None:
    for template in BuiltinTemplate:
        assert isinstance(unpack(template, text), str)
