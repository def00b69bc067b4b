"""The event loop's own pulse: once a second it says that it turns, and how late it was.

Before: `runtime` starts it. After: /livez, and the metric that shows what held the loop up. A loop that stands still answers no probe at all, which
the kubelet takes for a failure just as well.
"""

import asyncio
from collections.abc import Callable
from typing import Never

from watchbell import metrics
from watchbell.kube.pulse import Pulses

NAME = "event loop"
EVERY_S = 1.0
SILENT_MOST_S = 10.0


async def beat(pulses: Pulses, clock: Callable[[], float]) -> Never:
    """Beat until cancelled."""
    while True:
        pulses.beat(NAME, NAME, SILENT_MOST_S)
        due = clock() + EVERY_S
        await asyncio.sleep(EVERY_S)
        metrics.LOOP_LAG_SECONDS.observe(max(0.0, clock() - due))
