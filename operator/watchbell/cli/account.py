"""`watchbell verify-token` and `verify-code`: what an application does with a link or a code, for tests, scripts and other languages.

Before: `options` read the flags. Keys and hashes come from files, as a mounted Secret has them, or from a Secret of the cluster; nothing is written.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from watchbell.accounts import codes, tokens
from watchbell.accounts.keys import MAX_KEY_BYTES, MAX_KEYS, Trouble, keyring, keyring_of
from watchbell.accounts.plans import HASHES
from watchbell.api.times import stamp
from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain, harmless
from watchbell.connectors.credentials import secret_view
from watchbell.kube.client import SECRETS

MAX_FILE_BYTES = 16_384
Keys = dict[str, bytes]


def do(flags: argparse.Namespace) -> int:
    """The exit code: 0 it is good, 1 it is not or cannot be told."""
    given = _given(flags.value)
    check = _check_token if flags.verb == "verify-token" else _check_code
    if flags.secret is not None:

        async def work(cluster: Cluster) -> int:
            return check(flags, given, await cluster.client.get(SECRETS, flags.secret, cluster.home))

        return in_cluster(flags, work)
    try:
        return check(flags, given, None)
    except CommandError as error:
        complain(error)
        return error.code


def _check_token(flags: argparse.Namespace, token: str, secret: dict[str, object] | None) -> int:
    keys = _keys_of_secret(secret) if secret is not None else _keys_of_path(Path(flags.key_file), token)
    expected = tokens.Expected(flags.audience or "", flags.issuer or "", flags.purpose)
    found = tokens.verify(token, keys, expected, datetime.now(UTC))
    if isinstance(found, tokens.Refused):
        raise CommandError(f"{found.message} ({found.fault})")
    told = {
        "account": found.account,
        "audience": found.audience,
        "issuer": found.issuer,
        "purpose": found.purpose,
        "id": found.token_id,
        "issuedTime": stamp(found.issued),
        "expirationTime": stamp(found.expires),
    }
    print(json.dumps(told, ensure_ascii=False, indent=4))
    return 0


def _check_code(flags: argparse.Namespace, code: str, secret: dict[str, object] | None) -> int:
    text = _hashes_of_secret(secret) if secret is not None else _read(Path(flags.hash_file)).decode("utf-8", "replace")
    hashes = text.split()
    if not hashes or not all(map(codes.is_hash, hashes)):
        raise CommandError("there are no hashes of recovery codes in it, or others than watchbell writes")
    if codes.normal(code) is None:
        raise CommandError("this is no recovery code: those have ten letters and digits")
    place = codes.place_of(code, hashes)
    if place is None:
        raise CommandError(f"the code is none of the {len(hashes)}")
    print(f"code {place + 1} of {len(hashes)}")
    return 0


def _keys_of_secret(secret: dict[str, object]) -> Keys:
    ring = keyring_of(secret)
    if isinstance(ring, Trouble):
        raise CommandError(ring.message)
    return dict(ring.keys)


def _hashes_of_secret(secret: dict[str, object]) -> str:
    view = secret_view(secret)
    if HASHES not in view.data:
        raise CommandError(f"Secret {view.name} has no key {HASHES}; that of an AccountRecovery ends with -codes")
    return view.data[HASHES].decode("utf-8", "replace")


def _keys_of_path(path: Path, token: str) -> Keys:
    """A folder is a mounted Secret, one file for each key; a file is the key, whatever its id."""
    if path.is_dir():
        files = [file for file in sorted(path.iterdir()) if not file.name.startswith(".") and file.is_file()]
        keys = {file.name: _read(file, MAX_KEY_BYTES) for file in files[: MAX_KEYS + 1]}
    else:
        keys = {tokens.key_id(token): _read(path, MAX_KEY_BYTES)}
    ring = keyring(keys, max(keys, default=""), harmless(str(path)), "")
    if isinstance(ring, Trouble):
        raise CommandError(ring.message)
    return keys


def _read(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from error
    if len(data) > most:
        raise CommandError(f"{path} is longer than {most} bytes")
    return data


def _given(value: str) -> str:
    """The word on the command line; `-` reads it from standard input, so that it does not stand in the list of processes."""
    return (sys.stdin.read(tokens.MAX_TOKEN_CHARACTERS + 2) if value == "-" else value).strip()
