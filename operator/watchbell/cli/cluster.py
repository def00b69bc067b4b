"""The way from a verb to the cluster: which one, as whom, in which namespace; and from a failed call to one sentence.

Before: the flags. After: the verb's own work, which gets a client that is closed afterwards.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from watchbell.api.names import GROUP
from watchbell.cli.console import CommandError, complain
from watchbell.cli.denials import granting
from watchbell.kube.access import AccessError, load_access
from watchbell.kube.client import Client
from watchbell.kube.errors import ApiError, Forbidden, NotFound, Unauthorized, Unreachable

NO_SUCH_KIND = "the server could not find the requested resource"
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster and the namespace that `-n` or the context names; `namespace` None = all of them."""

    client: Client
    namespace: str | None

    @property
    def home(self) -> str:
        """The one namespace. For verbs that take no `-A`."""
        return self.namespace or "default"


def in_cluster(flags: argparse.Namespace, work: Callable[[Cluster], Awaitable[int]], *, failed: int = 1) -> int:
    """The exit code of `work`; `failed` when the cluster cannot be reached, or refuses."""
    try:
        return asyncio.run(_work(flags, work))
    except CommandError as error:
        complain(error)
        return error.code if error.code != 1 else failed
    except (AccessError, ApiError) as error:
        complain(sentence(error))
        return failed
    except KeyboardInterrupt:
        return INTERRUPTED


async def _work(flags: argparse.Namespace, work: Callable[[Cluster], Awaitable[int]]) -> int:
    access = load_access(flags.kubeconfig, flags.context)
    namespace = None if getattr(flags, "all_namespaces", False) else flags.namespace or access.namespace
    client = Client(access)
    try:
        return await work(Cluster(client, namespace))
    except NotFound as error:
        where = "" if namespace is None or error.message.startswith(NO_SUCH_KIND) else f" in namespace {namespace}"
        raise CommandError(sentence(error) + where) from error
    except (Unreachable, Unauthorized) as error:
        raise CommandError(f"{sentence(error)} (tried {access.server}, {access.source})") from error
    finally:
        await client.close()


def sentence(error: Exception) -> str:
    """What the API server said, with the cure where it is a known one."""
    if isinstance(error, NotFound) and error.message.startswith(NO_SUCH_KIND):
        return (
            f"the cluster does not serve the kinds of {GROUP}: install them with kubectl apply --server-side -f crds/"
        )
    if isinstance(error, Forbidden) and (commands := granting(error.message)):
        return f"{error.message}; an administrator allows it with: {commands}"
    if isinstance(error, Unauthorized):
        return "the API server does not accept your token or certificate (401): log in again, or renew it in the kubeconfig"
    return error.message if isinstance(error, ApiError) else str(error)
