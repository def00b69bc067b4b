import asyncio
import ssl
import sys
import time
from asyncio import sslproto
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec
import pytest
import yaml

from faultproxy import Answer, CutAfter, FaultProxy, Hang, LoseReply
from kuberig import access_to, client_of, config_map, fresh_namespace, make, proxied, until
from watchbell.kube.access import Access, load_access
from watchbell.kube.client import CONFIGMAPS, CRDS, NAMESPACES, PODS, Client, Resource, custom
from watchbell.kube.crdcheck import Wanted, forbidden_verbs, missing_crds
from watchbell.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    Throttled,
    Unauthorized,
    Unreachable,
)
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import Written, write_status

SERVICES = Resource("", "v1", "services")
TOO_MANY = b'{"kind":"Status","code":429,"reason":"TooManyRequests","message":"slow down"}'


async def test_a_brief_create_brings_the_metadata_and_keeps_the_body(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        body = config_map("brief", key="one")
        made = await client.create(CONFIGMAPS, body, namespace, brief=True)
        there = await client.get(CONFIGMAPS, "brief", namespace)
        assert made["metadata"]["uid"] == there["metadata"]["uid"]
        assert made["metadata"]["resourceVersion"] == there["metadata"]["resourceVersion"]
        assert made["data"] == {"key": "one"}
        assert "uid" not in body["metadata"]
        with pytest.raises(AlreadyExists):
            await client.create(CONFIGMAPS, body, namespace, brief=True)


async def test_a_large_object_is_written_whole_but_never_handed_to_tls_at_once(control_plane, monkeypatch):
    """A connection's TLS buffer stays as large as the largest piece it ever got, and connections are kept."""
    pieces = []
    write = sslproto._SSLProtocolTransport.write

    def noted(self, data):
        pieces.append(len(data))
        write(self, data)

    monkeypatch.setattr(sslproto._SSLProtocolTransport, "write", noted)
    text = "".join(f"line {number}\n" for number in range(40_000))
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        made = await client.create(CONFIGMAPS, config_map("large", key=text), namespace)
        await client.replace(CONFIGMAPS, made | {"data": {"key": text[::-1]}}, namespace)
        assert (await client.get(CONFIGMAPS, "large", namespace))["data"] == {"key": text[::-1]}
    assert sum(pieces) > 2 * len(text)
    assert max(pieces) <= 20_000


async def test_what_nobody_waits_for_lets_all_others_go_first(control_plane):
    asked = []
    async with (
        client_of(control_plane, on_request=lambda verb, code: asked.append((verb, code))) as client,
        fresh_namespace(client) as namespace,
    ):
        asked.clear()
        reads = [asyncio.create_task(client.get(NAMESPACES, namespace)) for _ in range(5)]
        await asyncio.sleep(0)
        assert client.is_busy
        await client.in_background.create(CONFIGMAPS, config_map("later"), namespace)
        await asyncio.gather(*reads)
        assert asked == [("get", 200)] * 5 + [("create", 201)]
        assert not client.is_busy


async def test_an_object_is_created_read_replaced_patched_and_deleted(control_plane):
    asked = []
    async with (
        client_of(control_plane, on_request=lambda verb, code: asked.append((verb, code))) as client,
        fresh_namespace(client) as namespace,
    ):
        asked.clear()
        made = await client.create(CONFIGMAPS, config_map("life", key="one"), namespace)
        made["data"]["key"] = "two"
        await client.replace(CONFIGMAPS, made, namespace)
        await client.patch(CONFIGMAPS, "life", {"data": {"more": "three"}}, namespace)
        assert (await client.get(CONFIGMAPS, "life", namespace))["data"] == {"key": "two", "more": "three"}
        with pytest.raises(Conflict) as stale:
            await client.replace(CONFIGMAPS, made, namespace)
        assert not isinstance(stale.value, AlreadyExists)
        with pytest.raises(AlreadyExists):
            await client.create(CONFIGMAPS, config_map("life"), namespace)
        with pytest.raises(Conflict):
            await client.delete(CONFIGMAPS, "life", namespace, uid="00000000-0000-0000-0000-000000000000")
        await client.delete(CONFIGMAPS, "life", namespace, uid=made["metadata"]["uid"])
        with pytest.raises(NotFound):
            await client.get(CONFIGMAPS, "life", namespace)
    assert asked[:5] == [("create", 201), ("update", 200), ("patch", 200), ("get", 200), ("update", 409)]


async def test_a_list_is_put_together_from_pages_and_selected_by_the_server(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        for number in range(5):
            await client.create(CONFIGMAPS, config_map(f"l-{number}", {"odd": str(number % 2)}), namespace)
        odd = await client.list(CONFIGMAPS, namespace, label_selector="odd=1")
        assert [("managedFields" in one["metadata"], one["metadata"]["labels"]) for one in odd] == [
            (False, {"odd": "1"})
        ] * 2
        assert len(await client.list(CONFIGMAPS, namespace, field_selector="metadata.name=l-3")) == 1
        async with aclosing(client.pages(CONFIGMAPS, namespace, limit=2)) as pages:
            sizes = [len(msgspec.json.decode(page)["items"]) async for page in pages]
    assert sizes == [2, 2, 1]


async def test_a_list_whose_continue_token_expires_begins_again_once(control_plane, monkeypatch):
    monkeypatch.setattr("watchbell.kube.client.BODIES_PAGE_LIMIT", 2)
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        await make(direct, namespace, "a", "b", "c")
        expired = [Answer(410, b'{"kind":"Status","code":410,"reason":"Expired","message":"too old"}')]
        proxy.plan = lambda request: expired.pop() if request.query("continue") and expired else None
        assert [item["metadata"]["name"] for item in await client.list(CONFIGMAPS, namespace)] == ["a", "b", "c"]
        assert len(proxy.requests) == 4
        proxy.plan = lambda request: Answer(410) if request.query("continue") else None
        with pytest.raises(Gone):
            await client.list(CONFIGMAPS, namespace)


async def test_an_answer_cut_in_the_middle_is_unreachable_and_never_half_an_object(control_plane):
    async with proxied(control_plane) as (proxy, client):
        proxy.plan = lambda _request: CutAfter(100)
        with pytest.raises(Unreachable):
            await client.get(NAMESPACES, "default")


async def test_server_side_apply_owns_fields_by_manager_and_force_takes_them(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        mine = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"a": "1", "b": "1"}}
        await client.apply(CONFIGMAPS, "shared", mine, namespace, manager="one")
        theirs = {**mine, "data": {"a": "2"}}
        with pytest.raises(Conflict):
            await client.apply(CONFIGMAPS, "shared", theirs, namespace, manager="two", force=False)
        await client.apply(CONFIGMAPS, "shared", theirs, namespace, manager="two")
        left = await client.apply(CONFIGMAPS, "shared", {**mine, "data": {}}, namespace, manager="one")
        assert left["data"] == {"a": "2"}


async def test_a_refused_object_names_the_fields(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        with pytest.raises(Invalid) as wrong:
            await client.create(CONFIGMAPS, config_map("Not_A_Name"), namespace)
        assert [field for field, _ in wrong.value.causes] == ["metadata.name"]


async def test_who_may_not_is_told_in_the_servers_words_and_who_is_unknown_is_unauthorized(control_plane):
    async with client_of(control_plane, "plain") as plain:
        with pytest.raises(Forbidden, match='cannot list resource "pods"'):
            await plain.list(PODS)
    stranger = Client(Access(control_plane.url, access_to(control_plane).ssl, lambda: "nonsense", "default"))
    with pytest.raises(Unauthorized):
        await stranger.list(PODS)
    await stranger.close()


async def test_a_status_goes_onto_the_very_object_that_was_judged(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        ports = {"ports": [{"port": 80}]}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "judged"}, "spec": ports}
        ref = ObjectRef.of(await client.create(SERVICES, body, namespace))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        one = {"type": "One", "status": "True", "reason": "Fine", "message": "", "lastTransitionTime": now}
        two = {**one, "type": "Two"}
        wanted = {"conditions": [one, two]}

        assert await write_status(client, SERVICES, ref, wanted, None, manager="watchbell") is Written.APPLIED
        current = (await client.get(SERVICES, "judged", namespace))["status"]
        assert {condition["type"] for condition in current["conditions"]} == {"One", "Two"}
        turned = {"conditions": [two, one]}
        assert await write_status(client, SERVICES, ref, turned, wanted, manager="watchbell") is Written.UNCHANGED
        await client.delete(SERVICES, "judged", namespace)
        assert await write_status(client, SERVICES, ref, wanted, {}, manager="watchbell") is Written.GONE
        await client.create(SERVICES, body, namespace)
        assert await write_status(client, SERVICES, ref, wanted, {}, manager="watchbell") is Written.GONE


async def test_one_429_is_waited_out_and_a_second_is_told(control_plane):
    async with proxied(control_plane) as (proxy, client):
        faults = [Answer(429, TOO_MANY, ("Retry-After: 1",))]
        proxy.plan = lambda _request: faults.pop() if faults else None
        started = time.monotonic()
        await client.get(NAMESPACES, "default")
        assert time.monotonic() - started >= 1
        proxy.plan = lambda _request: Answer(429, TOO_MANY, ("Retry-After: 0",))
        proxy.requests.clear()
        with pytest.raises(Throttled):
            await client.get(NAMESPACES, "default")
        assert len(proxy.requests) == 2


async def test_a_429_whose_wait_exceeds_the_deadline_is_told_at_once(control_plane):
    async with proxied(control_plane) as (proxy, client):
        proxy.plan = lambda _request: Answer(429, TOO_MANY, ("Retry-After: 60",))
        started = time.monotonic()
        with pytest.raises(Throttled) as told:
            await client.get(NAMESPACES, "default")
        assert told.value.retry_after_s == 60
        assert time.monotonic() - started < 8


async def test_a_server_that_does_not_answer_ends_at_the_deadline(control_plane):
    codes = []
    async with proxied(control_plane, deadline_s=0.3, on_request=lambda verb, code: codes.append((verb, code))) as (
        proxy,
        client,
    ):
        proxy.plan = lambda _request: Hang()
        with pytest.raises(Unreachable, match=r"gave no answer within 0\.3 s"):
            await client.get(NAMESPACES, "default")
        async with aclosing(client.watch(CONFIGMAPS, "default", resource_version="1")) as lines:
            with pytest.raises(Unreachable):
                await anext(lines)
    assert ("get", 0) in codes
    assert ("watch", 0) in codes


async def test_a_create_whose_reply_was_lost_is_not_repeated_and_an_apply_is(control_plane):
    async with (
        proxied(control_plane) as (proxy, client),
        client_of(control_plane) as direct,
        fresh_namespace(direct) as namespace,
    ):
        lost = [LoseReply()]
        proxy.plan = lambda _request: lost.pop() if lost else None
        with pytest.raises(Unreachable):
            await client.create(CONFIGMAPS, config_map("maybe"), namespace)
        assert len(proxy.requests) == 1
        await direct.get(CONFIGMAPS, "maybe", namespace)
        lost.append(LoseReply())
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "sure"}, "data": {"a": "1"}}
        assert (await client.apply(CONFIGMAPS, "sure", body, namespace, manager="one"))["data"] == {"a": "1"}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(200, b"<html>a captive portal</html>"), ServerError),
        (Answer(502, b"<html>bad gateway</html>"), ServerError),
        (Answer(302, b"", ("Location: https://login.example.com/",)), ApiError),
        (Answer(410, b"{}"), Gone),
        (Answer(418, b"[]"), ApiError),
    ],
)
async def test_an_answer_that_is_not_the_apis_is_a_typed_error_too(control_plane, answer, kind):
    async with proxied(control_plane) as (proxy, client):
        proxy.plan = lambda _request: answer
        with pytest.raises(kind):
            await client.get(NAMESPACES, "default")


async def test_nobody_listens_is_one_sentence(control_plane):
    async with FaultProxy(control_plane.url, control_plane.ca_pem) as proxy:
        url = proxy.url
    client = Client(Access(url, None, None, "default"))
    with pytest.raises(Unreachable, match=r"cannot be reached: Cannot connect to host"):
        await client.get(NAMESPACES, "default")
    await client.close()


async def test_a_closed_client_opens_no_connection_that_nobody_would_close(control_plane):
    client = Client(Access(control_plane.url, None, lambda: control_plane.token, "default"))
    await client.close()
    with pytest.raises(Unreachable, match="is closed"):
        await client.get(NAMESPACES, "default")
    with pytest.raises(Unreachable, match="is closed"):
        async for _ in client.watch(NAMESPACES, resource_version="0"):
            pass


async def test_a_wrong_authority_is_unreachable_and_says_certificate(control_plane):
    client = Client(Access(control_plane.url, ssl.create_default_context(), lambda: control_plane.token, "default"))
    with pytest.raises(Unreachable, match="certificate verify failed"):
        await client.get(NAMESPACES, "default")
    await client.close()


async def test_the_token_file_is_read_again_when_it_was_renewed(control_plane, tmp_path):
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_text(control_plane.ca_pem)
    (folder / "namespace").write_text("default\n")
    (folder / "token").write_text("expired")
    host, port = control_plane.url.removeprefix("https://").split(":")
    environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    client = Client(load_access(environ=environ, service_account_dir=folder))
    with pytest.raises(Unauthorized):
        await client.get(NAMESPACES, "default")
    fresh = folder / "fresh"
    fresh.write_text(control_plane.token + "\n")
    fresh.replace(folder / "token")
    assert (await client.get(NAMESPACES, "default"))["metadata"]["name"] == "default"
    await client.close()


async def test_a_kubeconfig_with_a_client_certificate_and_one_with_a_token_reach_the_server(control_plane):
    paths = (control_plane.kubeconfig, control_plane.kubeconfig_for("root", ["system:masters"]))
    for path in paths:
        client = Client(load_access(str(path)))
        assert await client.list(NAMESPACES)
        await client.close()


PLUGIN = """#!{python}
import json, pathlib
tokens = pathlib.Path(__file__).with_name("tokens")
first, _, rest = tokens.read_text().partition(" ")
tokens.write_text(rest or first)
print(json.dumps({{"status": {{"token": first}}}}))
"""


async def test_a_plugins_token_that_the_server_refuses_is_fetched_anew_once(control_plane, tmp_path):
    (tmp_path / "plugin").write_text(PLUGIN.format(python=sys.executable))
    (tmp_path / "plugin").chmod(0o700)
    (tmp_path / "tokens").write_text(f"revoked {control_plane.token}")
    body = yaml.safe_load(control_plane.kubeconfig.read_text())
    for user in body["users"]:
        user["user"] = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin"}}
    (tmp_path / "config").write_text(yaml.safe_dump(body))
    client = Client(load_access(str(tmp_path / "config")))
    assert (await client.get(NAMESPACES, "default"))["metadata"]["name"] == "default"
    (tmp_path / "tokens").write_text("revoked")
    client.access.drop_token()
    with pytest.raises(Unauthorized):
        await client.get(NAMESPACES, "default")
    await client.close()


async def test_the_log_of_the_run_that_died_is_asked_for_within_bounds_and_may_be_any_bytes(control_plane):
    async with proxied(control_plane) as (proxy, client):
        proxy.plan = lambda _request: Answer(200, b"panic: \xff\nexit 3\n")
        text = await client.pod_log("shop", "web-1", "main", previous=True, tail_lines=5, limit_bytes=4096)
        (request,) = proxy.requests
    assert text == "panic: \ufffd\nexit 3\n"
    assert request.path == "/api/v1/namespaces/shop/pods/web-1/log"
    asked = {name: request.query(name) for name in ("container", "previous", "tailLines", "limitBytes")}
    assert asked == {"container": "main", "previous": "true", "tailLines": "5", "limitBytes": "4096"}


async def test_the_log_of_a_pod_that_is_not_there_is_not_found(control_plane):
    async with client_of(control_plane) as client:
        with pytest.raises(NotFound):
            await client.pod_log("default", "nobody", "main", previous=False, tail_lines=5, limit_bytes=4096)


async def test_many_watches_do_not_take_the_connections_of_calls(control_plane):
    async with client_of(control_plane) as client, fresh_namespace(client) as namespace:
        await make(client, namespace, "one")
        version = (await client.get(CONFIGMAPS, "one", namespace))["metadata"]["resourceVersion"]

        async def follow() -> None:
            async with aclosing(client.watch(CONFIGMAPS, namespace, resource_version=version)) as lines:
                await anext(lines)
                seen.append(1)

        seen: list[int] = []
        tasks = [asyncio.create_task(follow()) for _ in range(40)]
        await asyncio.wait_for(make(client, namespace, "two"), 30)
        await until(lambda: len(seen) == 40)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _crd(plural: str) -> dict:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.watchbell.dev"},
        "spec": {
            "group": "watchbell.dev",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": plural.title()},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}],
        },
    }


async def test_a_missing_kind_is_named_and_one_that_is_served_is_not(control_plane):
    names = ("kubecases.watchbell.dev", "nosuchcases.watchbell.dev")
    async with client_of(control_plane) as client:
        await client.create(CRDS, _crd("kubecases"))
        try:
            missing = names
            deadline = time.monotonic() + 10
            while len(missing) == 2 and time.monotonic() < deadline:
                missing = await missing_crds(client, names)
            assert missing == ("nosuchcases.watchbell.dev",)
            assert await client.list(custom("kubecases")) == []
        finally:
            await client.delete(CRDS, "kubecases.watchbell.dev")


async def test_forbidden_verbs_are_named_one_by_one(control_plane):
    wanted = (Wanted("list", PODS), Wanted("patch", custom("smtptests"), "shop", "status"))
    async with client_of(control_plane) as admin, client_of(control_plane, "plain") as plain:
        assert await forbidden_verbs(admin, wanted) == ()
        assert await forbidden_verbs(plain, wanted) == (
            "list pods",
            "patch smtptests/status.watchbell.dev in namespace shop",
        )
