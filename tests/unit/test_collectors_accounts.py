"""What a mail says of how a drift ended."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from collectorrig import policy_body
from podrig import EPOCH, pod, stamp
from watchbell.api.enums import IncidentKind, Severity, Transition
from watchbell.api.reasons import Reason
from watchbell.collectors.casework.batches import Batch
from watchbell.collectors.casework.caseload import Case
from watchbell.collectors.casework.incidents import Affected, Family, Group, Incident, Resolution
from watchbell.collectors.mailing.accounts import Scene, digest_facts, incident_facts
from watchbell.collectors.policies import read_policy
from watchbell.collectors.seen.pod import Owner
from watchbell.mail.facts import Return

LATER = EPOCH + timedelta(minutes=5)
GATEWAY = pod(name="gateway-0")


def drifted(reason: Reason = Reason.BACK_TO_BASELINE) -> Incident:
    group = Group("obs", "collectors", "u", Owner("Deployment", "gateway"), Family.DRIFT, "")
    return Incident(
        group=group,
        name="gateway-drift-1",
        kind=IncidentKind.DRIFT,
        severity=Severity.WARNING,
        start_time=EPOCH,
        last_seen=EPOCH,
        affected={"gateway-0": Affected("gateway-0", IncidentKind.DRIFT, EPOCH)},
        resolution=Resolution(reason, LATER),
    )


def scene(*names: str, captured: str = "", **baseline: Any) -> Scene:
    body = policy_body(baseline={"mode": "Captured"} | baseline)
    body["metadata"] |= {"uid": "u", "creationTimestamp": stamp(EPOCH)}
    body["status"] = {"baseline": {"captureTime": captured}} if captured else {}
    return Scene("test", read_policy(body), {("obs", name): GATEWAY for name in names}, LATER)


@pytest.mark.parametrize(
    ("case", "around", "how"),
    [
        (Case(drifted()), scene("gateway-0", captured=stamp(EPOCH + timedelta(minutes=1))), Return.BASELINE_ACCEPTED),
        (Case(drifted()), scene("gateway-0", captured=stamp(EPOCH - timedelta(days=1))), Return.UNKNOWN),
        (Case(drifted()), scene("gateway-0", captured=stamp(LATER), mode="OwnerTemplate"), Return.UNKNOWN),
        (Case(drifted(), changes=("Image: a -> b",)), scene("gateway-0"), Return.ROLLED_BACK),
        (Case(drifted()), scene("gateway-1"), Return.PODS_REPLACED),
        (Case(drifted()), scene("gateway-0"), Return.UNKNOWN),
        (Case(drifted(Reason.PODS_GONE)), scene(), Return.PODS_GONE),
        (Case(replace(drifted(), resolution=None)), scene("gateway-1"), Return.UNKNOWN),
    ],
    ids=[
        "a new baseline was captured since",
        "its baseline is older",
        "a template is the baseline now",
        "the template changed meanwhile",
        "other pods took its place",
        "nobody knows",
        "nothing is left of it",
        "it stands",
    ],
)
def test_a_mail_says_how_a_drift_ended(case: Case, around: Scene, how: Return) -> None:
    assert incident_facts(case, around, Transition.RESOLVED).return_reason is how


def test_a_list_of_ends_is_in_words_for_people_and_joins_what_follows():
    over = replace(drifted(), resolution=Resolution(Reason.HEALTHY_AGAIN, LATER))
    (entry,) = digest_facts([Case(over)], scene("gateway-0"), Batch(("a",)), None).entries
    assert entry.reason == "The workload has been ready for long enough"
