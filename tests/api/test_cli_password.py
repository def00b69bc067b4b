"""`watchbell set-password` as a process against a real API server: from standard input into one key, and nothing of it anywhere else."""

import base64
import os
import pty
import subprocess
import sys

import pytest

from commandrig import Commander

OLD, NEW = "old-c4nary", "n3w-c4nary"


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def say(watchbell, tmp_path):
    """Gives a text on standard input; no answer may hold it."""

    def command(text, *words):
        path = tmp_path / "given"
        path.write_bytes(text.encode())
        with path.open("rb") as source:
            said = watchbell("set-password", "relay", *words, source=source)
        for secret in (OLD, NEW, base64.b64encode(NEW.encode()).decode()):
            assert secret not in said.out + said.err
        return said

    return command


def path_of(namespace, name=""):
    return f"/api/v1/namespaces/{namespace}/secrets" + (f"/{name}" if name else "")


def stands(control_plane, namespace):
    body = control_plane.rest().get(path_of(namespace, "relay"))
    return body, {key: base64.b64decode(value).decode() for key, value in body["data"].items()}


def make(control_plane, namespace, **metadata):
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "relay", "labels": {"watchbell.dev/smtp": "true"}} | metadata,
        "stringData": {"password": OLD, "other": "stays"},
    }
    control_plane.rest().post(path_of(namespace), body)


def test_a_password_is_made_changed_kept_and_never_shown(control_plane, namespace, say):
    made = say(f"{OLD}\n", "--username", "alerts@example.com")
    assert (made.code, made.out) == (0, f"secret/relay created in namespace {namespace}: key password was set\n")
    assert made.err.splitlines() == [
        "watchbell: a line break at the end was left off",
        "watchbell: the Secret is not pinned to a host; --allow-host smtp.example.com does that",
    ]
    body, data = stands(control_plane, namespace)
    assert body["type"] == "watchbell.dev/smtp"
    assert data == {"password": OLD, "username": "alerts@example.com"}
    done = say(NEW, "--allow-host", "smtp.example.com")
    assert (done.code, done.out, done.err) == (0, "secret/relay: key password was set\n", "")
    body, data = stands(control_plane, namespace)
    assert body["metadata"]["annotations"]["watchbell.dev/allowed-hosts"] == "smtp.example.com"
    assert data == {"password": NEW, "username": "alerts@example.com"}
    kept = say("********\n")
    assert (kept.code, kept.out, kept.err) == (0, "secret/relay: the password is kept; nothing was changed\n", "")
    assert stands(control_plane, namespace)[0]["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"]


def test_a_mask_where_there_is_nothing_to_keep_is_an_error(control_plane, namespace, say):
    said = say("********")
    assert (said.code, said.out) == (1, "")
    assert "there is none: Secret relay does not exist" in said.err
    assert control_plane.rest().get(path_of(namespace))["items"] == []
    said = say("")
    assert said.code == 1
    assert "nothing was read, so nothing is changed" in said.err


def test_what_a_chart_manages_is_refused_and_forced_only_if_that_is_said(control_plane, namespace, say):
    make(control_plane, namespace, annotations={"meta.helm.sh/release-name": "relay"})
    said = say(NEW)
    assert said.code == 1
    assert "is managed by Helm, which would write the old password back" in said.err
    assert stands(control_plane, namespace)[1]["password"] == OLD
    assert say(NEW, "--force").code == 0
    assert stands(control_plane, namespace)[1] == {"password": NEW, "other": "stays"}


def test_at_a_terminal_it_is_typed_unseen(control_plane, namespace, watchbell):
    make(control_plane, namespace)
    ours, theirs = pty.openpty()
    with (
        os.fdopen(ours, "r+b", buffering=0) as terminal,
        os.fdopen(theirs, "r+b", buffering=0) as screen,
        subprocess.Popen(
            [sys.executable, "-m", "watchbell", "set-password", "relay"],
            env=os.environ | {"KUBECONFIG": str(watchbell.kubeconfig)},
            stdin=screen,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process,
    ):
        assert process.stderr is not None
        prompt = b""
        while b"(not shown): " not in prompt:
            prompt += process.stderr.read(1)
        terminal.write(NEW.encode() + b"\n")
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, b"secret/relay: key password was set\n")
        os.set_blocking(terminal.fileno(), False)
        assert NEW.encode() not in (terminal.read(1000) or b"")
    assert stands(control_plane, namespace)[1]["password"] == NEW
