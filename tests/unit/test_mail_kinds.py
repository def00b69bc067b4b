"""The mails about every kind of incident: their words, their meaning, what to run next, and what they show of a failure."""

import dataclasses
import re
import shlex
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailrig import FACTS, HOSTILE, NOW, POD, both, flat, is_harmless, words_of
from watchbell.api.enums import IncidentKind
from watchbell.mail.crash import render_crash, render_resolved
from watchbell.mail.document import Rendered
from watchbell.mail.facts import CrashFacts, PodFacts
from watchbell.mail.kinds import KINDS

WAITING = dataclasses.replace(POD, exit_code=None, reason="", restarts=0, last_time=None)
NODE = dataclasses.replace(
    FACTS, kind="NodeLost", owner_kind="Node", owner_name="worker-7", container="", image="", pods=(), log_lines=()
)
# kind: (what the subject says of it, what the summary says, what it usually means, what to run)
SAID = {
    "CrashLoopBackOff": ("crash looping", "waits longer before each restart", "gave up with a general error", "logs"),
    "OOMKilled": ("out of memory", "more memory than its limit", "limit of 512Mi", "top pod"),
    "ContainerError": ("container failed", "ended with an error", "gave up with a general error", "logs"),
    "ContainerConfigError": (
        "container cannot be created",
        "refers to is missing",
        "A ConfigMap, a Secret",
        "get configmaps,secrets",
    ),
    "ImagePullFailed": ("image cannot be pulled", "cannot be pulled", "imagePullSecrets", "jsonpath"),
    "InitContainerFailed": (
        "init container failed",
        "collector itself does not start",
        "gave up with a general error",
        "logs",
    ),
    "Evicted": ("pod evicted", "ran short of memory, disk", "more than they requested", "describe node node-7"),
    "NodeLost": ("lost", "does not answer any more", "cut off from the control plane", "describe node"),
    "Unschedulable": (
        "cannot be scheduled",
        "waits for a node",
        "No node has enough free memory",
        "describe resourcequota",
    ),
    "NotReady": ("not ready", "has not been ready for too long", "readiness probe fails", "describe pod"),
    "RestartBurst": ("restarting too often", "again and again", "escape the back-off", "--previous"),
    "SubprocessCrashed": ("sub-process crashed", "a process it supervises", "The container itself goes on", "logs"),
    "RolloutStuck": (
        "roll-out stuck",
        "no progress with its new revision",
        "New pods do not become ready",
        "rollout undo",
    ),
    "Drift": ("drifted from its baseline", "not what", "Was it meant?", "watchbell baseline diff"),
}


def facts_of(kind: str) -> CrashFacts:
    if kind == "NodeLost":
        return NODE
    pod = dataclasses.replace(POD, exit_code=137, reason="OOMKilled") if kind == "OOMKilled" else POD
    container = "" if kind in {"Evicted", "Unschedulable", "NotReady", "RolloutStuck", "Drift"} else FACTS.container
    return dataclasses.replace(FACTS, kind=kind, pods=(pod,), container=container)


@pytest.mark.parametrize("kind", list(IncidentKind))
def test_every_kind_has_words_a_meaning_and_commands_in_both_parts(kind: IncidentKind) -> None:
    phrase, does, usually, command = SAID[kind]
    mail = render_crash(facts_of(kind))
    assert phrase in mail.subject
    for part in both(mail):
        for wanted in (phrase, does, usually, command, "kubectl -n prod get collectorincident"):
            assert wanted in part, wanted
    assert is_harmless(mail)


@pytest.mark.parametrize("kind", list(IncidentKind))
def test_the_subject_of_every_kind_threads_for_the_whole_life_of_the_incident(kind: IncidentKind) -> None:
    facts = facts_of(kind)
    first = render_crash(facts).subject
    later = dataclasses.replace(
        facts,
        pods=(*facts.pods, dataclasses.replace(POD, name="another")),
        affected_count=9,
        flaps=3,
        is_reminder=True,
        hidden_pods=5,
        severity="Info",
        escalated_from="Warning",
        now=NOW + timedelta(days=2),
        template_failure="broken",
    )
    assert render_crash(later).subject == first
    assert render_resolved(later).subject == f"Re: {first}"
    assert render_resolved(dataclasses.replace(later, are_pods_gone=True)).subject == f"Re: {first}"
    assert not re.search(r"[\[\]{}<>]", first)
    assert not re.search(r"\d", first.replace("prod-eu-1", "").replace("worker-7", ""))


@pytest.mark.parametrize("kind", list(IncidentKind))
def test_the_subjects_of_two_kinds_are_never_the_same(kind: IncidentKind) -> None:
    others = [render_crash(facts_of(other)).subject for other in IncidentKind if other is not kind]
    assert render_crash(facts_of(kind)).subject not in others


@pytest.mark.parametrize("kind", list(IncidentKind))
def test_the_end_of_every_kind_says_what_was_seen_and_claims_no_more(kind: IncidentKind) -> None:
    over, gone = (
        render_resolved(dataclasses.replace(facts_of(kind), are_pods_gone=are_gone)) for are_gone in (False, True)
    )
    assert over.text.startswith("RESOLVED: ")
    assert "12 min" in over.text
    for part in both(gone):
        assert "runs again" not in part
        assert "became ready" not in part
        assert "is back" not in part
    assert is_harmless(over)
    assert is_harmless(gone)


def test_no_kind_of_the_api_is_without_words_and_no_words_without_a_kind() -> None:
    assert set(KINDS) == {str(kind) for kind in IncidentKind}


@pytest.mark.parametrize("kind", list(IncidentKind))
def test_the_text_part_has_every_word_of_the_html_part(kind: IncidentKind) -> None:
    facts = dataclasses.replace(
        facts_of(kind),
        events=("02:01 BackOff: Back-off restarting (x3)",),
        changes=("Image: a:1 to a:2, 3 min before",),
        note="A liveness probe killed it",
        flaps=4,
        template_failure="line 3: unknown value",
        image_id="docker-pullable://a@sha256:" + "ab" * 32,
        acknowledged_by="ada",
        dashboard_url="https://grafana.example/d",
        runbook_url="https://wiki.example/r",
    )
    for mail in (render_crash(facts), render_resolved(facts)):
        text, page = both(mail)
        said = text.replace("CRITICAL", "Critical").replace("RESOLVED", "Resolved")
        assert words_of(page) - words_of(said) == set()
        for address in ("https://grafana.example/d", "https://wiki.example/r"):
            assert address in text
            assert f'href="{address}"' in mail.html


def test_a_lost_node_says_how_many_pods_it_hides() -> None:
    mail = render_crash(dataclasses.replace(NODE, hidden_pods=12, hidden_owners=3))
    assert mail.subject == "Node worker-7 lost with collectors of prod on prod-eu-1"
    for part in both(mail):
        assert "Node worker-7 is lost" in part
        assert "12 pods of 3 workloads are on it; their own alerts are held back." in part
        assert "kubectl get pods -A -o wide --field-selector spec.nodeName=worker-7" in part
    one = render_crash(dataclasses.replace(NODE, hidden_pods=1, hidden_owners=1)).text
    assert "1 pod of 1 workload is on it; its own alert is held back." in one
    assert "held back" not in render_crash(NODE).text
    counted = render_crash(dataclasses.replace(NODE, pods=(WAITING,) * 3, affected_count=12, hidden_owners=3))
    assert "12 pods of 3 workloads are on it; their own alerts are held back." in counted.text
    assert "Pods on it (12)" in counted.text


def test_a_node_that_is_back_is_not_called_a_workload() -> None:
    mail = render_resolved(NODE)
    assert mail.text.startswith("RESOLVED: Node worker-7 is back")
    assert "Node worker-7 reports again and stayed so for at least 5 min. It was lost for 12 min." in mail.text


def test_a_stuck_roll_out_is_about_the_owner_and_not_about_a_container() -> None:
    mail = render_crash(
        dataclasses.replace(FACTS, kind="RolloutStuck", container="", pods=(), note="ProgressDeadlineExceeded")
    )
    assert "Deployment otel-gateway makes no progress with its new revision. ProgressDeadlineExceeded." in flat(
        mail.text
    )
    assert "container" not in mail.text.split("What that usually means")[0].lower()
    assert "rollout status deployment/otel-gateway" in mail.text


def test_what_never_ran_has_the_reason_of_kubernetes_and_not_an_exit_code() -> None:
    pod = dataclasses.replace(WAITING, reason="ImagePullBackOff", message="manifest unknown")
    mail = render_crash(dataclasses.replace(FACTS, kind="ImagePullFailed", pods=(pod,), log_lines=()))
    for part in both(mail):
        assert "Kubernetes gives the reason ImagePullBackOff." in part
        assert "What Kubernetes says" in part
        assert "manifest unknown" in part
        assert "exit" not in part
        assert "0 restarts" not in part


def test_several_pods_are_told_in_one_sentence_that_reads() -> None:
    mail = render_crash(
        dataclasses.replace(FACTS, kind="Unschedulable", container="", pods=(WAITING,), affected_count=12)
    )
    assert "Each of 12 pods of Deployment otel-gateway waits for a node that would take it" in flat(mail.text)
    assert "Affected pods (12)" in mail.text


def test_flapping_says_how_often_in_the_mail_and_in_the_one_that_ends_it() -> None:
    facts = dataclasses.replace(FACTS, flaps=7)
    for part in both(render_crash(facts)):
        assert "flapping, 7 times" in part
    for part in both(render_resolved(facts)):
        assert "failed again 7 times" in part
    assert "flapping" not in render_crash(FACTS).text


def test_a_container_killed_by_a_liveness_probe_says_so() -> None:
    pod = dataclasses.replace(POD, exit_code=137)
    facts = dataclasses.replace(
        FACTS, kind="ContainerError", pods=(pod,), note="The kubelet killed it because its liveness probe failed"
    )
    for part in both(render_crash(facts)):
        assert "The kubelet killed it because its liveness probe failed." in part


def test_an_incident_that_became_worse_says_what_it_was() -> None:
    for part in both(render_crash(dataclasses.replace(FACTS, escalated_from="Warning"))):
        assert "It was Warning before." in part


def test_a_template_that_failed_is_named_and_nothing_is_missing() -> None:
    facts = dataclasses.replace(FACTS, template_failure="template prod/oncall, line 12: unknown value incident.foo")
    for mail in (render_crash(facts), render_resolved(facts), render_crash(dataclasses.replace(facts, kind="Drift"))):
        for part in both(mail):
            assert "Your template failed: template prod/oncall, line 12: unknown value incident.foo." in part
            assert "this is the built-in one" in part.replace("So ", "")
    assert "template" not in render_crash(FACTS).text


def test_log_excerpt_in_mail() -> None:
    facts = dataclasses.replace(FACTS, log_lines=("starting", "panic: nil map", "exit"))
    for part in both(render_crash(facts)):
        assert "Last log lines" in part
        assert "panic: nil map" in part


def test_previous_container_logs() -> None:
    facts = dataclasses.replace(FACTS, log_lines=("the line of the run that died",), log_pod="otel-gateway-1")
    for part in both(render_crash(facts)):
        assert "From otel-gateway-1, the run that failed." in part
        assert "--previous --tail=100" in part


def test_events_in_mail() -> None:
    facts = dataclasses.replace(
        FACTS, events=tuple(f"02:{index:02} Unhealthy: probe failed ({index})" for index in range(15))
    )
    for part in both(render_crash(facts)):
        assert "Warning events" in part
        assert "02:14 Unhealthy: probe failed (14)" in part
        assert "02:05 Unhealthy" in part
        assert "02:04 Unhealthy" not in part


@pytest.mark.parametrize(
    ("code", "signal", "hint"),
    [
        (1, None, "exit 1"),
        (127, None, "The command was not found"),
        (139, None, "exit 139 (SIGSEGV)"),
        (None, 9, "SIGKILL"),
        (-1, None, "exit -1"),
    ],
)
def test_restart_count_and_exit_code_hint_in_mail(code: int | None, signal: int | None, hint: str) -> None:
    pods = (
        dataclasses.replace(POD, exit_code=code, signal=signal),
        dataclasses.replace(POD, name="second", restarts=4),
    )
    for part in both(render_crash(dataclasses.replace(FACTS, pods=pods))):
        assert hint in part
        assert "11 restarts so far" in part
        assert "Restarts 11" in part


SECRETS = (
    "password=hunter2hunter2",
    "Authorization: Bearer abcdefghijklmnop0123456789",
    "postgres://otel:hunter2hunter2@db.example/otel",
    "aws AKIAIOSFODNN7EXAMPLE",
    "token: ghp_abcdefghijklmnopqrstuvwxyz0123456789",
)
LEAKS = ("hunter2", "abcdefghijklmnop", "AKIAIOSFODNN7", "ghp_")


@pytest.mark.parametrize("secret", SECRETS)
def test_log_redaction(secret: str) -> None:
    pod = dataclasses.replace(POD, message=f"ended: {secret}")
    facts = dataclasses.replace(
        FACTS,
        pods=(pod,),
        log_lines=(f"2026 error {secret}",),
        events=(f"02:01 Failed: {secret}",),
        changes=(f"Args: {secret}",),
        note=f"It said {secret}",
        template_failure=f"bad value {secret}",
    )
    for mail in (render_crash(facts), render_resolved(facts)):
        for leak in LEAKS:
            assert leak not in mail.subject + mail.text + mail.html
    assert "[redacted]" in render_crash(facts).text


def test_the_image_is_told_with_its_digest_and_not_with_the_runtimes_prefix() -> None:
    digest = "sha256:" + "ab" * 32
    for identifier in (f"docker-pullable://ghcr.io/x/y@{digest}", f"ghcr.io/x/y@{digest}", digest):
        text, page = both(render_crash(dataclasses.replace(FACTS, image_id=identifier)))
        for part in (text, page):
            assert f"Image digest {digest}" in part
            assert "docker-pullable" not in part


def test_what_changed_stands_before_the_failure_and_in_the_end_mail_as_what_changed_meanwhile() -> None:
    facts = dataclasses.replace(FACTS, changes=tuple(f"Change {index}" for index in range(13)))
    text = render_crash(facts).text
    assert text.index("What changed before it began") < text.index("Last log lines")
    assert "Change 9." in text
    assert "Change 10" not in text
    assert "And 3 more changes." in text
    assert "What changed meanwhile" in render_resolved(facts).text


def test_pods_in_another_namespace_are_looked_for_there_and_the_incident_where_it_is() -> None:
    mail = render_crash(dataclasses.replace(FACTS, workload_namespace="shop"))
    assert mail.subject.startswith("Collector shop/otel-gateway ")
    assert "kubectl -n shop describe pod" in mail.text
    assert "kubectl -n prod get collectorincident" in mail.text


@given(st.lists(HOSTILE, min_size=12, max_size=12), st.sampled_from(list(IncidentKind)))
@settings(max_examples=150)
def test_no_text_of_any_kind_can_spoil_a_mail_or_a_command(texts: list[str], kind: IncidentKind) -> None:
    pod = PodFacts(texts[0], texts[1], None, None, texts[2], 3, NOW, texts[3], texts[4])
    facts = dataclasses.replace(
        FACTS,
        kind=str(kind),
        pods=(pod,),
        owner_kind="Node" if kind is IncidentKind.NODE_LOST else "Deployment",
        owner_name=texts[5],
        namespace=texts[6],
        container=texts[7],
        events=tuple(texts[8:10]),
        changes=tuple(texts[9:11]),
        note=texts[10],
        template_failure=texts[11],
        escalated_from=texts[0],
        acknowledged_by=texts[1],
        image_id=texts[2],
        workload_namespace=texts[3],
        hidden_pods=3,
        hidden_owners=2,
        dashboard_url=texts[4],
        runbook_url=texts[5],
    )
    for mail in (render_crash(facts), render_resolved(facts)):
        assert is_harmless(mail)
        assert are_commands_whole(mail)


def are_commands_whole(mail: Rendered) -> bool:
    """Whether a shell would take every command as one: it parses, and what is special to a shell stands in quotes only."""
    commands = re.findall(r"^  ((?:kubectl|watchbell) .*)$", mail.text, re.MULTILINE)
    bare = [re.sub(r"'[^']*'|\"[^\"$`\\]*\"", "", command) for command in commands]
    return (
        bool(commands)
        and all(shlex.split(command) for command in commands)
        and not re.search(r"[;&|<>()$`\\*?~!{}'\"]", "".join(bare))
    )


@pytest.mark.parametrize("unit", ["a", "<", "&", "💩", "\x00", "\u202e", "\x1b[31m", "\n", "ü "])
def test_megabytes_in_every_new_field_make_a_small_mail(unit: str) -> None:
    flood = unit * (1_000_000 // len(unit))
    facts = dataclasses.replace(
        FACTS,
        events=(flood,) * 200,
        changes=(flood,) * 200,
        note=flood,
        template_failure=flood,
        escalated_from=flood,
        acknowledged_by=flood,
        image_id=flood,
        workload_namespace=flood,
        dashboard_url=f"https://{flood}",
    )
    for mail in (render_crash(facts), render_resolved(facts)):
        assert is_harmless(mail)
        assert len(mail.text.encode()) < 100_000
