"""The one place where things are built and started, in the order in which they need each other; and stopped in the reverse order.

Leadership decides who acts: every replica watches and keeps its caches warm, only the leader's queues do work. Without `--leader-elect` this
process leads from the start.
"""

import asyncio
import contextlib
import logging
import os
import platform
import random
import signal
import socket
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import kopf

from watchbell import __version__, metrics
from watchbell.accounts.minter import AccountMinter
from watchbell.accounts.reconcile import AccountParts, Accounts
from watchbell.accounts.vault import Vault
from watchbell.api.enums import ConnectorKind
from watchbell.api.names import GROUP
from watchbell.audit import Audit, Subject
from watchbell.collectors.reconcile import Collectors, CollectorSettings
from watchbell.connectors.assemble import Allowances
from watchbell.connectors.drills import Drills
from watchbell.connectors.parts import Parts
from watchbell.connectors.reconcile import RESOURCES, Connectors
from watchbell.connectors.rotation import RotationWatch
from watchbell.connectors.trial import Trials
from watchbell.endpoints import Endpoints
from watchbell.handlers import Store, registry
from watchbell.heartbeat import beat
from watchbell.kube.client import Client
from watchbell.kube.events import EventRecorder
from watchbell.kube.lease import LeaseElector
from watchbell.logs import about
from watchbell.outbox.outbox import Outbox, OutboxSettings
from watchbell.outbox.outlet import ConnectorKey
from watchbell.readings import show
from watchbell.secretwatch import SecretWatch
from watchbell.settings import SecretAccess, Settings
from watchbell.smtp.egress import EgressPolicy
from watchbell.smtp.endpoint import close_resolver
from watchbell.smtp.oauth import TokenEgress, TokenSource
from watchbell.smtp.session import Dialer
from watchbell.stores import KindStore, PolicyStore
from watchbell.templates.shelf import Templates

log = logging.getLogger(__name__)

LEASE = "watchbell"
LEASE_TASK = "lease"
DRAIN_S = 15.0
"""How long a stopping operator waits for mails under way: of the 30 s that Kubernetes gives a pod, with time left for everything that is to be
ended after it, should the API server not answer."""


def egress_of(settings: Settings) -> EgressPolicy:
    """The egress policy of the flags; the API server is always denied."""
    ports = {port for entry in settings.egress_allow_port for port in range(entry.first, entry.last + 1)}
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    return EgressPolicy(
        allow_hosts=settings.egress_allow_host,
        allow_cidrs=settings.egress_allow_cidr,
        deny_cidrs=settings.egress_deny_cidr,
        allow_ports=frozenset(ports),
        api_servers=(host,) if host else (),
    )


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Runtime:
    """Everything that one operator process consists of."""

    def __init__(self, settings: Settings, client: Client) -> None:
        identity = socket.gethostname()
        self._settings = settings
        self._client = client
        self._leads = asyncio.Event()
        self._listed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._kopf_stop = asyncio.Event()
        self._elector = self._build_elector(identity)
        self._recorder = EventRecorder(
            client, reporting_controller=f"{GROUP}/watchbell", instance=identity, now=utc_now
        )
        egress = egress_of(settings)
        self._tokens = TokenSource(TokenEgress(egress), clock=time.monotonic, now=utc_now)
        self._dialer = Dialer(egress, self._tokens, time.monotonic)
        parts = self._build_parts(egress)
        self.connectors = Connectors(parts)
        self.trials = Trials(parts, self.connectors)
        self._vault = Vault(client, settings.cluster_resource_namespace)
        self.templates = self._build_templates()
        self.outbox = self._build_outbox(identity)
        self.drills = Drills(parts, self.connectors, self.outbox)
        self.connectors.on_seen = self.drills.connector_changed
        self.accounts = self._build_accounts()
        self.collectors = self._build_collectors()
        self.endpoints = Endpoints(self._readiness, self._refresh_metrics, client.pulses.silent)
        self._audit = Audit(client, self._subjects())
        show(self, client, self._recorder)

    # ------------------------------------------------------------------ what it is built of

    def _build_elector(self, identity: str) -> LeaseElector | None:
        settings = self._settings
        if not settings.leader_elect:
            return None
        return LeaseElector(
            self._client,
            settings.cluster_resource_namespace,
            LEASE,
            identity,
            lease_seconds=settings.lease_seconds,
            on_gain=self._gained,
            on_lose=self._lost,
        )

    def _build_parts(self, egress: EgressPolicy) -> Parts:
        settings = self._settings
        return Parts(
            client=self._client,
            dialer=self._dialer,
            recorder=self._recorder,
            home=settings.cluster_resource_namespace,
            cluster_name=settings.cluster_name,
            allowances=Allowances(egress, settings.allow_insecure_tls, os.environ.get("AZURE_FEDERATED_TOKEN_FILE")),
            workers=settings.probe_workers,
            namespaces=settings.watch_namespaces,
            clock=time.monotonic,
            now=utc_now,
            chance=random.random,
            leading=self._leads.is_set,
            on_ready=self._connector_changed,
            on_proven=self._connector_proven,
        )

    def _build_outbox(self, identity: str) -> Outbox:
        settings = self._settings
        return Outbox(
            self._client,
            self.connectors,
            self._dialer,
            namespace=settings.cluster_resource_namespace,
            identity=self._elector.identity if self._elector else f"{identity}_{os.getpid()}_{time.time_ns()}",
            fence=self._covers,
            lead=self._wait_leading,
            now=utc_now,
            settings=OutboxSettings(
                namespaces=settings.watch_namespaces,
                send_workers=settings.send_workers,
                cluster_name=settings.cluster_name,
            ),
            minter=AccountMinter(self._vault, utc_now, settings.cluster_name, self.templates),
            words=self.templates,
            recorder=self._recorder,
        )

    def _build_accounts(self) -> Accounts:
        parts = AccountParts(
            client=self._client,
            vault=self._vault,
            sink=self.outbox,
            recorder=self._recorder,
            namespaces=self._settings.watch_namespaces,
            leading=self._leads.is_set,
            now=utc_now,
            clock=time.monotonic,
        )
        return Accounts(parts)

    def _build_templates(self) -> Templates:
        return Templates(
            self._client,
            namespaces=self._settings.watch_namespaces,
            now=utc_now,
            clock=time.monotonic,
            leading=self._leads.is_set,
            on_change=self._template_changed,
        )

    def _build_collectors(self) -> Collectors:
        settings = self._settings
        return Collectors(
            self._client,
            sink=self.outbox,
            recorder=self._recorder,
            clock=time.monotonic,
            now=utc_now,
            leading=self._leads.is_set,
            settings=CollectorSettings(cluster_name=settings.cluster_name, namespaces=settings.watch_namespaces),
            templates=self.templates,
            template_book=self.templates.book,
            mail_backlog=lambda: self.outbox.queue_depth,
        )

    # ------------------------------------------------------------------ leadership

    def _covers(self, seconds: float) -> bool:
        return self._elector.covers(seconds) if self._elector else self._leads.is_set()

    async def _wait_leading(self) -> None:
        """Mail may go out once this process leads and has heard of every connector there is."""
        await self._leads.wait()
        await self._listed.wait()

    def _gained(self) -> None:
        log.info("leading", extra=about(identity=self._elector.identity if self._elector else ""))
        metrics.LEADER.set(1)
        self._leads.set()
        self.connectors.lead()
        self.trials.lead()
        self.templates.lead()
        self.accounts.lead()
        self.collectors.leadership_changed()

    def _lost(self) -> None:
        """The next leader is at work already: end, and come back with a clean memory."""
        if self._stopping.is_set():
            return
        log.warning("the lease was lost; this process ends")
        metrics.LEADER.set(0)
        self._leads.clear()
        self._stopping.set()

    def _connector_changed(self, key: ConnectorKey) -> None:
        self.outbox.connector_changed(key)
        self.drills.connector_changed(key)

    def _connector_proven(self, key: ConnectorKey) -> None:
        self.outbox.connector_proven(key)

    def _template_changed(self, namespace: str, name: str) -> None:
        # Templates are built first, since the collectors ask them.
        self.collectors.template_changed(namespace, name)

    # ------------------------------------------------------------------ what is seen from outside

    def _readiness(self) -> tuple[bool, str]:
        if self._stopping.is_set():
            return False, "stopping"
        waiting = [
            name
            for name, is_done in (
                ("our own kinds", self._listed.is_set()),
                ("EmailMessages", self.outbox.is_synced),
                ("pods and incidents", self.collectors.is_ready),
            )
            if not is_done
        ]
        return not waiting, f"not yet listed: {', '.join(waiting)}"

    def _refresh_metrics(self) -> None:
        metrics.BREAKERS_OPEN.set(self.outbox.open_breakers)
        metrics.OPEN_INCIDENTS.set(self.collectors.open_incidents)
        metrics.WATCHED_PODS.set(self.collectors.matched_pods)

    # ------------------------------------------------------------------ life

    async def run(self) -> int:
        """Work until asked to stop. The exit code: 0 after a signal, 1 if a part broke or the lease was lost."""
        settings = self._settings
        await self.endpoints.start(settings.health_bind_address, settings.metrics_bind_address)
        metrics.BUILD_INFO.labels(__version__, platform.python_version()).set(1)
        if self._elector is None:
            self._gained()
        own = [asyncio.create_task(job, name=name) for name, job in self._jobs()]
        theirs = list(await self._spawn_kopf())
        asked = self._listen_for_signals()
        log.info("watchbell started", extra=about(version=__version__, leader_elect=settings.leader_elect))
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait([stopping, *own, *theirs], return_when=asyncio.FIRST_COMPLETED)
            broken = self._broken([*own, *theirs])
        finally:
            await self._end([*own, stopping], theirs)
        return 0 if asked.is_set() and not broken else 1

    def _jobs(self) -> list[tuple[str, Any]]:
        jobs = [
            ("heartbeat", beat(self._client.pulses, time.monotonic)),
            ("events", self._recorder.run()),
            ("connectors", self.connectors.run()),
            ("trials", self.trials.run()),
            ("outbox", self.outbox.run()),
            ("drills", self.drills.run()),
            ("templates", self.templates.run()),
            ("accounts", self.accounts.run()),
            ("collectors", self.collectors.run()),
            ("audit", self._list_and_audit()),
        ]
        jobs += self._secret_jobs()
        if self._elector is not None:
            jobs.append((LEASE_TASK, self._elector.run()))
        return jobs

    def _secret_jobs(self) -> list[tuple[str, Any]]:
        if self._settings.secret_access is not SecretAccess.WATCH:
            return [("rotation", RotationWatch(self._client, self.connectors).run())]
        watch = SecretWatch(self._client, self._settings.secret_namespaces, self.connectors.dependency_changed)
        rotation = RotationWatch(self._client, self.connectors, watch.sees)
        return [("secrets", watch.run()), ("rotation", rotation.run())]

    def _kinds(self) -> dict[ConnectorKind, KindStore]:
        return {kind: KindStore(self.connectors, kind, self.collectors.connectors_changed) for kind in ConnectorKind}

    def _subjects(self) -> tuple[Subject, ...]:
        spaces = {
            ConnectorKind.SMTP_CONNECTOR: self._settings.watch_namespaces,
            ConnectorKind.CLUSTER_SMTP_CONNECTOR: (),
        }
        return tuple(Subject(RESOURCES[kind], kind, store, spaces[kind]) for kind, store in self._kinds().items())

    async def _list_and_audit(self) -> None:
        """The first audit is the first list: it does not wait for kopf, and when it is done the stores are known to be full."""
        await self._audit.once()
        self._listed.set()
        await self._audit.run()

    async def _spawn_kopf(self) -> Collection[asyncio.Task[Any]]:
        """Kopf's tasks, without its way to stop: that one cancels every task of the loop, mails under way among them."""
        stores: dict[str, Store] = {
            **{RESOURCES[kind].plural: store for kind, store in self._kinds().items()},
            "smtptests": self.trials,
            "collectorpolicies": PolicyStore(self.collectors),
        }
        namespaces = self._settings.watch_namespaces
        return await kopf.spawn_tasks(
            registry=registry(self._client.access, stores, self._client.pulses),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            stop_flag=self._kopf_stop,
        )

    def _listen_for_signals(self) -> asyncio.Event:
        asked = asyncio.Event()

        def stop() -> None:
            asked.set()
            self._stopping.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        return asked

    def _broken(self, tasks: list[asyncio.Task[Any]]) -> bool:
        """Whether a part ended by itself, which none may."""
        broken = False
        for task in tasks:
            if task.done() and not task.cancelled() and not self._stopping.is_set():
                log.error("a part of the operator ended", extra=about(part=task.get_name()), exc_info=task.exception())
                broken = True
        return broken

    async def _end(self, own: list[asyncio.Task[Any]], theirs: list[asyncio.Task[Any]]) -> None:
        """Mails under way come to their end, then everything stops; the Lease is released when nothing acts under it any more."""
        self._stopping.set()
        await self.outbox.drain(DRAIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._recorder.flushed()
        await _cancel([task for task in own if task.get_name() != LEASE_TASK])
        await _cancel([task for task in own if task.get_name() == LEASE_TASK])
        self._kopf_stop.set()
        await kopf.run_tasks(theirs, ignored=asyncio.all_tasks() - set(theirs))
        await self._tokens.close()
        await self.endpoints.stop()
        await self._client.close()
        close_resolver()
        log.info("watchbell stopped")
