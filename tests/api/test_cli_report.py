"""`watchbell report`: one file for support, whole or not at all, without contents, addresses and secrets."""

import json
import zipfile

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from commandrig import OURS, Commander
from smtprig import CANARY, USER, secret_forms
from watchbell.cli.maskedbody import MASK, masked, masked_text

CORE = "/api/v1/namespaces"


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


def test_everything_is_in_one_file_and_nothing_secret_in_it(control_plane, namespace, watchbell, tmp_path):
    rest = control_plane.rest()
    data = {"username": USER, "password": CANARY}
    rest.post(
        f"{CORE}/{namespace}/secrets", {"type": "watchbell.dev/smtp", "metadata": {"name": "relay"}, "stringData": data}
    )
    ours = {"apiVersion": "watchbell.dev/v1alpha1"}
    spec = {"host": "smtp.example.com", "from": {"address": USER}, "auth": {"secretRef": {"name": "relay"}}}
    rest.post(
        f"{OURS}/{namespace}/smtpconnectors",
        ours | {"kind": "SmtpConnector", "metadata": {"name": "default"}, "spec": spec},
    )
    mail = {"to": ["private.person@example.com"], "subject": "salary", "body": {"text": "a very private text"}}
    rest.post(
        f"{OURS}/{namespace}/emailmessages", ours | {"kind": "EmailMessage", "metadata": {"name": "mail"}, "spec": mail}
    )
    path = tmp_path / "out.zip"
    said = watchbell("report", "-f", str(path))
    assert said.code == 0, said.err
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {
        "README.txt",
        "doctor.json",
        "smtpconnectors.yaml",
        "emailmessages.yaml",
        f"secrets/{namespace}-relay.yaml",
        "not-read.txt",
    } <= set(files)
    whole = "\n".join(files.values())
    for told in (*secret_forms(USER, CANARY), "private.person", "very private", "salary", USER):
        assert told not in whole
    message = yaml.safe_load(files["emailmessages.yaml"])["items"][0]
    assert message["spec"]["to"] == ["***@example.com"]
    assert message["spec"]["body"] == MASK
    assert yaml.safe_load(files[f"secrets/{namespace}-relay.yaml"])["data"] == {"password": MASK, "username": MASK}
    assert json.loads(files["doctor.json"])["kind"] == "DoctorReport"
    again = watchbell("report", "-f", str(path))
    assert (again.code, again.err.count("\n")) == (1, 1)
    assert "exists already" in again.err


def test_a_report_that_cannot_be_written_leaves_nothing(watchbell, tmp_path):
    said = watchbell("report", "-f", str(tmp_path / "no" / "out.zip"))
    assert said.code == 1
    assert "cannot be written: No such file or directory" in said.err
    assert not list(tmp_path.glob("**/*.zip*"))


@given(st.from_regex(r"[a-z]{3,8}\.[a-z]{3,8}@[a-z]{3,8}\.example", fullmatch=True), st.text(max_size=20))
def test_of_every_address_only_the_domain_stays(address, around):
    text = masked_text(f"{around} <{address}> {around}")
    assert address.partition("@")[0] not in text
    assert f"***@{address.partition('@')[2]}" in text


def test_masking_keeps_the_shape_and_drops_what_only_repeats():
    body = {
        "metadata": {"name": "x", "managedFields": [1], "annotations": {"a": "b"}},
        "spec": {"subject": "", "body": {"text": "t"}, "to": ("a@b.c",)},
    }
    assert masked(body) == {
        "metadata": {"name": "x", "annotations": {"a": "b"}},
        "spec": {"subject": "", "body": MASK, "to": ["***@b.c"]},
    }
