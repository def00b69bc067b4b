"""The story of the demo, step by step: a cluster, the operator, proven connectors, and then what `alerts` tells. Every step is checked."""

import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from demo import alerts
from demo import manifests as m
from demo.cast import RealPods, StandIns
from demo.kubectl import Kubectl
from demo.process import OperatorProcess
from demo.relay import Relay
from demo.screen import StepFailedError, block, note, step, title, wait_until
from demo.stage import ROOT, Stage, await_condition


def install(stage: Stage) -> None:
    """The CRDs and the namespaces."""
    with step("install the CRDs"):
        stage.kubectl.run("apply", "--server-side", "-f", str(ROOT / "crds"))
        stage.kubectl.run("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    with step("create the namespaces"):
        stage.kubectl.apply(m.namespaces())


def start_operator(stage: Stage, relay: Relay) -> OperatorProcess:
    """`watchbell run`, until it is ready."""
    with step("start the operator (watchbell run)"):
        process = OperatorProcess(stage.out / "operator.log", stage.kubeconfig, stage.context, relay.port, m.HOME)
        try:
            wait_until(process.is_ready, f"the operator to be ready; see {process.log}", 30)
        except BaseException:
            process.stop()
            raise
    return process


def prove_connectors(stage: Stage, relay: Relay, password: str) -> None:
    """Apply two connectors and their Secrets; wait until both are Ready; show what kubectl shows."""
    title("Connectors: proven by the code that sends")
    with step("apply Secrets, a ClusterSmtpConnector and a SmtpConnector"):
        for namespace in (m.HOME, m.NAMESPACE):
            stage.kubectl.apply(m.relay_secret(namespace, password) + m.authority(namespace, relay.ca_pem))
        stage.kubectl.apply(m.cluster_connector(relay.port) + m.connector(relay.port))
    for what in (("clustersmtpconnector", "watchbell-demo"), ("smtpconnector", "alerts", "-n", m.NAMESPACE)):
        with step(f"wait until {what[0]}/{what[1]} is Ready"):
            await_condition(stage, "Ready", what)
    block(stage.kubectl.run("get", "clustersmtpconnectors,smtpconnectors", "-A"))
    template = '{range .status.conditions[*]}{.type}{"\\t"}{.status}{"\\t"}{.reason}{"\\t"}{.message}{"\\n"}{end}'
    block(
        _columns(stage.kubectl.run("get", "smtpconnector", "alerts", "-n", m.NAMESPACE, "-o", f"jsonpath={template}"))
    )


def _columns(text: str) -> str:
    rows = [line.split("\t") for line in text.splitlines()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3][:110]])
        for row in rows
    )


def try_next(stage: Stage) -> str:
    """Commands for the reader; the file that one of them takes is written here."""
    trial = stage.out / "try-smtptest.yaml"
    trial.write_text(m.smtp_test(), encoding="utf-8")
    export = (
        f"export KUBECONFIG={stage.kubeconfig}" if stage.kubeconfig else f"kubectl config use-context {stage.context}"
    )
    return "\n".join(
        (
            export,
            f"kubectl -n {m.NAMESPACE} describe smtpconnector alerts",
            f"watchbell incident list -n {m.NAMESPACE} --resolved      # {Path(sys.executable).parent}/watchbell",
            f"watchbell silence create -n {m.NAMESPACE} --owner {m.COLLECTOR} --for 1h --comment 'I break it on purpose'",
            f"watchbell baseline capture {m.POLICY} -n {m.NAMESPACE}",
            f"kubectl -n {m.NAMESPACE} create -f {trial}   # a test mail; then: get smtptests",
            f'kubectl -n {m.NAMESPACE} patch secret relay -p \'{{"stringData":{{"password":"wrong"}}}}\'   # then: get smtpconnector alerts -w',
        )
    )


def tell(stage: Stage, relay: Relay, password: str, keep: Callable[[OperatorProcess], None]) -> None:
    """The whole of it. `keep` gets the operator once it runs, so that it is stopped whatever happens."""
    title("A cluster with watchbell")
    install(stage)
    keep(start_operator(stage, relay))
    prove_connectors(stage, relay, password)
    alerts.play(
        stage, relay, RealPods(stage.kubectl, stage.crash_image) if stage.has_nodes else StandIns(stage.kubectl)
    )


def new_password() -> str:
    """A password for this run only."""
    return secrets.token_urlsafe(18)


def crds_of(kubectl: Kubectl) -> frozenset[str]:
    """Our CRDs that the cluster has, as kubectl names them."""
    return frozenset(
        name for name in kubectl.run("get", "crds", "-o", "name").split() if name.endswith(".watchbell.dev")
    )


def refuse_if_occupied(kubectl: Kubectl) -> None:
    """The demo deletes its namespaces at the end, so it only starts where nobody has them. Raises StepFailedError."""
    found = kubectl.run("get", "namespace", m.NAMESPACE, m.HOME, "--ignore-not-found", "-o", "name").split()
    if found:
        raise StepFailedError(
            f"the cluster has {' and '.join(found)} already, and the demo deletes its namespaces at the end; use another cluster, or wait if "
            "the demo ran here a moment ago"
        )


def clean_up(stage: Stage, crds_before: frozenset[str]) -> None:
    """In a cluster that was there before: leave nothing of the demo."""
    if any("clustersmtpconnectors" in name for name in crds_before):
        _tidied(stage, "delete", "clustersmtpconnector", "watchbell-demo", "--ignore-not-found")
    _tidied(stage, "delete", "namespace", m.NAMESPACE, m.HOME, "--ignore-not-found", "--wait=false")
    ours = sorted(crds_of(stage.kubectl) - crds_before)
    if ours:
        _tidied(stage, "delete", "--ignore-not-found", *ours)


def _tidied(stage: Stage, *arguments: str) -> None:
    try:
        stage.kubectl.run(*arguments)
    except StepFailedError as error:
        note(f"could not clean up: {error}")
