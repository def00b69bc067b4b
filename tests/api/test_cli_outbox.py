"""`watchbell outbox list|show|retry|cancel` as processes against a real API server."""

import json
import os
import pty

import pytest
import yaml

from commandrig import OURS, Commander, conditions
from outboxrig import message


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def put(control_plane, namespace):
    """Makes a message, with a status as the outbox writes it."""
    rest, path = control_plane.rest(), f"{OURS}/{namespace}/emailmessages"

    def make(body, succeeded=None, results=(), **status):
        made = rest.post(path, body)
        if succeeded:
            status["conditions"] = conditions(Succeeded=succeeded)
        if results:
            status["recipientResults"] = [{"index": i, **one} for i, one in enumerate(results)]
        if status:
            rest.merge(f"{path}/{body['metadata']['name']}/status", {"status": status})
        return made

    return make


def messages(control_plane, namespace):
    return {
        item["metadata"]["name"]: item
        for item in control_plane.rest().get(f"{OURS}/{namespace}/emailmessages")["items"]
    }


DONE = {"completionTime": "2026-11-21T12:00:00Z", "attempts": 1}
ACCEPTED, REFUSED = (
    {"result": "Accepted", "code": 250},
    {"result": "Refused", "reason": "RecipientUnknown", "code": 550},
)


def test_the_list_shows_what_waits_why_and_until_when(namespace, watchbell, put):
    nothing = watchbell("outbox", "list")
    assert (nothing.code, nothing.out) == (0, "")
    assert f"no message waits; --failed and --finished show those that ended in namespace {namespace}" in nothing.err
    put(message("fresh"))
    put(message("held", connector="main"), ("Unknown", "ConnectorNotReady"), attempts=0)
    put(message("later"), ("Unknown", "Retrying"), attempts=3, nextAttemptTime="2099-01-01T00:00:00Z")
    put(message("done"), ("True", "AcceptedByServer"), **DONE)
    put(message("failed"), ("False", "MessageRejected"), **DONE)
    said = watchbell("outbox", "list")
    assert (said.code, said.err) == (0, "")
    assert said.rows[0] == ["NAME", "SUCCEEDED", "REASON", "ATTEMPTS", "NEXT-ATTEMPT", "CONNECTOR", "AGE"]
    rows = {row[0]: row[1:6] for row in said.rows[1:]}
    assert set(rows) == {"fresh", "held", "later"}
    assert rows["fresh"] == ["Unknown", "Queued", "0", "now", "default"]
    assert rows["held"] == ["Unknown", "ConnectorNotReady", "0", "connector", "main"]
    assert rows["later"][:3] == ["Unknown", "Retrying", "3"]
    assert rows["later"][3].startswith("in ")
    failed = watchbell("outbox", "list", "--failed", "--no-headers")
    assert [row[:3] for row in failed.rows] == [["failed", "False", "MessageRejected"]]
    everything = watchbell("outbox", "list", "--finished", "-o", "name")
    assert {line.partition("/")[2] for line in everything.out.splitlines()} == {*rows, "done", "failed"}


def test_the_wide_list_has_subjects_and_no_addresses_and_all_namespaces_a_column_more(namespace, watchbell, put):
    put(message("one", subject="All 14 volumes"), ("Unknown", "Suspended"))
    wide = watchbell("outbox", "list", "-o", "wide", "-A")
    assert wide.rows[0][0] == "NAMESPACE"
    [row] = [row for row in wide.rows if row[0] == namespace]
    assert row[-3:] == ["1", "All 14 volumes", "because of Suspended"]
    assert "example.org" not in wide.out


@pytest.mark.parametrize(("form", "read"), [("yaml", yaml.safe_load), ("json", json.loads)])
def test_lists_and_objects_are_printed_for_scripts(watchbell, put, form, read):
    put(message("one"))
    listed = read(watchbell("outbox", "list", "-o", form).out)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
    assert read(watchbell("outbox", "show", "one", "-o", form).out)["spec"]["subject"] == "About one"


def test_show_tells_what_became_of_each_recipient_and_who_shares_the_mail(watchbell, put):
    shared = {"messageID": "<abc@example.com>", **DONE}
    put(message("two"), ("True", "AcceptedByServer"), **shared)
    put(message("other"), ("True", "AcceptedByServer"), **DONE)
    put(
        message("one", "a@example.org", cc=["gone@example.org"]),
        ("False", "RecipientsRefused"),
        (ACCEPTED, REFUSED),
        serverResponse="250 queued\x1b[31m",
        **shared,
    )
    said = watchbell("outbox", "show", "one")
    assert said.code == 0
    lines = said.out.splitlines()
    assert "Succeeded:       False (RecipientsRefused)" in lines
    assert "Shares its mail: two" in lines
    assert "  to   a@example.org: Accepted, 250" in lines
    assert "  cc   gone@example.org: Refused, RecipientUnknown, 550" in lines
    assert "\x1b" not in said.out


def test_a_message_that_does_not_exist_is_one_sentence(namespace, watchbell):
    said = watchbell("outbox", "show", "nothing")
    assert (said.code, said.out) == (1, "")
    assert "nothing" in said.err
    assert f"in namespace {namespace}" in said.err


def test_retry_makes_a_copy_for_those_who_do_not_have_it(control_plane, namespace, watchbell, put):
    body = message("partly", "a@example.org", cc=["gone@example.org"], bcc=["late@example.org"], priority="Low")
    body["metadata"]["labels"] = {"argocd.argoproj.io/instance": "apps"}
    put(body, ("False", "RecipientsRefused"), (ACCEPTED, REFUSED), **DONE)
    said = watchbell("outbox", "retry", "partly")
    assert (said.code, said.err) == (0, "")
    [name] = set(messages(control_plane, namespace)) - {"partly"}
    assert said.out == f"emailmessage.watchbell.dev/{name} created: partly once more, to 2 of 3 recipients\n"
    made = messages(control_plane, namespace)[name]
    assert name.startswith("partly-retry-")
    assert made["metadata"]["annotations"] == {"watchbell.dev/retry-of": "partly"}
    assert "labels" not in made["metadata"]
    assert "to" not in made["spec"]
    assert (made["spec"]["cc"], made["spec"]["bcc"]) == (["gone@example.org"], ["late@example.org"])
    assert (made["spec"]["subject"], made["spec"]["priority"]) == ("About partly", "Low")


def test_what_everybody_has_is_sent_again_only_if_that_is_said(control_plane, namespace, watchbell, put):
    put(message("done"), ("True", "AcceptedByServer"), (ACCEPTED,), **DONE)
    said = watchbell("outbox", "retry", "done")
    assert (said.code, said.out) == (1, "")
    assert "was accepted for every recipient; --everyone sends it to all of them once more" in said.err
    made = watchbell("outbox", "retry", "done", "--everyone", "-o", "name")
    assert made.out.startswith("emailmessage.watchbell.dev/done-retry-")
    assert len(messages(control_plane, namespace)) == 2


@pytest.mark.parametrize("builtin", ["PasswordReset", "RecoveryCodes"])
def test_account_mail_is_not_sent_again(control_plane, namespace, watchbell, put, builtin):
    body = message("reset", templateRef={"builtin": builtin})
    del body["spec"]["body"]
    put(body, ("False", "DeadlineExceeded"), **DONE)
    said = watchbell("outbox", "retry", "reset")
    assert said.code == 1
    assert "is account mail" in said.err
    assert "create a new AccountRecovery" in said.err
    assert set(messages(control_plane, namespace)) == {"reset"}


def test_what_is_not_finished_is_not_copied(watchbell, put):
    put(message("waits"), ("Unknown", "Retrying"), attempts=1)
    said = watchbell("outbox", "retry", "waits")
    assert said.code == 1
    assert "the outbox tries it again by itself" in said.err


def test_what_nobody_can_have_is_cancelled_without_a_question(control_plane, namespace, watchbell, put):
    put(message("held"), ("Unknown", "Suspended"), attempts=0)
    put(message("waits"), ("Unknown", "Batched"), attempts=0)
    said = watchbell("outbox", "cancel", "held", "waits")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "emailmessage.watchbell.dev/held cancelled: nobody got it",
        "emailmessage.watchbell.dev/waits cancelled: nobody got it",
    ]
    assert messages(control_plane, namespace) == {}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ((None, (), 0), "may be on its way now"),
        ((("Unknown", "Retrying"), (), 2), "was tried 2 times"),
        ((("Unknown", "Retrying"), (ACCEPTED, {"result": "Pending"}), 1), "was accepted for 1 of its recipients"),
        ((("Unknown", "Retrying"), ({"result": "Uncertain"},), 1), "may have been taken for 1"),
    ],
)
def test_what_somebody_may_have_is_cancelled_only_if_that_is_said(control_plane, namespace, watchbell, put, state, why):
    succeeded, results, attempts = state
    put(message("doubt", "a@example.org", "b@example.org"), succeeded, results, attempts=attempts)
    with open(os.devnull, "rb") as nobody:  # noqa: PTH123 - a device, read by nobody
        said = watchbell("outbox", "cancel", "doubt", source=nobody)
    assert said.code == 1
    assert why in said.err
    assert "--yes deletes it all the same" in said.err
    assert "doubt" in messages(control_plane, namespace)
    said = watchbell("outbox", "cancel", "doubt", "--yes")
    assert said.code == 0
    assert why in said.out
    assert messages(control_plane, namespace) == {}


@pytest.mark.parametrize(("answer", "is_gone"), [(b"y\n", True), (b"\n", False), (b"no\n", False)])
def test_on_a_terminal_there_is_a_question(control_plane, namespace, watchbell, put, answer, is_gone):
    put(message("doubt"), ("Unknown", "Retrying"), attempts=1)
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "wb", buffering=0) as terminal, os.fdopen(theirs, "rb", buffering=0) as source:
        terminal.write(answer)
        said = watchbell("outbox", "cancel", "doubt", source=source)
    assert "Delete it all the same? [y/N]" in said.err
    assert (said.code == 0) == is_gone
    assert ("doubt" in messages(control_plane, namespace)) != is_gone


def test_what_is_finished_is_not_cancelled(control_plane, namespace, watchbell, put):
    put(message("done"), ("True", "AcceptedByServer"), **DONE)
    said = watchbell("outbox", "cancel", "done", "--yes")
    assert said.code == 1
    assert "done is finished (AcceptedByServer): there is nothing to cancel" in said.err
    assert "done" in messages(control_plane, namespace)
