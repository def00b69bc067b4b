"""Who may act: one holder of one Lease at a time, with an end that the holder itself can compute.

Before it: `client`. After it: `runtime`, which runs the queues only while `leading`, and the courier, which asks `covers` before each mail.
Renewal is one PUT with resourceVersion under a deadline; followers watch the one Lease instead of polling it. All waiting is judged by the
local monotonic clock (a follower counts from when *it* saw the last change, as client-go does), so clocks of nodes may differ.

The holder stops at 7/10 of the lease time after the beginning of its last good renewal; others wait for 9/10 of it after they last saw a change. The
gap is the fence.
"""

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from watchbell.kube.client import LEASES, Client
from watchbell.kube.errors import ApiError, Conflict, NotFound

log = logging.getLogger(__name__)

_RELEASE_TIMEOUT_S = 2.0
_LEASE_MOST_S = 3600.0
_PATIENCE = 0.9
Body = dict[str, Any]


class _Event(msgspec.Struct):
    type: str
    object: Body


_EVENT = msgspec.json.Decoder(_Event)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The Lease as it was last seen to change (`body` None = it is not there), and when, by our clock."""

    body: Body | None
    at: float

    @property
    def holder(self) -> str:
        return str(_spec(self.body).get("holderIdentity") or "")

    @property
    def stamp(self) -> tuple[str, str]:
        """What a living holder keeps changing."""
        return self.holder, str(_spec(self.body).get("renewTime") or "")


class LeaseElector:
    """Runs for one Lease. `identity` (the pod's name) gets a random suffix, so no other process can ever be taken for this one.

    `leading` is set while we hold it; `on_gain` and `on_lose` are called on the loop at each change. On the way out (cancellation) the Lease
    is released, so the next one acts at once; stop what needs it before cancelling `run`. `clock` must go on while the process is stopped.
    """

    def __init__(  # noqa: PLR0913 - which Lease, as whom, and whom to tell; the optional ones by name
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease_seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_gain: Callable[[], None] | None = None,
        on_lose: Callable[[], None] | None = None,
    ) -> None:
        self.leading = asyncio.Event()
        self.identity = f"{identity}_{secrets.token_hex(4)}"
        self._client = client
        self._namespace = namespace
        self._name = name
        self._lease_s = lease_seconds
        self._renew_s = lease_seconds / 5
        self._retry_s = lease_seconds / 20
        self._valid_s = lease_seconds * 0.7
        self._clock = clock
        self._now = now
        self._on_gain = on_gain
        self._on_lose = on_lose
        self._valid_until = float("-inf")
        self._mine: Body | None = None
        self._live: _Seen | None = None

    @property
    def valid_until(self) -> float:
        """Until when, by our clock, nobody else can have the Lease."""
        return self._valid_until

    def covers(self, seconds: float) -> bool:
        """Whether we lead now and for `seconds` more, whatever happens to the network."""
        return self.leading.is_set() and self._clock() + seconds < self._valid_until

    async def wait_leading(self) -> None:
        """Returns as soon as we lead."""
        await self.leading.wait()

    async def run(self) -> None:
        """Follows, leads, follows again, until cancelled. An unreachable API server is waited out."""
        try:
            while True:
                await self._follow_until_won()
                try:
                    await self._lead_until_lost()
                finally:
                    self._lose()
        finally:
            await self._release()

    # --- following

    async def _follow_until_won(self) -> None:
        while True:
            try:
                seen = await self._look()
                left_s = self._left_s(seen)
                if left_s > 0:
                    await self._watch(seen, left_s)
                elif await self._try_to_win(seen):
                    return
            except ApiError as error:
                log.warning("The Lease %s/%s cannot be had just now: %s", self._namespace, self._name, error)
                await asyncio.sleep(self._renew_s)

    async def _look(self) -> _Seen:
        try:
            body = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            body = None
        return self._note(body)

    def _note(self, body: Body | None) -> _Seen:
        """Keeps the time at which a live holder was last seen to change the Lease, also beyond the deletion of the object."""
        seen = _Seen(body, self._clock())
        if body is not None and (self._live is None or self._live.stamp != seen.stamp):
            self._live = seen
        return seen

    def _left_s(self, seen: _Seen) -> float:
        """How long whoever holds it may believe so. A Lease that was deleted under a holder leaves that one its time."""
        live = self._live
        if live is None or live.holder in {"", self.identity} or (seen.body is not None and not seen.holder):
            return 0.0
        duration = _spec(live.body).get("leaseDurationSeconds")
        lease_s = float(duration) if isinstance(duration, int | float) else self._lease_s
        return live.at + _PATIENCE * min(max(lease_s, 1.0), _LEASE_MOST_S) - self._clock()

    async def _watch(self, seen: _Seen, left_s: float) -> None:
        """Follows the holder's renewals; returns when it let go, or when it was silent for the whole lease time."""
        if seen.body is None:
            await asyncio.sleep(left_s)
            return
        loop = asyncio.get_running_loop()
        lines = self._client.watch(
            LEASES,
            self._namespace,
            resource_version=seen.body["metadata"]["resourceVersion"],
            field_selector=f"metadata.name={self._name}",
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s) as limit, aclosing(lines):
                async for line in lines:
                    left = self._heed(line)
                    if left is None:
                        break
                    if left <= 0:
                        return
                    limit.reschedule(loop.time() + left)
                # The server ended the watch: the caller looks and watches again, but never in a hot loop.
                await asyncio.sleep(self._retry_s)

    def _heed(self, line: bytes) -> float | None:
        """How long the holder has now; None = this is no event of the Lease, look again."""
        try:
            event = _EVENT.decode(line)
        except msgspec.MsgspecError:
            return None
        match event.type:
            case "BOOKMARK":
                return self._left_s(self._live) if self._live else None
            case "DELETED":
                return self._left_s(_Seen(None, self._clock()))
            case "ADDED" | "MODIFIED":
                return self._left_s(self._note(event.object))
        return None

    async def _try_to_win(self, seen: _Seen) -> bool:
        started = self._clock()
        wanted = self._claim(seen.body)
        try:
            async with asyncio.timeout(self._valid_s):
                self._mine = await (self._create(wanted) if seen.body is None else self._replace(wanted))
        except (Conflict, TimeoutError):
            # Another was quicker, or the answer was lost: what stands there now decides.
            await asyncio.sleep(self._retry_s)
            return False
        self._valid_until = started + self._valid_s
        self.leading.set()
        log.info("Leading as %s", self.identity)
        if self._on_gain is not None:
            self._on_gain()
        return True

    # --- leading

    async def _lead_until_lost(self) -> None:
        pause_s = self._renew_s
        while True:
            await asyncio.sleep(min(pause_s, max(0.0, self._valid_until - self._clock())))
            left_s = self._valid_until - self._clock()
            if left_s <= 0:
                log.error("The Lease could not be renewed in time; no longer leading")
                return
            try:
                # A hung connection must leave time for another try.
                async with asyncio.timeout(min(left_s, self._renew_s)):
                    if not await self._renew():
                        log.error("The Lease is held by another now; no longer leading")
                        return
                pause_s = self._renew_s
            except (ApiError, TimeoutError) as error:
                log.warning("The Lease was not renewed, trying again: %s", str(error) or "no answer in time")
                pause_s = self._retry_s

    async def _renew(self) -> bool:
        """True = renewed. A conflict is looked at: an annotation by somebody, or our own write whose answer was lost, is no loss."""
        started = self._clock()
        try:
            self._mine = await self._replace(self._renewed(self._mine or {}))
        except Conflict:
            body = await self._client.get(LEASES, self._name, self._namespace)
            if _Seen(body, started).holder != self.identity:
                return False
            self._mine = await self._replace(self._renewed(body))
        except NotFound:
            return False
        self._valid_until = started + self._valid_s
        return True

    def _lose(self) -> None:
        self._valid_until = float("-inf")
        if self.leading.is_set():
            self.leading.clear()
            if self._on_lose is not None:
                self._on_lose()

    async def _release(self) -> None:
        """An empty holder tells followers to act at once. Tried once and briefly: expiry does the same, only later."""
        mine, self._mine = self._mine, None
        if mine is None or _Seen(mine, 0.0).holder != self.identity:
            return
        spec = {**_spec(mine), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._stamp()}
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                await self._replace({**mine, "spec": spec})
        except (ApiError, TimeoutError) as error:
            log.warning("The Lease was not released and will run out by itself: %s", str(error) or "no answer in time")

    # --- the object

    def _claim(self, body: Body | None) -> Body:
        stamp = self._stamp()
        spec = _spec(body)
        transitions = spec.get("leaseTransitions")
        claimed = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, math.ceil(self._lease_s)),
            "acquireTime": stamp,
            "renewTime": stamp,
            "leaseTransitions": (transitions if isinstance(transitions, int) else 0) + 1 if body else 0,
        }
        base: Body = body or {"apiVersion": LEASES.api_version, "kind": "Lease", "metadata": {"name": self._name}}
        return {**base, "spec": {**spec, **claimed}}

    def _renewed(self, body: Body) -> Body:
        return {**body, "spec": {**_spec(body), "renewTime": self._stamp()}}

    def _stamp(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _create(self, body: Body) -> Awaitable[Body]:
        return self._client.create(LEASES, body, self._namespace)

    def _replace(self, body: Body) -> Awaitable[Body]:
        return self._client.replace(LEASES, body, self._namespace)


def _spec(body: Body | None) -> Body:
    spec = (body or {}).get("spec")
    return spec if isinstance(spec, dict) else {}
