"""`watchbell run` from the command line to the running operator: what must be there is checked first, and what is missing told in one sentence.

After it: `runtime`, which builds and runs everything.
"""

import asyncio
import contextlib
import sys

from watchbell import metrics
from watchbell.endpoints import BindError
from watchbell.kube.access import AccessError, load_access
from watchbell.kube.client import CONFIGMAPS, LEASES, NAMESPACES, SECRETS, Client, custom
from watchbell.kube.crdcheck import Wanted, forbidden_verbs, missing_crds
from watchbell.kube.errors import ApiError, Forbidden, NotFound, Unauthorized, Unreachable
from watchbell.logs import set_up
from watchbell.memory import give_back_large_blocks, shorten_tls_buffers, spare_what_stays
from watchbell.runtime import Runtime
from watchbell.settings import SecretAccess, Settings

KINDS = (
    "smtpconnectors",
    "clustersmtpconnectors",
    "smtptests",
    "emailmessages",
    "collectorpolicies",
    "collectorincidents",
)

NAMESPACED = (
    "smtpconnectors",
    "collectorpolicies",
    "smtptests",
    "emailmessages",
    "collectorincidents",
    "alertsilences",
    "emailtemplates",
    "accountrecoveries",
)
RULES_TOLD = 6
INTERRUPTED = 130
"""What shells call a program that Ctrl-C ended."""


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
        denied = await forbidden_verbs(client, wanted_rights(settings))
        if denied:
            raise StartError(
                f"the operator's role lacks: {_merged(denied)}; install the chart's RBAC, or add these rules"
            )
        await _check_home(client, settings.cluster_resource_namespace)
    except ApiError as error:
        raise StartError(_told(error, client.access.server)) from error


async def _check_home(client: Client, home: str) -> None:
    # Who may not read namespaces cannot be told that one is missing; the outbox tells when it cannot write its journal.
    with contextlib.suppress(Forbidden):
        try:
            await client.get(NAMESPACES, home)
        except NotFound:
            raise StartError(
                f"there is no namespace {home}; create it, or name another with --cluster-resource-namespace"
            ) from None


def _told(error: ApiError, server: str) -> str:
    match error:
        case Unreachable():
            return f"{error.message}; start the API server, or name another with --kubeconfig and --context"
        case Unauthorized():
            return (
                f"the API server {server} does not accept the operator's token or certificate (401); renew it in the kubeconfig, "
                "or give the pod a service account"
            )
    return f"the API server {server} does not let the operator start: {error}; see: kubectl get --raw /readyz?verbose"


def _merged(denied: tuple[str, ...]) -> str:
    """`list pods`, `watch pods` → `list, watch pods`; at most so many that one can read them."""
    verbs: dict[str, list[str]] = {}
    for verb, _, kind in (right.partition(" ") for right in denied):
        verbs.setdefault(kind, []).append(verb)
    rules = [f"{', '.join(names)} {kind}" for kind, names in verbs.items()]
    more = len(rules) - RULES_TOLD
    return "; ".join(rules[:RULES_TOLD]) + (f"; and {more} more rules" if more > 0 else "")


def wanted_rights(settings: Settings) -> tuple[Wanted, ...]:
    """The rights without which the operator can do nothing; those of single objects turn into conditions."""
    spaces: tuple[str | None, ...] = settings.watch_namespaces or (None,)
    cluster = custom("clustersmtpconnectors", namespaced=False)
    wanted = [Wanted(verb, cluster) for verb in ("list", "watch")]
    wanted.append(Wanted("patch", cluster, None, "status"))
    for space in spaces:
        for plural in NAMESPACED:
            wanted += [Wanted(verb, custom(plural), space) for verb in ("list", "watch")]
            wanted.append(Wanted("patch", custom(plural), space, "status"))
        wanted += [Wanted("create", custom(plural), space) for plural in ("emailmessages", "collectorincidents")]
    if settings.secret_access is SecretAccess.WATCH:
        where: tuple[str | None, ...] = settings.secret_namespaces or (None,)
        wanted += [Wanted(verb, SECRETS, space) for space in where for verb in ("list", "watch")]
    home = settings.cluster_resource_namespace
    wanted.append(Wanted("create", CONFIGMAPS, home))
    if settings.leader_elect:
        wanted.append(Wanted("create", LEASES, home))
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
    give_back_large_blocks()
    shorten_tls_buffers()
    spare_what_stays()
    try:
        return asyncio.run(_operate(settings, kubeconfig, context))
    except (StartError, AccessError, BindError) as error:
        sys.stderr.write(f"watchbell: {error}\n")
        return 1
    except KeyboardInterrupt:
        # Later on a signal is an order to stop; before there is anything to stop it is this.
        return INTERRUPTED
