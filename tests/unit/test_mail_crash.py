"""The built-in mails: what they say, that both parts say it, and that nothing from a pod can spoil them."""

import dataclasses
import re
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailrig import FACTS, HOSTILE, NOW, POD, Page, flat, is_harmless
from watchbell.mail.crash import CrashFacts, PodFacts, render_crash, render_resolved
from watchbell.mail.document import span
from watchbell.mail.trial import TrialFacts, render_trial
from watchbell.mail.untrusted import name, visible


@pytest.mark.parametrize("part", ["text", "html"])
def test_the_crash_mail_says_everything_in_both_parts(part: str) -> None:
    mail = render_crash(FACTS)
    said = flat(mail.text) if part == "text" else Page(mail.html).text
    for wanted in (
        "prod-eu-1",
        "prod/otel-gateway is crash looping",
        "Deployment otel-gateway",
        "otel-gateway-6d5f9c7b88-x2kqp",
        "node node-7",
        "otel-collector",
        "ghcr.io/open-telemetry/collector-contrib:0.139.0",
        "exit 1",
        "The program gave up with a general error",
        "7 restarts, 22 s ago",
        "512Mi",
        "Error: no such host",
        "password=[redacted]",
        "2026-11-21 14:02:20 UTC (12 min ago)",
        "kubectl -n prod logs otel-gateway-6d5f9c7b88-x2kqp -c otel-collector --previous --tail=100",
        "kubectl -n prod describe pod otel-gateway-6d5f9c7b88-x2kqp",
        "kubectl -n prod rollout history deployment/otel-gateway",
        "kubectl -n prod get collectorincident gateways-otel-gateway-7f3a91 -o yaml",
        "CollectorPolicy prod/gateways, incident gateways-otel-gateway-7f3a91",
        "reminded in 4 h",
        "ready for at least 5 min",
    ):
        assert wanted in said, wanted
    assert "Critical" in said or "CRITICAL" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        ("CrashLoopBackOff", "Collector prod/otel-gateway crash looping on prod-eu-1"),
        ("OOMKilled", "Collector prod/otel-gateway out of memory on prod-eu-1"),
        ("ContainerError", "Collector prod/otel-gateway container failed on prod-eu-1"),
        ("SomethingNew", "Collector prod/otel-gateway failing with SomethingNew on prod-eu-1"),
    ],
)
def test_the_subject_is_stable_without_brackets_and_the_resolved_mail_replies_to_it(kind: str, subject: str) -> None:
    facts = dataclasses.replace(FACTS, kind=kind)
    assert render_crash(facts).subject == subject
    assert render_crash(dataclasses.replace(facts, pods=(), now=NOW + timedelta(hours=1))).subject == subject
    resolved = render_resolved(facts)
    assert resolved.subject == f"Re: {subject}"
    assert resolved.text.startswith("RESOLVED: prod/otel-gateway runs again")


def test_the_resolved_mail_says_how_long_and_how_often() -> None:
    mail = render_resolved(FACTS)
    for said in (flat(mail.text), Page(mail.html).text):
        assert "It was crash looping for 12 min." in said
        assert "became ready and stayed so for at least 5 min" in said
        assert "Restarts 7" in said
    assert is_harmless(mail)


@pytest.mark.parametrize(("count", "said"), [(1, "The pod that failed is gone"), (3, "The pods that failed are gone")])
def test_what_is_gone_is_not_said_to_run(count: int, said: str) -> None:
    mail = render_resolved(dataclasses.replace(FACTS, are_pods_gone=True, affected_count=count))
    assert mail.subject == render_resolved(FACTS).subject
    for part in (flat(mail.text), Page(mail.html).text):
        assert said in part
        assert "runs again" not in part
        assert "became ready" not in part
    assert is_harmless(mail)


def test_the_time_it_had_to_hold_is_not_counted_as_trouble() -> None:
    mail = render_resolved(dataclasses.replace(FACTS, now=NOW, well_since=NOW - timedelta(minutes=5)))
    assert "It was crash looping for 7 min." in mail.text
    assert "Ready since 2026-11-21 14:09:20 UTC" in flat(mail.text)
    assert "Resolved 2026-11-21 14:14:20 UTC" in flat(mail.text)


@pytest.mark.parametrize("well_since", [NOW - timedelta(minutes=13), NOW - timedelta(minutes=12)])
def test_what_was_well_before_it_began_by_another_clock_lasted_until_it_was_over(well_since: datetime) -> None:
    assert "It was crash looping for 12 min." in render_resolved(dataclasses.replace(FACTS, well_since=well_since)).text
    short = dataclasses.replace(FACTS, start_time=NOW - timedelta(milliseconds=300))
    assert "It was crash looping for less than a second." in render_resolved(short).text


def test_a_reminder_says_that_it_is_one_and_what_became_of_it_under_the_same_subject() -> None:
    facts = dataclasses.replace(FACTS, kind="ContainerError", worst="CrashLoopBackOff")
    mail, first = render_crash(dataclasses.replace(facts, is_reminder=True)), render_crash(facts)
    assert mail.subject == first.subject == "Collector prod/otel-gateway container failed on prod-eu-1"
    assert "Reminder: it has gone on for 12 min. Container otel-collector" in mail.text
    assert "keeps failing and waits longer before each restart" in mail.text
    assert "Reminder" not in first.text


def test_of_a_container_that_is_never_restarted_no_previous_log_is_asked_for() -> None:
    mail = render_crash(dataclasses.replace(FACTS, pods=(dataclasses.replace(POD, is_never_restarted=True),)))
    assert "-c otel-collector --tail=100" in mail.text


def test_a_container_out_of_memory_names_its_limit() -> None:
    pod = dataclasses.replace(POD, exit_code=137, reason="OOMKilled")
    mail = render_crash(dataclasses.replace(FACTS, kind="OOMKilled", pods=(pod,)))
    assert "more memory than its limit of 512Mi" in mail.text
    assert "kubectl -n prod top pod" in mail.text


def test_each_meaning_is_told_once_and_the_last_message_of_the_container_too() -> None:
    pods = (POD, POD, dataclasses.replace(POD, exit_code=139, message="boom\npassword: hunter2"))
    mail = render_crash(dataclasses.replace(FACTS, pods=pods))
    assert mail.text.count("general error") == 1
    assert "SIGSEGV" in mail.text
    said = mail.text.split("Its own last message")[1].split("\n\n")[0]
    assert [line.strip() for line in said.splitlines() if line.strip()] == ["| boom", "| password: [redacted]"]


def test_fifty_pods_are_listed_and_the_rest_is_counted() -> None:
    pods = tuple(dataclasses.replace(POD, name=f"pod-{index}") for index in range(70))
    mail = render_crash(dataclasses.replace(FACTS, pods=pods, affected_count=1000))
    for said in (mail.text, mail.html):
        assert "Affected pods (1000)" in said
        assert "and 950 more" in said
        assert "pod-49" in said
        assert "pod-50" not in said
    assert is_harmless(mail)


def test_a_mail_without_logs_pods_or_owner_is_still_whole() -> None:
    mail = render_crash(
        dataclasses.replace(
            FACTS, pods=(), log_lines=(), owner_kind="", cluster="", container="", image="", repeat_seconds=0
        )
    )
    assert "Last log lines" not in mail.text
    assert "rollout" not in mail.text
    assert "kubectl -n prod get collectorincident" in mail.text
    assert is_harmless(mail)


def test_only_web_addresses_become_links() -> None:
    mail = render_crash(
        dataclasses.replace(FACTS, dashboard_url="https://grafana.example/d?a=1&b=2", runbook_url="javascript:alert(1)")
    )
    assert 'href="https://grafana.example/d?a=1&amp;b=2"' in mail.html
    assert "javascript" not in mail.html + mail.text


def test_the_page_knows_the_dark_has_a_preheader_and_fetches_nothing() -> None:
    html = render_crash(FACTS).html
    assert '<meta name="color-scheme" content="light dark">' in html
    assert "@media (prefers-color-scheme:dark)" in html
    assert "prod-eu-1: The last run ended with exit 1; 7 restarts so far." in html
    assert not re.search(r"src=|url\(|@import|<link|<script", html)


def test_the_last_lines_of_a_log_are_kept_and_the_log_stays_bounded() -> None:
    mail = render_crash(dataclasses.replace(FACTS, log_lines=tuple(f"line {index}" for index in range(1000))))
    assert "line 999" in mail.text
    assert "line 959" not in mail.text
    assert mail.text.count("| line") == 40


def test_a_key_that_spans_lines_is_not_shown_in_pieces() -> None:
    body = tuple("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"[:40] for _ in range(60))
    lines = ("begin", "-----BEGIN PRIVATE KEY-----", *body, "-----END PRIVATE KEY-----", "end")
    mail = render_crash(dataclasses.replace(FACTS, log_lines=lines))
    assert "MIIEvQ" not in mail.text + mail.html
    assert "| end" in mail.text


@given(st.lists(HOSTILE, min_size=10, max_size=10), st.lists(HOSTILE, max_size=6))
@settings(max_examples=150)
def test_no_text_of_a_pod_can_add_markup_headers_or_hidden_characters(texts: list[str], log: list[str]) -> None:
    pod = PodFacts(texts[0], texts[1], 1, None, texts[2], 3, NOW, texts[3], texts[4])
    named = {
        "namespace": texts[5],
        "owner_kind": texts[6],
        "owner_name": texts[7],
        "container": texts[8],
        "image": texts[9],
        "cluster": texts[0],
    }
    facts = dataclasses.replace(
        FACTS,
        pods=(pod,) * 2,
        log_lines=tuple(log),
        kind=texts[1],
        severity=texts[2],
        policy=texts[3],
        incident=texts[4],
        **named,
    )
    for mail in (render_crash(facts), render_resolved(facts), render_trial(TrialFacts(*texts[:5], NOW, texts[5]))):
        assert is_harmless(mail)


@pytest.mark.parametrize("unit", ["a", "<", "&", "💩", "\x00", "\u202e", "\x1b[31m", "\n", "ü "])
def test_megabytes_of_anything_make_a_small_mail(unit: str) -> None:
    flood = unit * (1_000_000 // len(unit))
    pod = PodFacts(flood, flood, 1, None, flood, 3, NOW, flood, flood)
    facts = CrashFacts(*(flood,) * 10, (pod,) * 60, NOW, NOW, 60, (flood,) * 40, flood, flood)
    for mail in (render_crash(facts), render_resolved(facts)):
        assert is_harmless(mail)
        assert len(mail.text.encode()) < 100_000


def test_commands_quote_what_a_shell_would_run() -> None:
    mail = render_crash(
        dataclasses.replace(FACTS, container="x; rm -rf $HOME", pods=(dataclasses.replace(POD, name="$(id)"),))
    )
    assert "logs '$(id)' -c 'x; rm -rf $HOME' --previous" in mail.text


def test_the_test_mail_says_through_what_it_came() -> None:
    mail = render_trial(TrialFacts("prod-eu-1", "prod", "office", "smtp.example.org:587", "TLSv1.3", NOW, "first-test"))
    assert mail.subject == "Test mail from prod/office on prod-eu-1"
    for said in (flat(mail.text), Page(mail.html).text):
        assert "Connector prod/office handed this mail to smtp.example.org:587" in said
        assert "Encryption TLSv1.3" in said
        assert "Asked for by first-test" in said
    assert "not encrypted" in render_trial(TrialFacts("", "", "office", "h:25", "", NOW)).text
    assert is_harmless(mail)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("a\tb", "a  b"),
        ("a\nb\n", r"a\nb"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\x1bb\0", r"a\x1bb\x00"),
        ("\u202egnp", r"\u202egnp"),
        ("x" * 20, "x" * 9 + "…"),
    ],
)
def test_hidden_characters_are_shown_and_length_is_bounded(text: str, wanted: str) -> None:
    assert visible(text, 10 if text.startswith("x") else 100) == wanted


def test_a_name_of_kubernetes_is_never_shortened() -> None:
    longest = "a." * 126 + "b"
    assert name(longest) == longest
    assert len(name("<" * 253)) == 63


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (172800, "2 d"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations_read_like_people_say_them(seconds: float, wanted: str) -> None:
    assert span(seconds) == wanted
