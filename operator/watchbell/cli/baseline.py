"""`watchbell baseline capture|diff|accept`: what runs as a baseline for Git, what differs from the baseline, and that what runs now is right.

Before: `options` read the flags, `subjects` reads the cluster. The hashes and the comparison are the operator's own (`collectors.baseline`,
`collectors.drift`), so what is printed here is what it computes. All of it is done with the rights of whoever calls.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from watchbell.api.enums import BaselineMode
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, as_json, as_yaml, complain, harmless, print_object
from watchbell.cli.subjects import Fleet, read_fleet
from watchbell.collectors.baselines.baseline import Baseline, CapturedWorkload, capture, pinned_block, read_baseline
from watchbell.collectors.baselines.drift import assess
from watchbell.collectors.baselines.fleet import Subject
from watchbell.collectors.baselines.verdicts import State, Verdict
from watchbell.collectors.policies import Policy, Scope, read_policy
from watchbell.collectors.rules import DriftRules
from watchbell.collectors.seen.pod import Owner
from watchbell.kube.client import custom

POLICIES = custom("collectorpolicies")
SAME, DIFFERENT, FAILED = 0, 1, 2
PODS_NAMED = 3
_CLEAR = frozenset({State.CLEAN, State.DRIFTED, State.OFF, State.NO_PODS})
"""Verdicts that tell; after any other nobody can say that nothing differs."""
_INSTEAD = {
    BaselineMode.OWNER_TEMPLATE: "follows the templates of its workloads: roll out what is to be",
    BaselineMode.PINNED: "has its baseline in spec.baseline.pinned: print a new one with `watchbell baseline capture {name}`",
}


def do(flags: argparse.Namespace) -> int:
    """The verb that was chosen; its exit code."""
    match flags.action:
        case "capture":
            return in_cluster(flags, lambda cluster: _capture(cluster, flags))
        case "diff":
            return in_cluster(flags, lambda cluster: _diff(cluster, flags), failed=FAILED)
        case _:
            return in_cluster(flags, lambda cluster: _accept(cluster, flags))


async def _policy(cluster: Cluster, name: str) -> tuple[Policy, Mapping[str, Any]]:
    body = await cluster.client.get(POLICIES, name, cluster.home)
    policy = read_policy(body)
    if policy.problems:
        raise CommandError(f"the policy {name} is not valid: {'; '.join(map(str, policy.problems))}")
    return policy, body


async def _fleet(cluster: Cluster, policy: Policy, rules: DriftRules, baseline: Baseline | None = None) -> Fleet:
    scope = policy.scope or Scope(cluster.home, "")
    fleet = await read_fleet(cluster.client, scope, rules, baseline)
    for sentence in fleet.notes:
        complain(sentence)
    if not fleet.subjects and not fleet.notes:
        raise CommandError(f"no pod of namespace {scope.namespace} matches the policy's selector {scope.selector!r}")
    return fleet


# ---------------------------------------------------------------------- capture


async def _capture(cluster: Cluster, flags: argparse.Namespace) -> int:
    policy, _ = await _policy(cluster, flags.policy)
    # Everything that a baseline holds is read, whatever the policy compares today.
    fleet = await _fleet(cluster, policy, replace(policy.drift, mode=BaselineMode.CAPTURED))
    captured: list[CapturedWorkload] = []
    for subject in fleet.subjects:
        found = capture(subject, policy.drift)
        if isinstance(found, CapturedWorkload):
            captured.append(found)
            _warn_of_strays(subject, policy.drift)
        else:
            complain(f"{_name(subject.owner)} is left out: {found}")
    if not captured:
        raise CommandError("nothing could be captured: a baseline is what healthy pods are")
    block = {"spec": {"baseline": {"mode": str(BaselineMode.PINNED), "pinned": pinned_block(captured)}}}
    print(as_json(block) if flags.output == "json" else as_yaml(block), end="")
    return 0


def _warn_of_strays(subject: Subject, rules: DriftRules) -> None:
    """Pods that are not what their own workload asks for: to pin them is hardly what is meant."""
    by_template = replace(rules, mode=BaselineMode.OWNER_TEMPLATE, pinned=None, pending_s=0.0)
    verdict = assess(subject, by_template, datetime.now(UTC))
    if verdict.state is State.DRIFTED:
        paths = ", ".join(difference.path for difference in verdict.differences)
        complain(f"{_name(subject.owner)} is captured as its pods are, which is not as its template is: {paths}")


# ---------------------------------------------------------------------- diff


async def _diff(cluster: Cluster, flags: argparse.Namespace) -> int:
    policy, body = await _policy(cluster, flags.policy)
    rules, now = replace(policy.drift, pending_s=0.0), datetime.now(UTC)
    baseline = _captured_for(rules, body)
    fleet = await _fleet(cluster, policy, rules, baseline)
    verdicts = [
        (subject, assess(subject, rules, now, captured=baseline.find(subject.owner) if baseline else None))
        for subject in fleet.subjects
    ]
    unclear = [(subject, verdict) for subject, verdict in verdicts if verdict.state not in _CLEAR]
    for subject, verdict in unclear:
        complain(f"{_name(subject.owner)} is not compared: {verdict.detail or verdict.state}")
    drifted = [(subject, verdict) for subject, verdict in verdicts if verdict.state is State.DRIFTED]
    _show(drifted, flags.output)
    if drifted:
        return DIFFERENT
    return FAILED if unclear or fleet.is_partial else SAME


def _captured_for(rules: DriftRules, body: Mapping[str, Any]) -> Baseline | None:
    """The captured baseline in the policy's status, if it is of the revision that its spec asks for."""
    found = read_baseline((body.get("status") or {}).get("baseline"))
    return found if found is not None and found.revision == rules.capture_revision else None


def _show(drifted: Sequence[tuple[Subject, Verdict]], form: str | None) -> None:
    if form:
        listed = {"differences": [item for pair in drifted for item in _listed(*pair)]}
        print(as_json(listed) if form == "json" else as_yaml(listed), end="")
        return
    for subject, verdict in drifted:
        _show_one(subject, verdict)


def _show_one(subject: Subject, verdict: Verdict) -> None:
    """As a diff: what should be after `-`, what is after `+`."""
    shown = ", ".join(verdict.pods[:PODS_NAMED]) + (", …" if len(verdict.pods) > PODS_NAMED else "")
    print(f"{_name(subject.owner)}" + (f" ({len(verdict.pods)} of {len(subject.pods)} pods: {shown})" if shown else ""))
    for one in verdict.differences:
        print(f"  {harmless(one.path)} [{one.check}]")
        for sign, text in (("-", one.expected), ("+", one.actual)):
            for line in text.splitlines() or ("",):
                print(f"    {sign} {harmless(line)}".rstrip())
    if verdict.more:
        print(f"  and {verdict.more} more differences")


def _listed(subject: Subject, verdict: Verdict) -> list[dict[str, Any]]:
    owner = {"kind": subject.owner.kind, "name": subject.owner.name}
    return [
        {"owner": owner, "check": str(one.check), "path": one.path, "expected": one.expected, "actual": one.actual}
        for one in verdict.differences
    ]


# ---------------------------------------------------------------------- accept


async def _accept(cluster: Cluster, flags: argparse.Namespace) -> int:
    name = flags.policy
    policy, body = await _policy(cluster, name)
    if policy.drift.mode is not BaselineMode.CAPTURED:
        raise CommandError(f"the policy {name} {_INSTEAD[policy.drift.mode].format(name=name)}")
    revision = flags.revision or f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    before = policy.drift.capture_revision
    if revision == before:
        raise CommandError(f"the policy {name} has the revision {revision} already: another one captures anew")
    change = {"spec": {"baseline": {"captureRevision": revision}}}
    patched = await cluster.client.patch(POLICIES, name, change, body["metadata"]["namespace"])
    if flags.output:
        print_object(patched, flags.output)
        return 0
    print(f"collectorpolicy.watchbell.dev/{name} captures what is healthy now as its baseline (revision {revision})")
    print(f"If the policy is kept in Git, put spec.baseline.captureRevision: {revision!r} there too.")
    return 0


def _name(owner: Owner) -> str:
    return f"{owner.kind}/{owner.name}"
