"""How kopf is set up: every setting that was decided, and what its requests carry."""

import asyncio
import itertools
import ssl
from contextlib import asynccontextmanager

import kopf
import trustme
from aiohttp import web

from watchbell.handlers import registry
from watchbell.kube.access import Access
from watchbell.kube.pulse import Pulses
from watchbell.streams import SILENT_MOST_S, WATCH_SPACING_S, EndlessBackoff, configure, session


@asynccontextmanager
async def listening(answer, tls=None):
    """The address of a small server that gives each request to `answer`."""
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(access):
    made = session(access)
    try:
        yield made.aiohttp_session
    finally:
        await made.aiohttp_session.close()


class Heard:
    """What a server heard: tokens and times; a token of `refused` is answered with 401."""

    def __init__(self, *refused):
        self.tokens, self.times, self.refused = [], [], refused

    async def answer(self, request):
        self.tokens.append(request.headers.get("Authorization"))
        self.times.append(asyncio.get_running_loop().time())
        return web.Response(status=401 if self.tokens[-1] in self.refused else 200, text="{}")


def test_kopf_writes_nothing_and_scans_nothing():
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True
    assert settings.peering.standalone is True


def test_kopf_lists_in_pages_notices_silence_and_lets_go_of_idle_objects():
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.watching.chunk_size == 100
    assert settings.watching.inactivity_timeout == 70
    assert settings.watching.connect_timeout == 10
    assert settings.watching.server_timeout == 600
    assert settings.watching.client_timeout is None
    assert settings.queueing.idle_timeout == 0.05
    assert settings.queueing.worker_limit is None
    assert settings.queueing.exit_timeout == 2
    assert settings.networking.request_timeout == 30
    assert settings.networking.connect_timeout == 10
    assert settings.execution.max_workers == 4
    assert settings.process.ultimate_exiting_timeout == 60


def test_finished_tests_are_not_watched():
    settings = kopf.OperatorSettings()
    configure(settings)
    assert settings.watching.field_selectors["watchbell.dev", "v1alpha1", "smtptests"] == "status.completionTime="


def test_kopf_never_runs_out_of_patience():
    settings = kopf.OperatorSettings()
    configure(settings)
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, EndlessBackoff)
    for _ in range(2):
        assert list(itertools.islice(backoffs, 10)) == [1, 1, 2, 3, 5, 8, 13, 21, 30, 30]
        assert sum(itertools.islice(backoffs, 10_000)) > 86_400


async def test_every_request_carries_the_token_as_it_is_now():
    heard, tokens = Heard(), itertools.count(1)
    async with (
        listening(heard.answer) as url,
        asking(Access(url, None, lambda: f"t{next(tokens)}", "default")) as client,
    ):
        for _ in range(3):
            async with client.get(f"{url}/api") as answer:
                assert answer.status == 200
    assert heard.tokens == ["Bearer t1", "Bearer t2", "Bearer t3"]


async def test_a_refused_token_of_a_program_is_asked_for_once_more():
    dropped = []
    heard = Heard("Bearer old")
    access = {"is_token_slow": True, "drop_token": lambda: dropped.append(True)}
    async with (
        listening(heard.answer) as url,
        asking(Access(url, None, lambda: "new" if dropped else "old", "default", **access)) as client,
        client.get(f"{url}/api") as answer,
    ):
        assert answer.status == 200
    assert heard.tokens == ["Bearer old", "Bearer new"]


async def test_without_a_token_none_is_sent():
    heard = Heard()
    async with (
        listening(heard.answer) as url,
        asking(Access(url, None, None, "default")) as client,
        client.get(f"{url}/api") as answer,
    ):
        assert answer.status == 200
    assert heard.tokens == [None]


async def test_the_server_is_known_by_the_name_of_the_kubeconfig():
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("kube.example.com").configure_cert(tls)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with (
        listening(Heard().answer, tls) as url,
        asking(Access(url, trust, None, "default", server_name="kube.example.com")) as client,
        client.get(f"{url}/api") as answer,
    ):
        assert answer.status == 200


async def test_a_watch_that_is_closed_at_once_is_not_asked_for_in_a_hot_loop():
    heard = Heard()
    async with listening(heard.answer) as url, asking(Access(url, None, None, "default")) as client:
        for _ in range(2):
            async with client.get(f"{url}/apis/a?watch=true") as answer:
                await answer.read()
        async with client.get(f"{url}/apis/b?watch=true") as answer:
            await answer.read()
        for _ in range(5):
            async with client.get(f"{url}/apis/a") as answer:
                await answer.read()
    first, second, other, *lists = heard.times
    assert second - first >= WATCH_SPACING_S * 0.95
    assert lists[-1] - other < WATCH_SPACING_S / 2
    assert other - second < WATCH_SPACING_S / 2


async def test_watches_and_the_lists_that_come_before_them_again_are_signs_of_life():
    now = [0.0]
    pulses = Pulses(lambda: now[0])
    async with listening(Heard().answer) as url:
        made = session(Access(url, None, None, "default"), pulses)
        client = made.aiohttp_session
        try:
            for path in ("version", "apis/watchbell.dev/v1alpha1/smtptests"):
                async with client.get(f"{url}/{path}") as answer:
                    await answer.read()
            assert pulses.ages() == {}, "what is asked once at the start is no stream"
            async with client.get(f"{url}/apis/watchbell.dev/v1alpha1/smtptests?watch=true") as answer:
                await answer.read()
            now[0] = SILENT_MOST_S + 1
            assert pulses.ages() == {"smtptests": now[0]}
            assert len(pulses.silent()) == 1
            async with client.get(f"{url}/apis/watchbell.dev/v1alpha1/smtptests") as answer:
                await answer.read()
            assert pulses.silent() == ()
        finally:
            await client.close()


async def test_every_kind_has_a_handler_that_hands_the_object_over():
    class Store:
        def __init__(self):
            self.heard = []

        def changed(self, body):
            self.heard.append(("changed", body["metadata"]["name"]))

        def deleted(self, body):
            self.heard.append(("deleted", body["metadata"]["name"]))

    stores = {"smtpconnectors": Store(), "smtptests": Store()}
    made = registry(Access("http://127.0.0.1:1", None, None, "default"), stores)
    handlers = {handler.id: handler for handler in made._watching.get_all_handlers()}
    assert set(handlers) == set(stores)
    for plural, handler in handlers.items():
        for type_ in (None, "ADDED", "MODIFIED", "DELETED"):
            await handler.fn(type=type_, body={"metadata": {"name": plural}})
        assert [word for word, _ in stores[plural].heard] == ["changed", "changed", "changed", "deleted"]
    assert not made._changing.get_all_handlers(), "handlers of changes would write annotations"
    assert not made._spawning.get_all_handlers(), "timers and daemons would add finalizers"


async def test_a_list_for_kopf_comes_without_managed_fields():
    async def answer(_request):
        metadata = {"name": "a", "managedFields": [{"manager": "kubectl"}]}
        return web.json_response({"kind": "SmtpConnectorList", "items": [{"metadata": metadata, "spec": {"port": 25}}]})

    async with (
        listening(answer) as url,
        asking(Access(url, None, None, "default")) as client,
        client.get(f"{url}/list") as response,
    ):
        assert (await response.json())["items"] == [{"metadata": {"name": "a"}, "spec": {"port": 25}}]
