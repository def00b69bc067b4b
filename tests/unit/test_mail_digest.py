"""Digests: the worst stays in sight, every incident is listed, every pod is in the CSV, and a mail is never too large."""

import csv
import dataclasses
import io
import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailrig import HOSTILE, NOW, POD, both, flat, is_harmless, words_of
from watchbell.mail.digest import DigestEntry, DigestFacts, DigestReason, SilenceFacts, digest_csv, render_digest
from watchbell.mail.digest_table import COLUMNS, MAX_BYTES, cell, table

FAILING = DigestEntry(
    incident="gateways-otel-gateway-7f3a91",
    owner_kind="Deployment",
    owner_name="otel-gateway",
    kind="CrashLoopBackOff",
    severity="Critical",
    transition="Fired",
    container="otel-collector",
    pods_count=1,
    first_time=NOW - timedelta(minutes=12),
    last_time=NOW - timedelta(seconds=22),
    occurrences=7,
    pods=(POD,),
)
OVER = dataclasses.replace(FAILING, incident="gateways-otel-tail-1", owner_name="otel-tail", transition="Resolved")
WARNING = dataclasses.replace(
    FAILING,
    incident="gateways-otel-agent-2",
    owner_kind="DaemonSet",
    owner_name="otel-agent",
    kind="NotReady",
    severity="Warning",
    container="",
)
FACTS = DigestFacts("prod-eu-1", "prod", "gateways", "", NOW, (WARNING, FAILING, OVER), period_seconds=300)
SILENCE = SilenceFacts("node-upgrade", NOW - timedelta(hours=4), NOW, "Kernel upgrade, CHG-4711", "ada@example.org")


def many(number: int, pods: int = 1, **changes: object) -> tuple[DigestEntry, ...]:
    return tuple(
        dataclasses.replace(
            FAILING,
            incident=f"gateways-otel-{index}",
            owner_name=f"otel-{index}",
            pods_count=pods,
            pods=tuple(dataclasses.replace(POD, name=f"otel-{index}-{pod}") for pod in range(pods)),
            **changes,  # type: ignore[arg-type] # the names are those of DigestEntry
        )
        for index in range(number)
    )


def rows_of(facts: DigestFacts) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(digest_csv(facts), newline="")))


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({}, "Collectors in prod: 2 incidents, worst Critical, 1 resolved, on prod-eu-1"),
        ({"entries": many(12)}, "Collectors in prod: 12 incidents, worst Critical, on prod-eu-1"),
        ({"entries": (WARNING,)}, "Collectors in prod: 1 incident, Warning, on prod-eu-1"),
        ({"entries": (OVER, OVER)}, "Collectors in prod: 2 incidents resolved on prod-eu-1"),
        (
            {"entries": (WARNING, WARNING), "severity": "Critical"},
            "Collectors in prod: 2 incidents, worst Critical, on prod-eu-1",
        ),
        (
            {"entries": many(50), "part": 2, "parts": 3, "cluster": ""},
            "Collectors in prod: 50 incidents, worst Critical, part 2 of 3",
        ),
    ],
)
def test_the_subject_counts_and_keeps_the_worst_severity(changes: dict[str, object], subject: str) -> None:
    mail = render_digest(dataclasses.replace(FACTS, **changes))  # type: ignore[arg-type] # the names are those of DigestFacts
    assert mail.subject == subject
    assert not re.search(r"[\[\]]", mail.subject)


def test_the_worst_severity_is_the_status_in_words_and_in_colour() -> None:
    critical, warning, over = (
        render_digest(dataclasses.replace(FACTS, entries=entries))
        for entries in ((WARNING, FAILING), (WARNING,), (OVER,))
    )
    for mail, status, bar in (
        (critical, "CRITICAL", "#d92d20"),
        (warning, "WARNING", "#e08700"),
        (over, "RESOLVED", "#1f9d57"),
    ):
        assert mail.text.startswith(f"{status}: ")
        assert bar in mail.html


def test_every_incident_is_listed_by_severity_then_by_owner_in_both_parts() -> None:
    for part in both(render_digest(FACTS)):
        order = [
            part.index(wanted)
            for wanted in (
                "Critical: 1 incident",
                "Deployment otel-gateway",
                "Warning: 1 incident",
                "DaemonSet otel-agent",
                "Resolved: 1 incident",
                "Deployment otel-tail",
            )
        ]
        assert order == sorted(order)
        for wanted in (
            "crash looping",
            "not ready",
            "was crash looping",
            "container otel-collector",
            "exit 1",
            "7 failures, 14:02 to 14:13 UTC",
            "1 pod",
            "pod otel-gateway-6d5f9c7b88-x2kqp on node-7",
        ):
            assert wanted in part, wanted


def test_two_troubles_of_one_owner_stand_under_its_name_once() -> None:
    other = dataclasses.replace(FAILING, incident="other", kind="ImagePullFailed", container="sidecar")
    mail = render_digest(dataclasses.replace(FACTS, entries=(FAILING, other)))
    for part in both(mail):
        assert part.split("Run next")[0].count("Deployment otel-gateway") == 1
        assert "image cannot be pulled" in part
        assert "container sidecar" in part


def test_repeats_escalations_and_flapping_are_told_from_what_is_new() -> None:
    entries = (
        dataclasses.replace(FAILING, transition="Repeated"),
        dataclasses.replace(WARNING, transition="Escalated", flaps=4),
    )
    for part in both(render_digest(dataclasses.replace(FACTS, entries=entries))):
        assert "still crash looping" in part
        assert "worse now: not ready" in part
        assert "flapping, 4 times" in part
        assert "1 of them went on since an earlier mail. 1 of them became worse." in part


def test_a_day_that_is_not_the_mails_is_named() -> None:
    entry = dataclasses.replace(FAILING, first_time=NOW - timedelta(days=2))
    assert "2026-11-19 14:14 to 14:13 UTC" in flat(render_digest(dataclasses.replace(FACTS, entries=(entry,))).text)


def test_a_digest_says_why_it_is_one_mail() -> None:
    assert "They share a mail because they came within 5 min." in flat(render_digest(FACTS).text)
    throttled = dataclasses.replace(FACTS, reason=DigestReason.THROTTLED, messages_per_hour=30)
    assert "budget of 30 mails an hour was used up; nothing was dropped" in flat(render_digest(throttled).text)
    assert "share a mail" not in render_digest(dataclasses.replace(FACTS, entries=(FAILING,))).text


def test_the_text_part_has_every_word_of_the_html_part() -> None:
    for facts in (
        FACTS,
        dataclasses.replace(FACTS, reason=DigestReason.SILENCE_ENDED, silence=SILENCE, template_failure="line 1: nope"),
    ):
        text, page = both(render_digest(facts))
        assert words_of(page) - words_of(text.replace("CRITICAL", "Critical")) == set()


def test_a_thousand_pods_of_fifty_incidents_are_one_mail_that_lists_every_one() -> None:
    facts = dataclasses.replace(FACTS, entries=many(50, 20))
    mail = render_digest(facts)
    assert is_harmless(mail)
    for part in both(mail):
        assert "1000 pods of 50 workloads fail: 50 Critical." in part
        for index in range(50):
            assert f"Deployment otel-{index}" in part
        assert "and 1 more" not in part
        assert "incidents.csv is attached: a row for each pod, 1000 rows." in part
    assert len({row["pod"] for row in rows_of(facts)}) == 1000
    assert [item.filename for item in mail.attachments] == ["incidents.csv"]
    assert mail.attachments[0].text == digest_csv(facts)


def test_more_than_fifty_incidents_are_counted_in_the_mail_and_listed_in_the_csv() -> None:
    facts = dataclasses.replace(FACTS, entries=many(120))
    mail = render_digest(facts)
    assert is_harmless(mail)
    for part in both(mail):
        assert "120 incidents" in part
        assert "and 70 more" in part
        assert "It has the 70 incidents for which there was no room above, too." in part
    assert len(rows_of(facts)) == 120


def test_a_silence_that_ended_tells_what_still_fails_first_and_then_what_resolved() -> None:
    facts = dataclasses.replace(FACTS, reason=DigestReason.SILENCE_ENDED, silence=SILENCE)
    mail = render_digest(facts)
    assert mail.subject == "Silence node-upgrade ended in prod: 2 incidents still failing, worst Critical, on prod-eu-1"
    for part in both(mail):
        assert "Silence node-upgrade has ended" in part
        assert (
            "2 incidents that it held back fail still: 2 pods of 2 workloads, 1 Critical, 1 Warning. 1 incident began and resolved meanwhile."
            in part
        )
        order = [
            part.index(wanted)
            for wanted in (
                "Critical: 1 incident",
                "Warning: 1 incident",
                "Resolved meanwhile: 1 incident",
                "The silence",
            )
        ]
        assert order == sorted(order)
        for wanted in (
            "Kernel upgrade, CHG-4711.",
            "ada@example.org",
            "2026-11-21 10:14:20 UTC",
            "2026-11-21 14:14:20 UTC",
        ):
            assert wanted in part
    assert is_harmless(mail)


def test_a_silence_after_which_nothing_fails_says_so_without_alarm() -> None:
    facts = dataclasses.replace(
        FACTS,
        reason=DigestReason.SILENCE_ENDED,
        silence=dataclasses.replace(SILENCE, was_deleted=True),
        entries=(OVER,),
    )
    mail = render_digest(facts)
    assert mail.subject == "Silence node-upgrade ended in prod: 1 incident resolved meanwhile on prod-eu-1"
    assert mail.text.startswith("ALL WELL: Silence node-upgrade was taken back")
    assert "Nothing that it held back fails any more." in mail.text
    assert "#1f9d57" in mail.html


def test_the_csv_has_a_row_for_each_pod_and_reads_back_as_it_was_put_in() -> None:
    quoted = dataclasses.replace(POD, name='a,"b"', reason="")
    facts = dataclasses.replace(
        FACTS,
        entries=(dataclasses.replace(FAILING, pods=(POD, quoted), pods_count=5), dataclasses.replace(WARNING, pods=())),
    )
    rows = rows_of(facts)
    assert digest_csv(facts).splitlines()[0].split(",") == list(COLUMNS)
    assert [row["pod"] for row in rows] == [POD.name, 'a,"b"', ""]
    assert rows[0] == {
        "cluster": "prod-eu-1",
        "namespace": "prod",
        "owner_kind": "Deployment",
        "owner": "otel-gateway",
        "container": "otel-collector",
        "kind": "CrashLoopBackOff",
        "severity": "Critical",
        "transition": "Fired",
        "incident": "gateways-otel-gateway-7f3a91",
        "first_time_utc": "2026-11-21 14:02:20",
        "last_time_utc": "2026-11-21 14:13:58",
        "occurrences": "7",
        "affected_pods": "5",
        "reason": "",
        "image": "",
        "pod": POD.name,
        "node": "node-7",
        "pod_reason": "Error",
        "exit_code": "1",
        "signal": "",
        "restarts": "7",
        "pod_last_time_utc": "2026-11-21 14:13:58",
    }
    assert all(line.endswith("\r\n") for line in digest_csv(facts).splitlines(keepends=True))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1+1",
        " =cmd|' /C calc'!A0",
        '=HYPERLINK("http://x")',
    ],
)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    shown = cell(text)
    assert shown.lstrip('"').startswith(("'", "\\"))
    row = rows_of(
        dataclasses.replace(FACTS, entries=(dataclasses.replace(FAILING, pods=(dataclasses.replace(POD, name=text),)),))
    )[0]
    assert not row["pod"].lstrip().startswith(("=", "+", "-", "@"))


@given(st.text(st.characters(), max_size=400))
def test_every_cell_reads_back_as_one_harmless_cell(text: str) -> None:
    rows = list(csv.reader(io.StringIO(f"{cell(text)},end\r\n", newline="")))
    assert len(rows) == 1
    assert len(rows[0]) == 2
    assert len(rows[0][0]) <= 301
    assert not rows[0][0].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_table_that_is_too_large_is_cut_and_both_parts_say_so() -> None:
    facts = dataclasses.replace(FACTS, entries=many(50, 100))
    whole = table(facts)
    mail = render_digest(facts)
    assert len(whole.text.encode()) <= MAX_BYTES
    assert not whole.is_whole
    assert whole.total == 5000
    rows = rows_of(facts)
    assert len(rows) == whole.rows + 1
    assert rows[-1]["cluster"] == f"{5000 - whole.rows} more rows left out: a mail cannot be larger"
    for part in both(mail):
        assert f"with the first {whole.rows} of 5000 rows" in part


def test_secrets_in_reasons_are_redacted_everywhere() -> None:
    entry = dataclasses.replace(FAILING, reason="cannot log in: password=hunter2hunter2")
    silence = dataclasses.replace(SILENCE, comment="token: hunter2hunter2")
    for reason in (DigestReason.BATCH, DigestReason.SILENCE_ENDED):
        mail = render_digest(dataclasses.replace(FACTS, entries=(entry,), silence=silence, reason=reason))
        assert "hunter2" not in mail.text + mail.html + mail.attachments[0].text


def hostile_entry(texts: list[str]) -> DigestEntry:
    pod = dataclasses.replace(POD, name=texts[0], node=texts[1], reason=texts[2], memory_limit=texts[3], exit_code=None)
    return DigestEntry(
        texts[4],
        texts[5],
        texts[6],
        texts[7],
        texts[8],
        texts[9],
        texts[10],
        1,
        NOW,
        NOW,
        3,
        texts[11],
        (pod,),
        texts[0],
        2,
        texts[1],
    )


@given(st.lists(HOSTILE, min_size=12, max_size=12), st.sampled_from(list(DigestReason)))
@settings(max_examples=150)
def test_no_text_can_spoil_a_digest_its_headers_or_its_csv(texts: list[str], reason: DigestReason) -> None:
    silence = SilenceFacts(texts[0], NOW, NOW, texts[1], texts[2])
    entries = (hostile_entry(texts), hostile_entry(texts[::-1]))
    facts = DigestFacts(
        texts[3],
        texts[4],
        texts[5],
        texts[6],
        NOW,
        entries,
        reason,
        texts[7],
        texts[8],
        silence,
        template_failure=texts[9],
    )
    mail = render_digest(facts)
    assert is_harmless(mail)
    assert len(rows_of(facts)) == 2
    for row in rows_of(facts):
        for value in row.values():
            assert not value.startswith(("=", "+", "@", "\t", "\r"))


@pytest.mark.parametrize("unit", ["a", "<", "&", "💩", "\x00", "\u202e", "\n", "ü "])
def test_megabytes_of_anything_make_a_small_digest(unit: str) -> None:
    flood = unit * (1_000_000 // len(unit))
    entry = hostile_entry([flood] * 12)
    each = tuple(
        dataclasses.replace(entry, severity=f"{index}{flood}", owner_name=f"{index}{flood}") for index in range(60)
    )
    for reason in DigestReason:
        facts = DigestFacts(
            flood,
            flood,
            flood,
            "",
            NOW,
            each,
            reason,
            flood,
            flood,
            SilenceFacts(flood, NOW, NOW, flood, flood),
            template_failure=flood,
        )
        mail = render_digest(facts)
        assert is_harmless(mail)
        assert len(mail.text.encode()) < 100_000
        assert len(mail.attachments[0].text.encode()) <= MAX_BYTES
