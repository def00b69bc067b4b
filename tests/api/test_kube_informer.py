import asyncio
import json
import random
import time

import msgspec
import pytest

from faultproxy import Answer, CutAfter, Request, StallAfter, Stream
from kuberig import Meta, Settings, client_of, config_map, fresh_namespace, make, proxied, running, until
from watchbell.kube.access import Access
from watchbell.kube.client import CONFIGMAPS, Client, Resource, custom
from watchbell.kube.errors import Forbidden, NotFound
from watchbell.kube.informer import Informer, Pace
from watchbell.kube.pulse import Pulses

QUICK = Pace(rewatch_s=1.0, backoff_first_s=0.05, backoff_most_s=0.2, refused_s=0.2, stall_s=70, page_limit=3)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings")
GONE_EVENT = json.dumps(
    {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
).encode()


class Changes:
    """What an informer told: (what, name) in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __call__(self, old: Settings | None, new: Settings | None) -> None:
        what = "added" if old is None else "deleted" if new is None else "changed"
        self.told.append((what, (new or old).metadata.name))

    def names(self, what: str) -> list[str]:
        return [name for told, name in self.told if told == what]


def informer(client: Client, namespace: str, changes: Changes, **options) -> Informer[Settings]:
    pace = options.pop("pace", QUICK)
    return Informer(client, CONFIGMAPS, Settings, namespace=namespace, on_change=changes, pace=pace, **options)


def first_watch(fault):
    """The fault strikes the first watch only."""
    left = [fault]
    return lambda request: left.pop() if request.is_watch and left else None


async def test_a_list_of_several_pages_is_complete_and_every_later_change_is_told_in_order(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        await make(client, namespace, *(f"page-{number}" for number in range(7)))
        changes = Changes()
        watch = informer(client, namespace, changes)
        async with running(watch.run()):
            await asyncio.wait_for(watch.synced.wait(), 30)
            assert {name for _, name in watch.store} == {f"page-{number}" for number in range(7)}
            changes.told.clear()
            await make(client, namespace, "later")
            await client.patch(CONFIGMAPS, "later", {"data": {"a": "b"}}, namespace)
            await client.delete(CONFIGMAPS, "later", namespace)
            await until(lambda: len(changes.told) == 3)
        assert changes.told == [("added", "later"), ("changed", "later"), ("deleted", "later")]
        assert watch.lists == 1
        assert watch.failure is None


async def test_a_watch_cut_in_the_middle_of_a_line_loses_nothing_and_repeats_nothing(control_plane):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        proxy.plan = first_watch(CutAfter(900))
        changes = Changes()
        watch = informer(client, namespace, changes)
        async with running(watch.run()):
            await until(lambda: proxy.watches)
            await make(direct, namespace, *(f"cut-{number}" for number in range(6)))
            await until(lambda: len(changes.told) == 6)
        assert changes.told == [("added", f"cut-{number}") for number in range(6)]
        assert len(proxy.watches) == 2
        assert watch.lists == 1


async def test_a_silent_stall_is_noticed_and_what_happened_meanwhile_is_told(control_plane):
    pace = Pace(rewatch_s=0.1, stall_s=0.5, page_limit=3)
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        proxy.plan = first_watch(StallAfter(0))
        changes = Changes()
        watch = informer(client, namespace, changes, pace=pace)
        async with running(watch.run()):
            await until(lambda: proxy.watches)
            await make(direct, namespace, "unseen")
            await until(lambda: changes.told == [("added", "unseen")])
        assert watch.lists == 1


@pytest.mark.parametrize("form", ["event of the stream", "status of the answer"])
async def test_after_a_410_the_list_is_compared_and_deletions_in_the_gap_are_told(control_plane, form):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        await make(direct, namespace, "stays", "goes")
        changes = Changes()
        watch = informer(client, namespace, changes)
        gap = asyncio.Event()

        def plan(request: Request):
            if not request.is_watch or gap.is_set():
                return None
            gap.set()
            return {
                "event of the stream": Stream([GONE_EVENT]),
                "status of the answer": Answer(
                    410, b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}'
                ),
            }[form]

        proxy.plan = lambda request: StallAfter(0) if request.is_watch else None
        async with running(watch.run()):
            await until(lambda: proxy.watches)
            await direct.delete(CONFIGMAPS, "goes", namespace)
            await make(direct, namespace, "comes")
            changes.told.clear()
            proxy.plan = plan
            proxy.cut_all()
            await until(lambda: len(changes.told) == 2)
            assert changes.names("deleted") == ["goes"]
            assert changes.names("added") == ["comes"]
            assert watch.lists == 2
            await make(direct, namespace, "after")
            await until(lambda: "after" in changes.names("added"))


async def test_a_continue_token_that_expired_starts_the_list_again(control_plane):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        await make(direct, namespace, *(f"token-{number}" for number in range(7)))
        expired = [Answer(410, b'{"kind":"Status","code":410,"reason":"Expired","message":"continue token too old"}')]
        proxy.plan = lambda request: expired.pop() if request.query("continue") and expired else None
        changes = Changes()
        watch = informer(client, namespace, changes)
        async with running(watch.run()):
            await asyncio.wait_for(watch.synced.wait(), 30)
        assert sorted(changes.told) == [("added", f"token-{number}") for number in range(7)]


async def test_errors_of_the_server_are_waited_out(control_plane):
    broken = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd is busy"}
    event = json.dumps({"type": "ERROR", "object": broken}).encode()
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        faults = [Stream([event]), Answer(503, b"upstream is gone"), Answer(500, json.dumps(broken).encode())]
        proxy.plan = lambda _request: faults.pop() if faults else None
        changes = Changes()
        watch = informer(client, namespace, changes)
        async with running(watch.run()):
            await until(lambda: watch.failure is not None)
            assert "503" in str(watch.failure)
            await asyncio.wait_for(watch.synced.wait(), 30)
            await make(direct, namespace, "healed")
            await until(lambda: changes.told == [("added", "healed")])
            assert watch.failure is None


async def test_a_server_that_closes_each_watch_at_once_is_asked_once_a_second(control_plane):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        proxy.plan = lambda request: Stream() if request.is_watch else None
        watch = informer(client, namespace, Changes())
        started = time.monotonic()
        async with running(watch.run()):
            await until(lambda: len(proxy.watches) == 3)
        assert time.monotonic() - started >= 2.0
        assert len(proxy.lists) == 1


async def test_a_server_that_says_410_to_each_watch_is_asked_ever_more_slowly(control_plane):
    pace = Pace(backoff_first_s=0.2, backoff_most_s=30)
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        proxy.plan = lambda request: Stream([GONE_EVENT]) if request.is_watch else None
        watch = informer(client, namespace, Changes(), pace=pace, chance=lambda: 1.0)
        started = time.monotonic()
        async with running(watch.run()):
            await until(lambda: len(proxy.watches) == 5)
        assert time.monotonic() - started >= 0.2 + 0.4 + 0.8


async def test_a_refusal_is_told_and_healed_by_a_role(control_plane):
    async with (
        client_of(control_plane) as admin,
        client_of(control_plane, "plain") as plain,
        fresh_namespace(admin) as namespace,
    ):
        await make(admin, namespace, "secret-plan")
        watch = informer(plain, namespace, Changes())
        async with running(watch.run()):
            await until(lambda: watch.failure is not None)
            assert isinstance(watch.failure, Forbidden)
            assert "configmaps" in watch.failure.message
            rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]
            meta = {"name": "reader"}
            await admin.create(
                ROLES,
                {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules},
                namespace,
            )
            await admin.create(
                ROLE_BINDINGS,
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": meta,
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "plain"}],
                },
                namespace,
            )
            await asyncio.wait_for(watch.synced.wait(), 30)
            assert watch.failure is None


async def test_a_kind_that_does_not_exist_is_told(control_plane):
    async with client_of(control_plane) as client:
        watch = Informer(client, custom("nosuchthings"), Settings, on_change=lambda *_: None, pace=QUICK)
        async with running(watch.run()):
            await until(lambda: isinstance(watch.failure, NotFound))
            assert not watch.synced.is_set()


async def test_a_listener_that_raises_does_not_end_the_watch(control_plane, caplog):
    told = []

    def listen(old: Settings | None, new: Settings | None) -> None:
        told.append(new)
        if new is not None and new.metadata.name == "poison":
            raise ValueError("cannot bear this one")

    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        watch = Informer(client, CONFIGMAPS, Settings, namespace=namespace, on_change=listen, pace=QUICK)
        async with running(watch.run()):
            await make(client, namespace, "poison", "bread")
            await until(lambda: len(told) == 2)
        assert "cannot bear this one" in caplog.text


async def test_an_object_made_anew_under_its_name_is_told_as_deleted_and_added(control_plane):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        await make(direct, namespace, "twin")
        changes = Changes()
        watch = informer(client, namespace, changes)
        proxy.plan = lambda request: StallAfter(0) if request.is_watch else None
        async with running(watch.run()):
            await until(lambda: proxy.watches)
            await direct.delete(CONFIGMAPS, "twin", namespace)
            await make(direct, namespace, "twin")
            proxy.plan = first_watch(Stream([GONE_EVENT]))
            proxy.cut_all()
            await until(lambda: len(changes.told) == 3)
        assert changes.told == [("added", "twin"), ("deleted", "twin"), ("added", "twin")]


async def test_an_object_that_leaves_the_selector_is_told_as_deleted(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        await client.create(CONFIGMAPS, config_map("mine", {"team": "a"}), namespace)
        await client.create(CONFIGMAPS, config_map("theirs", {"team": "b"}), namespace)
        changes = Changes()
        watch = informer(client, namespace, changes, label_selector="team=a")
        async with running(watch.run()):
            await asyncio.wait_for(watch.synced.wait(), 30)
            await client.patch(CONFIGMAPS, "mine", {"metadata": {"labels": {"team": "b"}}}, namespace)
            await until(lambda: len(changes.told) == 2)
        assert changes.told == [("added", "mine"), ("deleted", "mine")]


class Numbers(msgspec.Struct):
    metadata: Meta
    data: dict[str, int] = {}


async def test_an_object_of_an_unexpected_shape_is_left_out_and_the_others_are_not(control_plane, caplog):
    told = []
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        await client.create(CONFIGMAPS, config_map("words", key="not a number"), namespace)
        await make(client, namespace, "empty")
        watch = Informer(
            client, CONFIGMAPS, Numbers, namespace=namespace, on_change=lambda _, new: told.append(new), pace=QUICK
        )
        async with running(watch.run()):
            await asyncio.wait_for(watch.synced.wait(), 30)
            await client.create(CONFIGMAPS, config_map("more-words", key="still none"), namespace)
            await make(client, namespace, "last")
            await until(lambda: len(told) == 2)
        assert [item.metadata.name for item in told] == ["empty", "last"]
        assert f"{namespace}/words is left out" in caplog.text
        assert "still none" not in caplog.text


class Mirror:
    """What somebody knows who only listens."""

    def __init__(self) -> None:
        self.known: dict[str, Settings] = {}

    def __call__(self, old: Settings | None, new: Settings | None) -> None:
        if old is not None:
            assert self.known.pop(old.metadata.name) is old
        if new is not None:
            assert new.metadata.name not in self.known
            self.known[new.metadata.name] = new


def storm(chance: random.Random):
    """Every second request meets some fault."""

    def plan(request: Request):
        if chance.random() < 0.5:
            return None
        faults = [
            CutAfter(chance.randrange(2000)),
            CutAfter(chance.randrange(200)),
            StallAfter(chance.randrange(2000)),
            Answer(500),
            Answer(429, b"{}", ("Retry-After: 0",)),
            Answer(410),
            *([Stream(), Stream([GONE_EVENT]), Stream([b'{"type":"ERROR","object":{"code":500}}'])] * request.is_watch),
        ]
        return chance.choice(faults)

    return plan


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_storm_of_faults_the_picture_is_the_servers(control_plane, seed):
    chance = random.Random(seed)  # noqa: S311 - a storm that can be had again
    pace = Pace(rewatch_s=0.01, backoff_first_s=0.01, backoff_most_s=0.05, refused_s=0.05, stall_s=0.2, page_limit=3)
    async with (
        proxied(control_plane, deadline_s=0.5) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        proxy.plan = storm(chance)
        mirror = Mirror()
        watch = Informer(client, CONFIGMAPS, Settings, namespace=namespace, on_change=mirror, pace=pace)
        async with running(watch.run()):
            living: set[str] = set()
            for number in range(120):
                name = f"s-{chance.randrange(12)}"
                if name not in living:
                    living.add(name)
                    await make(direct, namespace, name)
                elif chance.random() < 0.5:
                    living.remove(name)
                    await direct.delete(CONFIGMAPS, name, namespace)
                else:
                    await direct.patch(CONFIGMAPS, name, {"data": {"n": str(number)}}, namespace)
                if chance.random() < 0.15:
                    proxy.cut_all()
                await asyncio.sleep(0.01)
            there = {
                item["metadata"]["name"]: item["metadata"]["resourceVersion"]
                for item in await direct.list(CONFIGMAPS, namespace)
            }
            await until(lambda: {n: o.metadata.resource_version for n, o in mirror.known.items()} == there, 30)
        assert {name: item for (_, name), item in watch.store.items()} == mirror.known
        assert len(proxy.requests) > 15


async def test_a_watch_that_tries_again_while_the_server_is_down_lives_and_one_that_ended_is_not_missed():
    now = [0.0]
    client = Client(Access("http://127.0.0.1:1", None, None, "default"))
    client.pulses = Pulses(lambda: now[0])
    watch = informer(client, "obs", Changes())
    try:
        async with running(watch.run()):
            await until(lambda: watch.failure is not None)
            for _ in range(2):
                now[0] += 1000
                await until(lambda: client.pulses.silent() == ())
            assert list(client.pulses.ages()) == ["configmaps"]
        assert client.pulses.ages() == {}
    finally:
        await client.close()


async def test_every_line_of_a_watch_is_a_sign_of_life(control_plane):
    now = [0.0]
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        client.pulses = Pulses(lambda: now[0])
        watch = informer(client, namespace, Changes())
        async with running(watch.run()):
            await asyncio.wait_for(watch.synced.wait(), 30)
            now[0] += 1000
            assert client.pulses.silent() == ("configmaps was last heard of 1000 s ago, the limit is 300 s",)
            await make(client, namespace, "news")
            await until(lambda: client.pulses.silent() == ())


async def test_what_the_watch_brings_as_new_is_told_whole_and_what_was_listed_is_not(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        await make(client, namespace, "listed")
        changes, whole = Changes(), []
        watch = informer(client, namespace, changes, on_added=lambda new, text: whole.append((new, text)))
        async with running(watch.run()):
            await asyncio.wait_for(watch.synced.wait(), 30)
            body = config_map("new", {"a": "b"}, key="value")
            await client.create(CONFIGMAPS, body, namespace)
            await client.patch(CONFIGMAPS, "new", {"data": {"key": "other"}}, namespace)
            await until(lambda: ("changed", "new") in changes.told)

    ((new, text),) = whole
    assert new.metadata.name == "new"
    assert json.loads(text)["metadata"]["labels"] == {"a": "b"}
    assert json.loads(text)["data"] == {"key": "value"}
