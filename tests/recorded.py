"""What a real kubelet and scheduler wrote of pods that fail or end in every way (`hack/realnode/cases.py`), and what detection must make of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import msgspec

from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.crash import detect
from watchbell.collectors.findings import Finding
from watchbell.collectors.rules import CrashRules
from watchbell.collectors.seen.pod import Pod

FOLDER = Path(__file__).resolve().parent / "recordings"
# The node's pauses are short where it records, so restarts in a row come when they come.
RULES = CrashRules(frozenset(IncidentKind) - {IncidentKind.RESTART_BURST})
EXPECTED: Mapping[str, frozenset[tuple[str, str]]] = MappingProxyType(
    {
        "bare-failed": frozenset({("ContainerError", "collector")}),
        "beside-main": frozenset({("SubprocessCrashed", "reloader"), ("CrashLoopBackOff", "reloader")}),
        "child-out-of-memory": frozenset({("OOMKilled", "collector")}),
        "config-error": frozenset({("ContainerConfigError", "collector")}),
        "dead-child": frozenset({("SubprocessCrashed", "collector")}),
        "deadline": frozenset(),
        "deleted": frozenset(),
        "drained": frozenset(),
        "hook-error": frozenset({("ContainerError", "collector"), ("CrashLoopBackOff", "collector")}),
        "init-container": frozenset({("InitContainerFailed", "fetch")}),
        "invalid-image": frozenset({("ImagePullFailed", "collector")}),
        "liveness-kill": frozenset({("ContainerError", "collector")}),
        "liveness-stop": frozenset(),
        "never-pull": frozenset({("ImagePullFailed", "collector")}),
        "not-ready": frozenset({("NotReady", "")}),
        "preempted": frozenset({("Evicted", "")}),
        "sidecar": frozenset({("InitContainerFailed", "proxy")}),
        "start-error": frozenset({("ContainerError", "collector"), ("CrashLoopBackOff", "collector")}),
        "turned-away": frozenset({("Unschedulable", "")}),
        "unschedulable": frozenset({("Unschedulable", "")}),
    }
)


def pods_of(name: str, folder: Path = FOLDER) -> tuple[Pod, ...]:
    """The pod of a case at each step."""
    steps = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["steps"]
    return tuple(msgspec.json.decode(msgspec.json.encode(step), type=Pod) for step in steps)


def findings_of(pods: tuple[Pod, ...]) -> list[Finding]:
    """All that is found while the pod goes through these steps, and at a look long after."""
    made = datetime.fromisoformat(pods[0].metadata.creation_timestamp or "").astimezone(UTC)
    found: list[Finding] = []
    before: Pod | None = None
    for pod in pods:
        found += detect(before, pod, RULES, made).findings
        before = pod
    return found + list(detect(before, pods[-1], RULES, made + timedelta(hours=1)).findings)


def kinds_of(pods: tuple[Pod, ...]) -> frozenset[tuple[str, str]]:
    """The kinds of that, each with its container."""
    return frozenset((str(one.kind), one.container) for one in findings_of(pods))
