"""`watchbell run` from the command line to the running operator: what must be there is checked first, and what is missing told in one sentence.

After it: `runtime`, which builds and runs everything.
"""

import asyncio
import sys

from watchbell import metrics
from watchbell.endpoints import BindError
from watchbell.kube.access import AccessError, load_access
from watchbell.kube.client import NAMESPACES, Client, custom
from watchbell.kube.crdcheck import Wanted, forbidden_verbs, missing_crds
from watchbell.kube.errors import ApiError, NotFound
from watchbell.logs import set_up
from watchbell.runtime import Runtime
from watchbell.settings import Settings

KINDS = (
    "smtpconnectors",
    "clustersmtpconnectors",
    "smtptests",
    "emailmessages",
    "collectorpolicies",
    "collectorincidents",
)


class StartError(Exception):
    """Why the operator cannot start, as one sentence with the cure."""


async def check(client: Client, settings: Settings) -> None:
    """What must be there before anything starts. Raises StartError with one sentence."""
    try:
        missing = await missing_crds(client, KINDS)
        if missing:
            raise StartError(
                f"the cluster lacks the CRDs {', '.join(missing)}; install them: kubectl apply --server-side -f crds/"
            )
        home = settings.cluster_resource_namespace
        try:
            await client.get(NAMESPACES, home)
        except NotFound:
            raise StartError(
                f"there is no namespace {home}; create it, or name another with --cluster-resource-namespace"
            ) from None
        denied = await forbidden_verbs(client, wanted_rights(settings))
    except ApiError as error:
        raise StartError(f"the API server does not let the operator start: {error}") from error
    if denied:
        raise StartError(
            f"the operator's role lacks: {'; '.join(denied)}; install the chart's RBAC or run: kubectl auth can-i --list"
        )


def wanted_rights(settings: Settings) -> tuple[Wanted, ...]:
    """The rights without which the operator can do nothing; those of single objects turn into conditions."""
    spaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
    cluster = custom("clustersmtpconnectors", namespaced=False)
    wanted = [Wanted(verb, cluster) for verb in ("list", "watch")]
    wanted.append(Wanted("patch", cluster, None, "status"))
    for space in spaces:
        for plural in ("smtpconnectors", "collectorpolicies", "smtptests", "emailmessages", "collectorincidents"):
            wanted += [Wanted(verb, custom(plural), space) for verb in ("list", "watch")]
            wanted.append(Wanted("patch", custom(plural), space, "status"))
        wanted += [Wanted("create", custom(plural), space) for plural in ("emailmessages", "collectorincidents")]
    return tuple(wanted)


async def _operate(settings: Settings, kubeconfig: str | None, context: str | None) -> int:
    access = load_access(kubeconfig, context)
    client = Client(access, on_request=lambda verb, code: metrics.KUBE_REQUESTS.labels(verb, str(code)).inc())
    try:
        await check(client, settings)
        return await Runtime(settings, client).run()
    finally:
        await client.close()


def operate(settings: Settings, kubeconfig: str | None, context: str | None) -> int:
    """`watchbell run`: the exit code. What keeps it from starting is told in one sentence."""
    set_up(settings.log_level, settings.log_format)
    try:
        return asyncio.run(_operate(settings, kubeconfig, context))
    except (StartError, AccessError, BindError) as error:
        sys.stderr.write(f"watchbell: {error}\n")
        return 1
