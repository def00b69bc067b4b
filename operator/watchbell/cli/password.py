"""`watchbell set-password`: a new password for a Secret, from standard input, without a trace of it on the screen or in the list of processes.

Before: `options` read the flags. After: one key of the Secret is another; connectors that use it are proven with it at once or within half a minute.
"""

import argparse
import getpass
import sys
from typing import Any

from watchbell.cli.cluster import Cluster, in_cluster
from watchbell.cli.console import CommandError, complain
from watchbell.cli.passworddraft import Wish, changed, created, given, is_mask
from watchbell.connectors.credentials import MAX_VALUE_BYTES
from watchbell.kube.client import SECRETS
from watchbell.kube.errors import AlreadyExists, Conflict, NotFound


def do(flags: argparse.Namespace) -> int:
    """Sets it; the exit code."""
    try:
        password, had_newline = given(_read(flags.name))
    except ValueError as error:
        complain(error)
        return 1
    if had_newline and not is_mask(password):
        complain("a line break at the end was left off")
    wish = Wish(
        flags.key,
        flags.username or "",
        tuple(flags.allow_host),
        is_opted_in=flags.opt_in,
        is_forced=flags.force,
        is_verbatim=flags.verbatim,
    )
    return in_cluster(flags, lambda cluster: _set(cluster, flags.name, password, wish))


def _read(name: str) -> bytes:
    """All of standard input; at a terminal one line that nobody sees."""
    if not sys.stdin.isatty():
        return sys.stdin.buffer.read(MAX_VALUE_BYTES + 1)
    try:
        return getpass.getpass(f"New password for Secret {name} (not shown): ").encode("utf-8", "surrogateescape")
    except EOFError:
        return b""


async def _set(cluster: Cluster, name: str, password: str, wish: Wish) -> int:
    try:
        body = await cluster.client.get(SECRETS, name, cluster.home)
    except NotFound:
        await _create(cluster, name, password, wish)
        return 0
    try:
        change = changed(body, password, wish)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if change.patch:
        await _patch(cluster, name, change.patch)
    print(f"secret/{name}: {change.told}{'' if change.patch else '; nothing was changed'}")
    return 0


async def _create(cluster: Cluster, name: str, password: str, wish: Wish) -> None:
    try:
        wanted = created(name, password, wish)
    except ValueError as error:
        raise CommandError(str(error)) from error
    try:
        await cluster.client.create(SECRETS, wanted, cluster.home)
    except AlreadyExists as error:
        raise CommandError(f"Secret {name} was made by somebody else in this moment; try again") from error
    print(f"secret/{name} created in namespace {cluster.home}: key {wish.key} was set")
    if not wish.hosts:
        complain("the Secret is not pinned to a host; --allow-host smtp.example.com does that")


async def _patch(cluster: Cluster, name: str, patch: dict[str, Any]) -> None:
    try:
        await cluster.client.patch(SECRETS, name, patch, cluster.home)
    except Conflict as error:
        raise CommandError(
            f"Secret {name} was changed by somebody else in this moment; nothing was written, try again"
        ) from error
