from datetime import UTC, datetime, timedelta

from faultproxy import Answer
from kuberig import client_of, config_map, fresh_namespace, proxied, running
from watchbell.kube.client import CONFIGMAPS, EVENTS, Client
from watchbell.kube.events import NOTE_MAX, QUEUE_MAX, EventRecorder
from watchbell.kube.resources import ObjectRef

CASE = {"type_": "Warning", "reason": "WentWrong", "action": "Probe"}


def recorder(client: Client, **options) -> EventRecorder:
    return EventRecorder(client, reporting_controller="watchbell.dev/operator", instance="test-0", **options)


async def regarding(client: Client, namespace: str) -> ObjectRef:
    return ObjectRef.of(await client.create(CONFIGMAPS, config_map("subject"), namespace))


async def test_an_event_is_posted_about_its_object(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        ref, events = await regarding(client, namespace), recorder(client)
        async with running(events.run()):
            events.emit(ref, **CASE, note="the relay said 535")
            await events.flushed()
        (event,) = await client.list(EVENTS, namespace, field_selector="regarding.name=subject") or [{}]
        assert event["regarding"]["uid"] == ref.uid
        assert (event["type"], event["reason"], event["action"]) == ("Warning", "WentWrong", "Probe")
        assert (event["note"], event["reportingInstance"]) == ("the relay said 535", "test-0")
        assert not events.dropped


async def test_the_same_event_again_becomes_a_series_with_few_writes(control_plane):
    asked = []
    times = [datetime(2030, 1, 1, 12, tzinfo=UTC)]
    async with (
        client_of(control_plane, on_request=lambda verb, code: asked.append((verb, code))) as client,
        fresh_namespace(client) as namespace,
    ):
        ref, events = await regarding(client, namespace), recorder(client, now=lambda: times[-1])
        asked.clear()
        async with running(events.run()):
            for _ in range(40):
                times.append(times[-1] + timedelta(seconds=10))
                events.emit(ref, **CASE, note="again")
            await events.flushed()
        assert asked == [("create", 201), ("patch", 200), ("patch", 200)]
        (event,) = await client.list(EVENTS, namespace)
        assert event["series"]["count"] == 32
        assert event["series"]["lastObservedTime"].startswith("2030-01-01T12:05:20")


async def test_a_long_note_is_cut_at_the_apis_limit_of_bytes(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        ref, events = await regarding(client, namespace), recorder(client)
        async with running(events.run()):
            events.emit(ref, **CASE, note="ü" * NOTE_MAX)
            await events.flushed()
        (event,) = await client.list(EVENTS, namespace)
        assert len(event["note"].encode()) <= NOTE_MAX
        assert event["note"].endswith("ü…")


async def test_an_event_about_a_kind_without_namespace_lives_in_default(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        events = recorder(client)
        async with running(events.run()):
            events.emit(ObjectRef("v1", "Namespace", namespace, uid="u-1"), **CASE, note="cluster-wide")
            await events.flushed()
        found = await client.list(EVENTS, "default")
        assert [event["note"] for event in found if event["regarding"]["name"] == namespace] == ["cluster-wide"]


async def test_what_cannot_be_posted_is_counted_by_cause(control_plane):
    async with (
        client_of(control_plane) as admin,
        client_of(control_plane, "plain") as plain,
        fresh_namespace(admin) as namespace,
    ):
        ref, events = await regarding(admin, namespace), recorder(plain)
        for number in range(QUEUE_MAX + 3):
            events.emit(ref, **CASE, note=f"note {number}")
        async with running(events.run()):
            await events.flushed()
        assert events.dropped == {"QueueFull": 3, "Forbidden": 25, "Flood": QUEUE_MAX - 25}


async def test_an_event_that_ran_out_of_its_hour_begins_a_new_one(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        ref, events = await regarding(client, namespace), recorder(client)
        async with running(events.run()):
            events.emit(ref, **CASE, note="old")
            await events.flushed()
            (event,) = await client.list(EVENTS, namespace)
            await client.delete(EVENTS, event["metadata"]["name"], namespace)
            events.emit(ref, **CASE, note="old")
            events.emit(ref, **CASE, note="old")
            await events.flushed()
        (event,) = await client.list(EVENTS, namespace)
        assert event["note"] == "old"
        assert "series" not in event


async def test_a_namespace_that_is_gone_is_counted_and_ends_nothing(control_plane):
    async with client_of(control_plane) as client:
        events = recorder(client)
        async with running(events.run()) as tasks:
            events.emit(ObjectRef("v1", "ConfigMap", "x", "no-such-namespace", "u"), **CASE, note="late")
            await events.flushed()
            assert not tasks[0].done()
        assert events.dropped == {"NotFound": 1}


async def test_a_busy_server_is_tried_again(control_plane):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        ref, events = await regarding(direct, namespace), recorder(client)
        faults = [Answer(503, b"busy")]
        proxy.plan = lambda _request: faults.pop() if faults else None
        async with running(events.run()):
            events.emit(ref, **CASE, note="kept")
            await events.flushed()
        assert len(await direct.list(EVENTS, namespace)) == 1
        assert not events.dropped
