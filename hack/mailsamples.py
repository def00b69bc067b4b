"""Mails as they look on a bad night: what `hack/mailshot.py --samples` draws, and what the pictures in docs/images show."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from watchbell.mail.bundle import BundleEntry, BundleFacts, render_bundle
from watchbell.mail.crash import render_crash, render_resolved
from watchbell.mail.digest import render_digest
from watchbell.mail.document import Rendered
from watchbell.mail.drill import DrillFacts, render_drill
from watchbell.mail.facts import (
    CrashFacts,
    DifferenceFacts,
    DigestEntry,
    DigestFacts,
    DigestReason,
    PodFacts,
    Return,
    SilenceFacts,
)
from watchbell.mail.trial import TrialFacts, render_trial

NOW = datetime(2026, 11, 21, 2, 14, 20, tzinfo=UTC)
CLUSTER, NAMESPACE = "prod-eu-1", "observability"
DIGEST_OLD = "sha256:5f0e8a4c2d1b7e6f90a1c3b5d7e9f1023456789abcdef0123456789abcdef012"
DIGEST_NEW = "sha256:91b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90"


def _ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


_LOG = (
    '2026-11-21T02:13:58.201Z\tinfo\tservice@v0.139.0/service.go:218\tStarting otelcol-contrib...\t{"Version": "0.139.0", "NumCPU": 8}',
    "2026-11-21T02:13:58.204Z\tinfo\textensions/extensions.go:40\tStarting extensions...",
    (
        '2026-11-21T02:13:58.390Z\terror\tgraph/graph.go:439\tFailed to start component\t{"error": "failed to create exporter client: dial tcp: '
        'lookup tempo.observability: no such host", "type": "Exporter", "id": "otlp/tempo"}'
    ),
    "2026-11-21T02:13:58.391Z\tinfo\totlp/tempo\tusing headers\tauthorization=Basic dXNlcjpwYXNz",
    'Error: cannot start pipelines: failed to start "otlp/tempo" exporter: no such host',
    "collector server run finished with error: cannot start pipelines",
)
_GATEWAY = (
    PodFacts(
        "otel-gateway-6d5f9c7b88-x2kqp",
        "ip-10-0-3-17.eu-central-1.compute.internal",
        1,
        None,
        "Error",
        7,
        _ago(seconds=22),
    ),
    PodFacts(
        "otel-gateway-6d5f9c7b88-m9wzt",
        "ip-10-0-5-201.eu-central-1.compute.internal",
        1,
        None,
        "Error",
        6,
        _ago(seconds=95),
    ),
)
CRASH = CrashFacts(
    cluster=CLUSTER,
    namespace=NAMESPACE,
    policy="gateways",
    incident="gateways-otel-gateway-7f3a91",
    owner_kind="Deployment",
    owner_name="otel-gateway",
    kind="CrashLoopBackOff",
    severity="Critical",
    container="otel-collector",
    image="ghcr.io/open-telemetry/opentelemetry-collector-releases/opentelemetry-collector-contrib:0.139.0",
    pods=_GATEWAY,
    start_time=_ago(minutes=12),
    now=NOW,
    log_lines=_LOG,
    repeat_seconds=14400,
    resolve_after_seconds=300,
    image_id=f"ghcr.io/open-telemetry/opentelemetry-collector-contrib@{DIGEST_NEW}",
    changes=(
        "Image of container otel-collector: 0.138.0 → 0.139.0, 3 min before (revision 12)",
        "ConfigMap otel-gateway changed 3 min before, by argocd-controller",
    ),
    events=(
        "02:02:19 FailedMount: MountVolume.SetUp failed for volume config: configmap otel-gateway not found (x2)",
        "02:14:01 BackOff: Back-off restarting failed container otel-collector in pod otel-gateway-6d5f9c7b88-x2kqp (x31)",
    ),
    dashboard_url="https://grafana.example/d/otel?var-namespace=observability&var-owner=otel-gateway",
    runbook_url="https://wiki.example/runbooks/collectors",
)


def _agents(number: int, **common: object) -> tuple[PodFacts, ...]:
    pods = (
        PodFacts(
            f"otel-agent-{5 * index:03x}q{index % 7}",
            f"ip-10-0-3-{index + 11}.eu-central-1.compute.internal",
            restarts=2 + index % 5,
        )
        for index in range(number)
    )
    return tuple(replace(pod, last_time=_ago(seconds=35 + 50 * index), **common) for index, pod in enumerate(pods))  # type: ignore[arg-type] # the names are those of PodFacts


def _other(kind: str, **changes: object) -> CrashFacts:
    bare = replace(CRASH, kind=kind, worst="", log_lines=(), events=(), changes=(), image_id="")
    return replace(bare, **changes)  # type: ignore[arg-type] # the names are those of CrashFacts


_OUT_OF_MEMORY = _other(
    "OOMKilled",
    severity="Warning",
    owner_kind="DaemonSet",
    owner_name="otel-agent",
    pods=_agents(6, exit_code=137, reason="OOMKilled", memory_limit="512Mi"),
    affected_count=31,
    flaps=4,
    changes=("Memory limit of container otel-collector: 1Gi → 512Mi, 41 min before (revision 7)",),
)
_IMAGE = _other(
    "ImagePullFailed",
    pods=(
        replace(
            _GATEWAY[0],
            exit_code=None,
            reason="ImagePullBackOff",
            restarts=0,
            last_time=None,
            message='Back-off pulling image "registry.example/otel/collector:0.139.O": not found',
        ),
    ),
    image="registry.example/otel/collector:0.139.O",
    severity="Warning",
    events=('02:13:10 Failed: Failed to pull image "registry.example/otel/collector:0.139.O": manifest unknown (x4)',),
)
_UNSCHEDULABLE = _other(
    "Unschedulable",
    container="",
    image="",
    severity="Warning",
    pods=(
        PodFacts(
            "otel-gateway-6d5f9c7b88-x2kqp",
            reason="Unschedulable",
            message="0/12 nodes are available: 3 node(s) had untolerated taint {dedicated: gpu}, 9 Insufficient memory.",
        ),
    ),
)
_NODE = _other(
    "NodeLost",
    container="",
    image="",
    owner_kind="Node",
    owner_name="ip-10-0-3-17.eu-central-1.compute.internal",
    incident="gateways-node-ip-10-0-3-17-02bc41",
    pods=(),
    hidden_pods=12,
    hidden_owners=3,
    events=("02:03:12 NodeNotReady: Node is not ready",),
)
_STUCK = _other(
    "RolloutStuck",
    container="",
    severity="Warning",
    pods=(),
    note="ProgressDeadlineExceeded: ReplicaSet otel-gateway-7c9d has timed out progressing, 1 of 4 new pods is ready",
    changes=("Image of container otel-collector: 0.138.0 → 0.139.0, 13 min before (revision 12)",),
)
_PROBE = _other(
    "ContainerError",
    pods=(replace(_GATEWAY[0], exit_code=137, reason="Error", restarts=3),),
    note="The kubelet killed it because its liveness probe failed",
    events=("02:13:40 Unhealthy: Liveness probe failed: Get http://10.2.3.4:13133/: context deadline exceeded (x3)",),
    template_failure="template observability/oncall, line 12: unknown value incident.foo",
    severity="Warning",
)
DIFFERENCES = (
    DifferenceFacts(
        "Image",
        "containers[otel-collector].image",
        "ghcr.io/open-telemetry/opentelemetry-collector-contrib:0.138.0",
        "ghcr.io/open-telemetry/opentelemetry-collector-contrib:0.139.0",
    ),
    DifferenceFacts(
        "Args",
        "containers[otel-collector].args",
        "--config=/etc/otelcol/config.yaml --feature-gates=-component.UseLocalHostAsDefaultHost --set=service.telemetry.logs.level=info",
        "--config=/etc/otelcol/config.yaml --set=service.telemetry.logs.level=debug",
    ),
    DifferenceFacts("Resources", "containers[otel-collector].resources.limits.memory", "1Gi", "512Mi"),
    DifferenceFacts("Env", "containers[otel-collector].env[OTEL_EXPORTER_OTLP_HEADERS]", "", "set"),
    DifferenceFacts("ImageDigest", "containers[otel-collector].imageID", DIGEST_OLD, DIGEST_NEW),
)
DRIFT = _other(
    "Drift",
    severity="Warning",
    owner_kind="DaemonSet",
    owner_name="otel-agent",
    container="",
    image="",
    incident="gateways-otel-agent-drift-41c0aa",
    pods=_agents(3),
    affected_count=3,
    differences=DIFFERENCES,
    baseline="Captured",
    capture_revision="2026-11-01",
    changes=("DaemonSet otel-agent was edited by kubectl-edit, 9 min before",),
)
_FLEET = (
    ("Deployment", "otel-gateway", "CrashLoopBackOff", "Critical", 2),
    ("DaemonSet", "otel-agent", "OOMKilled", "Critical", 31),
    ("DaemonSet", "otel-agent", "Drift", "Warning", 3),
    ("StatefulSet", "otel-loadbalancer", "NotReady", "Warning", 3),
    ("Deployment", "fluent-aggregator", "ImagePullFailed", "Warning", 1),
    ("Deployment", "vector-edge", "Unschedulable", "Warning", 2),
    ("Deployment", "otel-canary", "RolloutStuck", "Info", 0),
)
_ENDINGS: dict[str, dict[str, object]] = {
    "CrashLoopBackOff": {"exit_code": 1, "reason": "Error"},
    "OOMKilled": {"exit_code": 137, "reason": "OOMKilled", "memory_limit": "512Mi"},
    "ImagePullFailed": {"reason": "ImagePullBackOff"},
    "Unschedulable": {"reason": "Unschedulable"},
}


def _entry(kind: str, name: str, trouble: str, severity: str, number: int) -> DigestEntry:
    ending = _ENDINGS.get(trouble, {})
    return DigestEntry(
        incident=f"gateways-{name}-7f3a91",
        owner_kind=kind,
        owner_name=name,
        kind=trouble,
        severity=severity,
        transition="Fired",
        container="otel-collector" if trouble in {"CrashLoopBackOff", "OOMKilled", "ImagePullFailed"} else "",
        pods_count=number,
        first_time=_ago(minutes=11),
        last_time=_ago(seconds=30),
        occurrences=number * 3,
        pods=tuple(replace(pod, name=pod.name.replace("otel-agent", name)) for pod in _agents(number, **ending)),
    )


BATCH = DigestFacts(
    cluster=CLUSTER,
    namespace=NAMESPACE,
    policy="gateways",
    severity="",
    now=NOW,
    entries=(
        *(_entry(*row) for row in _FLEET),
        replace(
            _entry("Deployment", "otel-tail", "CrashLoopBackOff", "Warning", 1),
            transition="Resolved",
            last_time=_ago(minutes=2),
        ),
    ),
    period_seconds=300,
    dashboard_url="https://grafana.example/d/otel?var-namespace=observability",
)
_TEAMS = ("search", "cart", "checkout", "billing", "ledger", "mail", "media", "auth", "edge", "stock")
STORM = replace(
    BATCH,
    entries=tuple(
        _entry(
            "Deployment",
            f"otel-{_TEAMS[index % 10]}-{index // 10}",
            "OOMKilled" if index % 3 else "CrashLoopBackOff",
            "Critical",
            20,
        )
        for index in range(50)
    ),
    reason=DigestReason.THROTTLED,
    messages_per_hour=30,
    total=50,
)
SILENCE = replace(
    BATCH,
    reason=DigestReason.SILENCE_ENDED,
    entries=(*BATCH.entries[:2], replace(BATCH.entries[4], transition="Resolved"), BATCH.entries[-1]),
    silence=SilenceFacts(
        "node-upgrade", _ago(hours=4), NOW, "Kernel upgrade of the eu nodes, CHG-4711", "ada@example.org"
    ),
)
_RESOLVED = replace(
    CRASH,
    now=NOW + timedelta(minutes=6),
    well_since=NOW + timedelta(minutes=1),
    changes=("Image of container otel-collector: 0.139.0 → 0.138.0 (revision 13)",),
)

_REPORT = """The nightly backup of volume {0} is done.

Files changed      {1}
Bytes copied       48.{1} GiB
Took               {0} min 12 s
Kept until         2026-12-21

A restore was tried with three files picked at random, and all three were the same as their originals."""
BUNDLE = BundleFacts(
    CLUSTER,
    "backup",
    "nightly-reports",
    (
        BundleEntry("backup-pg-main-x7k2p", "Backup of pg-main is done", _REPORT.format(14, 1207), _ago(minutes=42)),
        BundleEntry(
            "backup-media-0f9qd",
            "Backup of media is done, 2 files were skipped",
            _REPORT.format(31, 88213)
            + "\n\nSkipped: /srv/media/incoming/2026-11-20T23:59:58Z-upload-6f1c2a0e9b8d4c7aa3e5.part (in use)",
            _ago(minutes=29),
            "message-2.eml",
        ),
        BundleEntry("backup-mail-p4w8z", "Backup of mail is done", _REPORT.format(9, 311), _ago(minutes=3)),
    ),
)


def samples() -> dict[str, Rendered]:
    """Every built-in mail once, by the name of its picture."""
    return {
        "crash": render_crash(CRASH),
        "oom": render_crash(_OUT_OF_MEMORY),
        "image-pull": render_crash(_IMAGE),
        "unschedulable": render_crash(_UNSCHEDULABLE),
        "node-lost": render_crash(_NODE),
        "rollout-stuck": render_crash(_STUCK),
        "probe": render_crash(_PROBE),
        "resolved": render_resolved(_RESOLVED),
        "drift": render_crash(DRIFT),
        "back-to-baseline": render_resolved(
            replace(DRIFT, return_reason=Return.ROLLED_BACK, changes=("DaemonSet otel-agent: revision 9 → 8, by ada",))
        ),
        "digest": render_digest(BATCH),
        "storm": render_digest(STORM),
        "silence-ended": render_digest(SILENCE),
        "batch": render_bundle(BUNDLE),
        "fired-and-recovered": render_resolved(
            replace(
                _RESOLVED,
                belated="It began and was over while no mail could be sent, so this is the first that you hear of it. It was Critical. "
                "The earlier mail about it is attached.",
            )
        ),
        "drill": render_drill(
            DrillFacts(CLUSTER, NAMESPACE, "office365", "smtp.office365.com:587", 86_400, _ago(minutes=1))
        ),
        "test": render_trial(
            TrialFacts(
                CLUSTER, NAMESPACE, "office365", "smtp.office365.com:587", "TLSv1.3", NOW, f"{NAMESPACE}/first-test"
            )
        ),
    }
