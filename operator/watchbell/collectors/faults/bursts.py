"""Restarted too often (pure): RestartBurst, whatever the restarts' cause.

Before: `restarts` knows when. After: `crash`. It is about restarts, not about failures: a container that ends well every minute is a trouble too,
and one restart without failure is none.
"""

from datetime import datetime, timedelta

from watchbell.api.enums import IncidentKind
from watchbell.collectors.faults.restarts import times_without_memory
from watchbell.collectors.faults.sight import Quiet, Sight, Verdict, container_finding, gone_quiet


def restart_burst(sight: Sight) -> Verdict:
    """Whether the restarts within the policy's window reach its threshold, the last one being news."""
    rules, status = sight.rules, sight.new
    if status.restart_count < rules.restart_threshold:
        return Quiet.FEW_RESTARTS
    if (quiet := gone_quiet(sight.pod)) is not None:
        return quiet
    if sight.old is not None and sight.old.restart_count >= status.restart_count:
        return Quiet.SEEN_BEFORE
    times = _times(sight)
    since = sight.now - timedelta(seconds=rules.restart_window_s)
    count = sum(time >= since for time in times)
    if count < rules.restart_threshold:
        return Quiet.FEW_RESTARTS
    if sight.old_pod is None and rules.news_since is not None and times[-1] < rules.news_since:
        return Quiet.BASELINE
    note = f"Restarted {count} times within {rules.restart_window_s:.0f} seconds."
    end = status.ended_before or status.ended
    return container_finding(sight, IncidentKind.RESTART_BURST, end, seen_time=times[-1], note=note)


def _times(sight: Sight) -> tuple[datetime, ...]:
    if sight.tally is not None:
        return sight.tally.times(sight.pod, sight.new.name)
    return times_without_memory(sight.old_pod, sight.pod, sight.new, sight.now)
