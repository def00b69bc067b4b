"""What `watchbell set-password` makes of a Secret: which key changes, what is kept, and what is refused without a word about the password."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given as hypothesis_given
from hypothesis import settings
from hypothesis import strategies as st

from watchbell.cli.passworddraft import Wish, changed, created, given, is_mask, manager_of

OLD, NEW = "old-c4nary", "n3w-c4nary"
WISH = Wish("password")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def secret(labels=None, annotations=None, owners=(), **changes):
    metadata = {
        "name": "relay",
        "namespace": "apps",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"watchbell.dev/smtp": "true"} if labels is None else labels,
        "annotations": annotations or {},
        "ownerReferences": list(owners),
    }
    data = {"password": b64(OLD), "username": b64("alerts@example.com"), "other": b64("stays")}
    return {"kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data, **changes}


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"secret", ("secret", False)),
        (b"secret\n", ("secret", True)),
        (b"secret\r\n", ("secret", True)),
        (b"secret\n\n", ("secret\n", True)),
        ("pässword".encode(), ("pässword", False)),
        (b"secret\r", ("secret\r", False)),
    ],
)
def test_exactly_one_line_break_at_the_end_is_left_off(raw, wanted):
    assert given(raw) == wanted


@pytest.mark.parametrize(
    ("raw", "told"),
    [(b"", "nothing was read"), (b"\n", "nothing was read"), (b"\xff", "not UTF-8"), (b"x" * 70_000, "longer than")],
)
def test_what_cannot_be_a_password_is_refused_before_any_secret_is_read(raw, told):
    with pytest.raises(ValueError, match=told):
        given(raw)


def test_one_key_changes_and_nothing_else():
    change = changed(secret(), NEW, WISH)
    assert change.patch == {"metadata": {"uid": "u", "resourceVersion": "7"}, "data": {"password": b64(NEW)}}
    assert change.told == "key password was set"


def test_a_user_name_goes_with_it_and_hosts_are_pinned_only_if_asked():
    change = changed(secret(), NEW, replace(WISH, username="new@example.com", hosts=("a.example", "b.example")))
    assert change.patch["data"] == {"password": b64(NEW), "username": b64("new@example.com")}
    assert change.patch["metadata"]["annotations"] == {"watchbell.dev/allowed-hosts": "a.example,b.example"}


def test_the_same_password_again_changes_nothing():
    change = changed(secret(), OLD, WISH)
    assert (change.patch, change.told) == ({}, "key password was this password already")


def test_a_mask_keeps_the_old_password_and_may_come_with_a_new_user_name():
    assert changed(secret(), "********", WISH).patch == {}
    change = changed(secret(), "*", replace(WISH, username="new@example.com"))
    assert change.patch["data"] == {"username": b64("new@example.com")}
    assert change.told == "the password is kept, the user name was set"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (secret(data={"username": b64("u")}), "there is none: Secret relay has no key password"),
        (secret(data={"password": b64("****")}), "that was lost: key password of Secret relay holds only asterisks"),
    ],
)
def test_a_mask_for_no_password_and_for_another_mask_are_told_apart(body, told):
    with pytest.raises(ValueError, match=told):
        changed(body, "********", WISH)
    with pytest.raises(ValueError, match="there is none: Secret relay does not exist"):
        created("relay", "********", WISH)
    assert changed(body, NEW, WISH).patch["data"]["password"] == b64(NEW)


@pytest.mark.parametrize(
    ("body", "who"),
    [
        (secret(annotations={"argocd.argoproj.io/tracking-id": "x"}), "Argo CD"),
        (secret(annotations={"meta.helm.sh/release-name": "x"}), "Helm"),
        (secret(labels={"watchbell.dev/smtp": "true", "kustomize.toolkit.fluxcd.io/name": "x"}), "Flux"),
        (secret(labels={"watchbell.dev/smtp": "true", "app.kubernetes.io/managed-by": "pulumi"}), "pulumi"),
        (
            secret(labels={"watchbell.dev/smtp": "true", "reconcile.external-secrets.io/managed": "true"}),
            "External Secrets",
        ),
        (secret(owners=[{"kind": "SealedSecret", "name": "relay"}]), "SealedSecret relay"),
    ],
)
def test_a_secret_that_somebody_else_writes_is_left_alone_unless_forced(body, who):
    assert manager_of(body) == who
    with pytest.raises(ValueError, match=f"is managed by {who}.*--force"):
        changed(body, NEW, WISH)
    assert changed(body, NEW, replace(WISH, is_forced=True)).patch["data"] == {"password": b64(NEW)}


def test_a_secret_that_did_not_opt_in_is_opted_in_only_if_asked():
    with pytest.raises(ValueError, match="--opt-in adds the label watchbell"):
        changed(secret(labels={}), NEW, WISH)
    change = changed(secret(labels={}), NEW, replace(WISH, is_opted_in=True))
    assert change.patch["metadata"]["labels"] == {"watchbell.dev/smtp": "true"}
    assert "labels" not in changed(secret(labels={}, type="watchbell.dev/smtp"), NEW, WISH).patch["metadata"]


@pytest.mark.parametrize(
    "password", ["two\nlines", " lead", "trail ", "bell\x07", base64.b64encode(b"a long password").decode()]
)
def test_what_the_operator_would_refuse_is_not_written(password):
    for make in (lambda: changed(secret(), password, WISH), lambda: created("relay", password, WISH)):
        with pytest.raises(ValueError, match="cannot be a credential, so nothing was changed") as caught:
            make()
        assert password not in str(caught.value)


def test_what_only_looks_encoded_twice_can_be_written_as_it_is():
    password = base64.b64encode(b"a long password").decode()
    with pytest.raises(ValueError, match="--verbatim"):
        changed(secret(), password, WISH)
    verbatim = replace(WISH, is_verbatim=True)
    assert changed(secret(), password, verbatim).patch["metadata"]["annotations"] == {"watchbell.dev/verbatim": "true"}
    assert created("relay", password, verbatim)["metadata"]["annotations"] == {"watchbell.dev/verbatim": "true"}


def test_an_immutable_secret_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="is immutable: delete it"):
        changed(secret(immutable=True), NEW, WISH)


def test_a_new_secret_is_of_our_own_type():
    body = created("relay", NEW, replace(WISH, username="u@example.com", hosts=("smtp.example.com",)))
    assert body["type"] == "watchbell.dev/smtp"
    assert body["data"] == {"password": b64(NEW), "username": b64("u@example.com")}
    assert body["metadata"] == {"name": "relay", "annotations": {"watchbell.dev/allowed-hosts": "smtp.example.com"}}


@settings(deadline=None)
@hypothesis_given(st.text(min_size=8), st.booleans())
def test_no_sentence_holds_the_password(password, is_new):
    try:
        told = str(created("relay", password, WISH)["metadata"]) if is_new else changed(secret(), password, WISH).told
    except ValueError as error:
        told = str(error)
    assert is_mask(password) or password not in told
