"""Account mail of the whole operator: through a real connector, over deaths of the process, and with nothing left behind."""

import base64
import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest

from accountrig import CODES, KEY, SECRET, SPEC, codes_of, succeeded, token_of
from operatorrig import Operator, World, encoded, until, world
from watchbell.accounts.codes import derive
from watchbell.accounts.minter import RECOVERIES
from watchbell.accounts.tokens import Claims, Expected, verify
from watchbell.kube.client import SECRETS


async def key(at: World) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "labels": {"watchbell.dev/signing-key": "true"}},
        "data": {"k1": encoded(KEY.decode())},
    }
    await at.client.create(SECRETS, body, at.namespace)


async def ask(at: World, name: str, **spec: Any) -> dict[str, Any]:
    wanted = {field: value for field, value in (SPEC | spec).items() if value is not None}
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "AccountRecovery",
        "metadata": {"name": name},
        "spec": wanted,
    }
    return await at.client.create(RECOVERIES, body, at.namespace)


async def ended(at: World, count: int) -> list[dict[str, Any]]:
    """All of them, once so many are finished."""

    async def finished() -> list[dict[str, Any]] | None:
        found = await at.client.list(RECOVERIES, at.namespace)
        return found if sum("completionTime" in item.get("status", {}) for item in found) >= count else None

    listed: list[dict[str, Any]] = await until(finished, f"{count} recoveries are finished")
    return listed


async def seen(at: World, operator: Operator) -> dict[str, str]:
    """All that the API server has of both namespaces, the log and the metrics."""
    shown = {"log": operator.text, "metrics": await operator.metrics()}
    listing = json.loads(await at.client.raw_get("/apis/watchbell.dev/v1alpha1"))
    ours = {item["name"] for item in listing["resources"] if item["namespaced"] and "/" not in item["name"]}
    for namespace in (at.namespace, at.home):
        paths = [f"/apis/watchbell.dev/v1alpha1/namespaces/{namespace}/{plural}" for plural in sorted(ours)]
        paths += [f"/api/v1/namespaces/{namespace}/{plural}" for plural in ("configmaps", "events")]
        paths.append(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
        shown |= {path: (await at.client.raw_get(path)).decode() for path in paths}
        for secret in await at.client.list(SECRETS, namespace):
            if secret["metadata"]["name"] != SECRET:
                values = [base64.b64decode(value).decode() for value in secret["data"].values()]
                shown[f"Secret {secret['metadata']['name']}"] = json.dumps([secret, values])
    return shown


async def test_link_and_codes_arrive_and_nothing_of_them_stays(control_plane, namespace, tmp_path):
    async with (
        world(control_plane, namespace, tmp_path) as at,
        at.operator("--log-level=debug", "--leader-elect") as operator,
    ):
        await operator.ready()
        await at.connector()
        await key(at)
        await ask(at, "link")
        await at.mailed(1)
        await ask(at, "codes", **CODES)
        await at.mailed(2)
        for item in await ended(at, 2):
            assert succeeded(item["status"])[:2] == ("True", "AcceptedByServer")
        shown = await seen(at, operator)
        (_, _, link), (_, _, codes) = at.inbox.messages
    found = verify(token_of(link), {"k1": KEY}, Expected("https://app.example.com"), datetime.now(UTC))
    assert isinstance(found, Claims)
    secrets = [token_of(link), token_of(link).split(".")[-1], KEY.decode(), encoded(KEY.decode()), *codes_of(codes)]
    secrets += [code.replace("-", "") for code in codes_of(codes)]
    assert len(secrets) == 24
    assert any("argon2id" in text for text in shown.values())
    assert "accountrecoveries" in "".join(shown)
    assert not [(where, secret) for where, text in shown.items() for secret in secrets if secret in text]
    assert not [where for where, text in shown.items() if re.search(r"eyJ[\w-]{10,}\.", text)]


@pytest.mark.parametrize(("use", "is_sent"), [("Recovery", True), ("Message", False)])
async def test_a_cluster_connector_carries_account_mail_only_if_it_allows_that(
    control_plane, namespace, tmp_path, use, is_sent
):
    async with world(control_plane, namespace, tmp_path) as at, at.operator() as operator:
        await operator.ready()
        await at.secret(namespace=at.home)
        await at.authority_map(at.home)
        shared = at.connector_spec(allowedNamespaces={"from": "Names", "names": [namespace]}, allowedUses=[use])
        await at.make("ClusterSmtpConnector", namespace, shared)
        await key(at)
        await ask(at, "link", connectorRef={"kind": "ClusterSmtpConnector", "name": namespace})
        if is_sent:
            await at.mailed(1)
            await ended(at, 1)
            return

        async def told() -> str:
            (item,) = await at.client.list(RECOVERIES, namespace)
            return succeeded(item.get("status", {}))[2]

        await until(lambda: _holds(told, "may not be used for Recovery"), "it is told why")
        assert at.inbox.messages == []


async def _holds(told: Any, text: str) -> bool:
    return text in await told()


async def test_every_mail_is_the_same_however_often_the_operator_is_killed(control_plane, namespace, tmp_path):
    count = 12
    async with world(control_plane, namespace, tmp_path) as at:
        await at.connector()
        await key(at)
        made = [await ask(at, f"r{number}", **(CODES if number % 2 else {})) for number in range(count)]
        for number in range(1, 4):
            async with at.operator(name=f"operator-{number}", is_impatient=True) as operator:
                await operator.ready()
                await at.mailed(number * 3)
                operator.kill()
        async with at.operator(name="operator-last", is_impatient=True) as operator:
            await operator.ready()
            listed = await ended(at, count)
        assert {succeeded(item["status"])[1] for item in listed} <= {"AcceptedByServer", "OutcomeUnknown"}
        bodies = defaultdict(set)
        for mail, (_, _, content) in zip(at.mails, at.inbox.messages, strict=True):
            bodies[str(mail["Message-ID"])].add(content)
    assert len(bodies) == count
    assert all(len(copies) == 1 for copies in bodies.values())
    mailed = {code for (content,) in bodies.values() for code in codes_of(content)}
    wanted = {
        code
        for body in made
        if body["spec"]["type"] == "RecoveryCodes"
        for code in derive(KEY, body["metadata"]["uid"], 10)
    }
    assert mailed == wanted
