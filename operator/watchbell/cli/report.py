"""`watchbell report`: everything that somebody needs who helps from afar, in one zip file with nothing secret in it.

Before: the flags. The cluster is read with the caller's rights; `maskedbody` masks each object before it is written. The file appears whole or not
at all.
"""

import argparse
import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from watchbell import __version__
from watchbell.api.kinds import KINDS
from watchbell.cli.cluster import Cluster, in_cluster, sentence
from watchbell.cli.console import CommandError, complain
from watchbell.cli.maskedbody import masked, masked_text
from watchbell.doctor.catalog import Wish, chosen, examine
from watchbell.doctor.gather import OPERATOR_LABEL, Place, gather
from watchbell.doctor.record import document
from watchbell.kube.client import EVENTS, LEASES, PODS, Client, custom
from watchbell.kube.errors import ApiError
from watchbell.kube.resources import Resource

LOG_BYTES = 1024 * 1024
Files = dict[str, str]


def do(flags: argparse.Namespace) -> int:
    """0 written, 1 the cluster or the file refuses."""
    path = Path(flags.file)
    if path.exists():
        complain(f"{path} exists already: name another with --file")
        return 1
    return in_cluster(flags, lambda cluster: _work(cluster, flags, path))


async def _work(cluster: Cluster, flags: argparse.Namespace, path: Path) -> int:
    files, gaps = await _collected(cluster, flags)
    files["not-read.txt"] = "".join(f"{name}: {why}\n" for name, why in gaps.items()) or "everything could be read\n"
    try:
        _write(path, files)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    print(
        f"{path} has {len(files)} files; passwords, addresses and contents are masked, and names are not: look before you pass it on"
    )
    return 0


async def _collected(cluster: Cluster, flags: argparse.Namespace) -> tuple[Files, dict[str, str]]:
    """The files by their name, and what could not be read. Raises ApiError when the API server does not answer."""
    client, home = cluster.client, flags.operator_namespace
    facts = await gather(client, Place(cluster.namespace, home, flags.operator_account))
    results = examine(facts, chosen(Wish(is_quick=True)))
    files = {
        "README.txt": f"watchbell {__version__}, Kubernetes {facts.server_version}, {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n",
        "doctor.json": json.dumps(masked(document(results, facts.now)), indent=2, ensure_ascii=False) + "\n",
    }
    gaps = dict(facts.gaps)
    wanted: list[tuple[str, Resource, str | None, str]] = [
        (
            kind.plural,
            custom(kind.plural, namespaced=kind.namespaced),
            cluster.namespace if kind.namespaced else None,
            "",
        )
        for kind in KINDS
    ]
    wanted += [
        ("operator-pods", PODS, home, OPERATOR_LABEL),
        ("leases", LEASES, home, ""),
        ("operator-events", EVENTS, home, ""),
    ]
    for name, resource, namespace, labels in wanted:
        try:
            bodies = await client.list(resource, namespace, label_selector=labels)
        except ApiError as error:
            gaps[name] = sentence(error)
        else:
            files[f"{name}.yaml"] = _yaml(bodies)
    files |= {f"secrets/{ns}-{name}.yaml": _secret(ns, name, found) for (ns, name), found in facts.secrets.items()}
    await _logs(client, facts.of("Pod"), flags.log_lines, files, gaps)
    return files, gaps


def _yaml(bodies: list[dict[str, Any]]) -> str:
    return str(
        yaml.safe_dump({"items": [masked(body) for body in bodies]}, sort_keys=False, allow_unicode=True, width=160)
    )


def _secret(namespace: str, name: str, found: object) -> str:
    """What there is of a Secret, and nothing of what is in it; not even a length."""
    keys = sorted(getattr(found, "data", {}))
    about: Mapping[str, Any] = {
        "namespace": namespace, "name": name, "found": not isinstance(found, str), "type": getattr(found, "type", None),
        "labels": dict(getattr(found, "labels", {})), "data": dict.fromkeys(keys, "********"),
    }  # fmt: skip
    return str(yaml.safe_dump(dict(about), sort_keys=False))


async def _logs(
    client: Client, pods: tuple[Mapping[str, Any], ...], lines: int, files: Files, gaps: dict[str, str]
) -> None:
    for pod in pods if lines else ():
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        for container in pod["spec"]["containers"]:
            where = f"logs/{name}-{container['name']}.log"
            try:
                text = await client.pod_log(
                    namespace, name, container["name"], previous=False, tail_lines=lines, limit_bytes=LOG_BYTES
                )
            except ApiError as error:
                gaps[where] = sentence(error)
            else:
                files[where] = masked_text(text)


def _write(path: Path, files: Files) -> None:
    """Beside its place first, then in it: whoever is interrupted leaves no half file."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in sorted(files.items()):
                archive.writestr(name, text)
        Path(temporary).rename(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
