"""The story of the demo, step by step: a proven connector, a crash, one mail. Every step is checked; one that does not happen ends the demo."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from demo import manifests as m
from demo.kubectl import Kubectl
from demo.kubelet import StandIn
from demo.process import OperatorProcess
from demo.relay import Arrived, Relay
from demo.screen import StepFailedError, block, note, step, title, wait_until

ROOT = Path(__file__).resolve().parents[2]
CRASH_IMAGE = "busybox:1.37"


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story plays."""

    kubectl: Kubectl
    has_nodes: bool
    out: Path
    kubeconfig: Path | None
    context: str | None
    crash_image: str = CRASH_IMAGE


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
            _await_condition(stage, "Ready", what)
    block(stage.kubectl.run("get", "clustersmtpconnectors,smtpconnectors", "-A"))
    template = '{range .status.conditions[*]}{.type}{"\\t"}{.status}{"\\t"}{.reason}{"\\t"}{.message}{"\\n"}{end}'
    block(
        _columns(stage.kubectl.run("get", "smtpconnector", "alerts", "-n", m.NAMESPACE, "-o", f"jsonpath={template}"))
    )


def _await_condition(stage: Stage, type_: str, what: tuple[str, ...]) -> None:
    try:
        wait_until(lambda: stage.kubectl.condition(type_, *what)[0] == "True", f"{type_} of {what[1]}", 30)
    except StepFailedError as error:
        status, reason, message = stage.kubectl.condition(type_, *what)
        raise StepFailedError(f"{error}: it is {status or 'not there'} ({reason}): {message}") from error


def _columns(text: str) -> str:
    rows = [line.split("\t") for line in text.splitlines()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3][:110]])
        for row in rows
    )


def crash(stage: Stage, relay: Relay) -> Arrived:
    """A policy, a collector that crashes, and the one mail about it."""
    title("A collector crashes")
    with step("apply a CollectorPolicy"):
        stage.kubectl.apply(m.policy())
        _await_condition(stage, "Ready", ("collectorpolicy", "collectors", "-n", m.NAMESPACE))
    play = _break_really if stage.has_nodes else _replay
    play(stage)
    with step("wait for the mail"):
        wait_until(lambda: relay.inbox.mails, "the crash mail at the relay", 60)
    mail = relay.inbox.mails[0]
    if m.COLLECTOR not in str(mail.message["Subject"]) or mail.recipients != (m.TO,):
        raise StepFailedError(f"a mail came, but not the crash mail: {mail.message['Subject']!r} to {mail.recipients}")
    return mail


def _break_really(stage: Stage) -> None:
    with step(f"create a Deployment whose container ends with exit code 1 ({stage.crash_image})"):
        stage.kubectl.apply(m.broken_collector(stage.crash_image))


def _replay(stage: Stage) -> None:
    note("There is no kubelet here: a stand-in replays pod statuses that a real kubelet wrote (hack/demo/recordings).")
    note("With CONTEXT=name this demo uses your cluster and real pods.")
    stand_in = StandIn(stage.kubectl)
    with step("create the collector's Deployment, ReplicaSet and Pod"):
        stand_in.create()
    with step("replay: running, then a crash loop"):
        for _status in stand_in.play("crash-loop", hurry=20):
            pass


def settled(stage: Stage) -> None:
    """The objects that remember it."""
    with step("wait until the EmailMessage is settled"):
        wait_until(lambda: _succeeded(stage), "an EmailMessage with Succeeded=True", 20)
    block(stage.kubectl.run("get", "collectorincidents,emailmessages", "-n", m.NAMESPACE))


def _succeeded(stage: Stage) -> bool:
    items = stage.kubectl.get("emailmessages", "-n", m.NAMESPACE)["items"]
    conditions = [condition for item in items for condition in item.get("status", {}).get("conditions", [])]
    return any(condition["type"] == "Succeeded" and condition["status"] == "True" for condition in conditions)


def show(mail: Arrived) -> None:
    """The mail as text, and where its files are."""
    title("The mail that arrived")
    for name in ("From", "To", "Subject", "Date", "Message-ID"):
        block(f"{name}: {mail.message[name]}")
    body = mail.message.get_body(("plain",))
    block("\n" + (str(body.get_content()) if body is not None else "(no text part)"))
    note(f"as it came: {mail.eml}")
    note(f"to open in a browser: {mail.html}")


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
            f"kubectl -n {m.NAMESPACE} get collectorincidents -o yaml",
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
    mail = crash(stage, relay)
    settled(stage)
    show(mail)


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
