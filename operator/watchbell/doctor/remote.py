"""The doctor inside of the operator's pod, where DNS, egress and rights are the operator's: which pod, and what it answered (pure).

Before: the pods of the operator. After: `kube.execute` runs it, and the findings go into the same report, each marked with the pod.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from watchbell.api.conditions import is_ready
from watchbell.doctor.catalog import CHECKS
from watchbell.doctor.facts import Body, status_of
from watchbell.doctor.model import Finding, Result, Status

CONTAINER = "watchbell"


def chosen_pod(pods: Sequence[Body]) -> tuple[str, str] | None:
    """Name and container of a ready pod, else of one that runs; None if there is neither."""
    running = [pod for pod in pods if status_of(pod).get("phase") == "Running"]
    ranked = sorted(running, key=lambda pod: (not is_ready(pod), str(pod["metadata"]["name"])))
    if not ranked:
        return None
    names = [str(container["name"]) for container in ranked[0]["spec"]["containers"]]
    return str(ranked[0]["metadata"]["name"]), CONTAINER if CONTAINER in names else names[0]


def results_of(text: str, pod: str) -> tuple[Result, ...] | str:
    """The findings of a report that was printed in the pod, or why it is none. Checks that this version does not know are left out."""
    try:
        document = json.loads(text)
        entries: list[Mapping[str, Any]] = list(document["checks"])
        known = {check.id: check for check in CHECKS}
        return tuple(Result(known[str(one["id"])], _finding(one, pod)) for one in entries if one["id"] in known)
    except (ValueError, KeyError, TypeError) as error:
        return f"what it printed is no report ({type(error).__name__}): is its version {text[:80]!r} an older one?"


def _finding(entry: Mapping[str, Any], pod: str) -> Finding:
    evidence = tuple((str(one["key"]), str(one["value"])) for one in entry.get("evidence") or ())
    return Finding(
        Status(entry["status"]),
        str(entry["message"]),
        str(entry.get("object") or ""),
        (*evidence, ("seenFrom", f"pod {pod}")),
        tuple(map(str, entry.get("steps") or ())),
        duration_ms=int(entry.get("durationMilliseconds") or 0),
    )
