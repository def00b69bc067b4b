"""The audit heals what an event did not tell, and believes nothing that is older than what is known."""

import asyncio
import logging

import pytest

from kuberig import until
from watchbell.audit import Audit, Subject, audit_once
from watchbell.connectors.records import record_of, refresh
from watchbell.kube.client import custom
from watchbell.kube.errors import Unreachable

KIND = "SmtpConnector"
RESOURCE = custom("smtpconnectors")


def body(name, namespace="prod", **metadata):
    return {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1} | metadata}


class Store:
    """Holds what it was told of."""

    def __init__(self, *names):
        self.held = {("prod", name) for name in names}
        self.told = []

    def changed(self, seen):
        self.told.append(("changed", seen["kind"], seen["metadata"]["name"]))
        self.held.add((seen["metadata"].get("namespace") or "", seen["metadata"]["name"]))

    def deleted(self, seen):
        self.told.append(("deleted", seen["kind"], seen["metadata"]["name"]))
        self.held.discard((seen["metadata"]["namespace"], seen["metadata"]["name"]))

    def identities(self):
        return frozenset(self.held)


class Server:
    """What a list gives; `meanwhile` happens while it is on its way."""

    def __init__(self, *bodies, error=None, meanwhile=lambda: None):
        self.bodies, self.error, self.meanwhile = bodies, error, meanwhile
        self.asked = []

    async def list(self, resource, namespace=None):
        self.asked.append((resource.plural, namespace))
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return [one for one in self.bodies if namespace in (None, one["metadata"].get("namespace"))]


async def test_a_missed_deletion_is_made_good():
    store = Store("kept", "ghost")
    assert await audit_once(Server(body("kept")), Subject(RESOURCE, KIND, store)) == 1
    assert store.identities() == {("prod", "kept")}
    assert ("deleted", KIND, "ghost") in store.told


async def test_an_object_that_nobody_told_of_is_found():
    store = Store()
    assert await audit_once(Server(body("new")), Subject(RESOURCE, KIND, store)) == 0
    assert store.told == [("changed", KIND, "new")]


async def test_a_cluster_kind_has_no_namespace():
    store = Store()
    await audit_once(Server({"metadata": {"name": "shared"}}), Subject(RESOURCE, KIND, store))
    assert store.identities() == {("", "shared")}


async def test_what_is_deleted_while_the_list_is_on_its_way_stays_deleted():
    store = Store("kept", "leaving")
    server = Server(body("kept"), body("leaving"), meanwhile=lambda: store.held.discard(("prod", "leaving")))
    assert await audit_once(server, Subject(RESOURCE, KIND, store)) == 0
    assert store.identities() == {("prod", "kept")}


async def test_what_is_created_while_the_list_is_on_its_way_is_no_ghost():
    store = Store()
    server = Server(meanwhile=lambda: store.held.add(("prod", "new")))
    assert await audit_once(server, Subject(RESOURCE, KIND, store)) == 0
    assert store.identities() == {("prod", "new")}


async def test_only_the_served_namespaces_are_listed():
    store, server = Store(), Server(body("a", "one"), body("b", "two"), body("c", "three"))
    await audit_once(server, Subject(RESOURCE, KIND, store, ("one", "two")))
    assert store.identities() == {("one", "a"), ("two", "b")}
    assert server.asked == [("smtpconnectors", "one"), ("smtpconnectors", "two")]


async def test_a_kind_that_cannot_be_listed_loses_nothing_and_does_not_keep_the_next_one_waiting(caplog):
    first, second = Store("kept"), Store("ghost")
    server = Server(error=Unreachable("no answer"))
    audit = Audit(server, (Subject(RESOURCE, KIND, first), Subject(RESOURCE, KIND, second)))
    with caplog.at_level(logging.WARNING, logger="watchbell.audit"):
        await audit.once()
    assert first.identities() == {("prod", "kept")}
    assert len(server.asked) == len(caplog.records) == 2


async def test_it_is_done_again_and_again_until_it_is_cancelled():
    store, server = Store("ghost"), Server()
    task = asyncio.create_task(Audit(server, (Subject(RESOURCE, KIND, store),), period_s=0.01).run())
    await until(lambda: len(server.asked) >= 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.told == [("deleted", KIND, "ghost")]


def test_a_list_that_is_older_than_the_last_event_changes_nothing():
    def connector(generation, host, uid="u"):
        metadata = {"name": "a", "namespace": "prod", "uid": uid, "generation": generation}
        return {"kind": KIND, "metadata": metadata, "spec": {"host": host}}

    record = record_of(connector(2, "new.example.com"))
    assert refresh(record, connector(1, "old.example.com")) is False
    assert record.generation == 2
    assert b"new.example.com" in record.spec_json
    assert refresh(record, connector(3, "newest.example.com")) is True
    assert refresh(record, connector(1, "another.example.com", uid="v")) is True
    assert b"another.example.com" in record.spec_json
