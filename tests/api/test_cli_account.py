"""`watchbell verify-token|verify-code` as processes, and the examples of docs/account-mail.md, which other programs are written after."""

import base64
import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import pytest

from commandrig import Commander
from watchbell.accounts.codes import derive, slow_hash
from watchbell.accounts.keys import KeyRing
from watchbell.accounts.tokens import Claims, sign

DOC = (Path(__file__).resolve().parents[2] / "docs" / "account-mail.md").read_text()
OLD, NEW = b"old key of thirty-two bytes, or so", b"new key of thirty-two bytes, or so"
ORIGIN = "https://app.example.com"
UID = "0c5b2c1e-6d3f-4f0a-9d36-0f6a1b9d7f11"
CODES = derive(NEW, UID, 3)
HASHES = "".join(f"{slow_hash(code, bytes([place]) * 16)}\n" for place, code in enumerate(CODES))


def token(kid: str = "k2", minutes: int = 15, **changes: str) -> str:
    now = datetime.now(UTC).replace(microsecond=0)
    said = {"issuer": "watchbell/apps", "audience": ORIGIN, "account": "alice", "token_id": UID} | changes
    claims = Claims(**said, issued=now - timedelta(minutes=1), expires=now + timedelta(minutes=minutes))
    return sign(claims, KeyRing(kid, {"k1": OLD, "k2": NEW}))


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def folder(tmp_path):
    """As a Secret looks when it is mounted."""
    data = tmp_path / "keys" / "..2026_11_21"
    data.mkdir(parents=True)
    (tmp_path / "keys" / "..data").symlink_to(data.name)
    for kid, key in (("k1", OLD), ("k2", NEW)):
        (data / kid).write_bytes(key)
        (tmp_path / "keys" / kid).symlink_to(f"..data/{kid}")
    return tmp_path / "keys"


def secret(rest, namespace, name, data, **metadata):
    content = {key: base64.b64encode(value).decode() for key, value in data.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, **metadata}, "data": content}
    rest.post(f"/api/v1/namespaces/{namespace}/secrets", body)


def test_a_good_token_is_told_in_json(watchbell, folder):
    said = watchbell(
        "verify-token", token(), "--key-file", str(folder), "--audience", ORIGIN, "--issuer", "watchbell/apps"
    )
    assert (said.code, said.err) == (0, "")
    told = json.loads(said.out)
    assert (told["account"], told["audience"], told["purpose"], told["id"]) == ("alice", ORIGIN, "password-reset", UID)
    assert told["expirationTime"].endswith("Z")


def test_one_file_is_the_key_whatever_its_id(watchbell, folder):
    assert watchbell("verify-token", token("k1"), "--key-file", str(folder / "k1")).code == 0
    assert watchbell("verify-token", token("k2"), "--key-file", str(folder / "k1")).code == 1


@pytest.mark.parametrize(
    ("given", "flags", "told"),
    [
        (token(minutes=0), [], "the token expired at"),
        (token(), ["--audience", "https://other.example"], "is not for https://other.example (WrongAudience)"),
        (token(), ["--issuer", "watchbell/other"], "WrongIssuer"),
        (token(), ["--purpose", "login"], "WrongPurpose"),
        (token()[:-6] + "AAAAAA", [], "BadSignature"),
        (jwt.encode({}, NEW, headers={"kid": "k9"}), [], "UnknownKey"),
        ("nonsense", [], "Malformed"),
    ],
)
def test_a_bad_token_is_one_sentence_and_exit_code_1(watchbell, folder, given, flags, told):
    said = watchbell("verify-token", given, "--key-file", str(folder), *flags)
    assert (said.code, said.out) == (1, "")
    assert told in said.err
    assert said.err.count("\n") == 1
    assert given not in said.err or given == "nonsense"


def test_keys_come_from_the_secret_of_the_cluster(watchbell, control_plane, namespace):
    marks = {"labels": {"watchbell.dev/signing-key": "true"}, "annotations": {"watchbell.dev/signs-with": "k1"}}
    secret(control_plane.rest(), namespace, "account-mail", {"k1": OLD, "k2": NEW}, **marks)
    assert watchbell("verify-token", token(), "--secret", "account-mail").code == 0
    said = watchbell("verify-token", token(), "--secret", "no-such")
    assert (said.code, said.err) == (1, f'watchbell: secrets "no-such" not found in namespace {namespace}\n')


def test_a_code_is_found_by_its_place(watchbell, tmp_path, control_plane, namespace):
    (tmp_path / "hashes").write_text(HASHES)
    secret(control_plane.rest(), namespace, "x-codes", {"hashes": HASHES.encode(), "account": b"alice"})
    for where in (["--hash-file", str(tmp_path / "hashes")], ["--secret", "x-codes"]):
        said = watchbell("verify-code", CODES[1].lower().replace("-", " "), *where)
        assert (said.code, said.out) == (0, "code 2 of 3\n")
        said = watchbell("verify-code", derive(NEW, UID, 4)[3], *where)
        assert (said.code, said.err) == (1, "watchbell: the code is none of the 3\n")


def test_what_is_no_code_and_no_hash_is_said(watchbell, tmp_path):
    (tmp_path / "hashes").write_text(HASHES)
    (tmp_path / "others").write_text(HASHES.replace("t=2", "t=9999"))
    said = watchbell("verify-code", "short", "--hash-file", str(tmp_path / "hashes"))
    assert (said.code, said.err) == (1, "watchbell: this is no recovery code: those have ten letters and digits\n")
    said = watchbell("verify-code", CODES[0], "--hash-file", str(tmp_path / "others"))
    assert said.code == 1
    assert "no hashes of recovery codes" in said.err
    assert watchbell("verify-code", CODES[0], "--hash-file", str(tmp_path / "none")).code == 1
    assert watchbell("verify-code", CODES[0]).code == 2


def test_a_key_that_nobody_should_use_is_refused_with_a_better_one(watchbell, tmp_path):
    (tmp_path / "short").write_bytes(b"hunter2")
    said = watchbell("verify-token", token(), "--key-file", str(tmp_path / "short"))
    assert said.code == 1
    assert "has 7 bytes and must have 32 to 1024" in said.err
    assert "hunter2" not in said.err


def test_what_is_secret_can_come_from_standard_input(watchbell, folder, tmp_path):
    given = tmp_path / "token"
    given.write_text(token() + "\n")
    with given.open("rb") as source:
        said = watchbell("verify-token", "-", "--key-file", str(folder), source=source)
    assert said.code == 0


# ---------------------------------------------------------------------- the documentation


def example(language: str, word: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return str(found)


def test_the_example_in_python_takes_good_tokens_only(folder):
    scope: dict[str, object] = {}
    exec(example("python", "account_of"), scope)  # noqa: S102 - the documentation is ours
    account_of = scope["account_of"]
    assert account_of(token("k1"), str(folder), ORIGIN) == "alice"
    for bad in (
        token(minutes=0),
        token(audience="https://other.example"),
        token(purpose="login"),
        token()[:-6] + "AAAAAA",
    ):
        with pytest.raises(jwt.InvalidTokenError):
            account_of(bad, str(folder), ORIGIN)
    with pytest.raises(jwt.InvalidTokenError):
        account_of(jwt.encode({}, NEW, headers={"kid": "k9"}), str(folder), ORIGIN)


def test_the_example_in_shell_takes_good_signatures_only(folder):
    if shutil.which("openssl") is None:
        pytest.fail("the example needs openssl, as do those who read it")
    script = example("sh", "signature_of")
    for given, code in ((token(), 0), (token("k1"), 1), (token()[:-6] + "AAAAAA", 1)):
        env = {"token": given, "key_file": str(folder / "k2"), "PATH": "/usr/bin:/bin:/usr/local/bin"}
        assert subprocess.run(["sh", "-c", script], env=env, check=False).returncode == code


def test_the_example_for_codes_finds_each(folder):
    scope: dict[str, object] = {}
    exec(example("python", "place_of"), scope)  # noqa: S102 - the documentation is ours
    place_of = scope["place_of"]
    assert [place_of(code.lower(), HASHES.split()) for code in CODES] == [0, 1, 2]
    assert place_of(derive(NEW, UID, 4)[3], HASHES.split()) is None
