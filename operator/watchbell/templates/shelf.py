"""The EmailTemplates that this process may render, and the status of each.

Before: the API server. After: `collectors`, later the outbox, ask for a mail by name; whoever asked first hears by `on_change` that the answer may be
another now. Only versions are kept of all templates: the words are fetched when they are needed and compiled in a thread, and the last few that
were used stay compiled, so a thousand templates cost no more than their names.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from watchbell.api.names import ANNOTATION_REQUESTED_AT, API_VERSION
from watchbell.kube.client import Client, custom
from watchbell.kube.errors import ApiError, NotFound
from watchbell.kube.informers import Informers
from watchbell.kube.resources import ObjectRef
from watchbell.kube.status import write_status
from watchbell.kube.workqueue import WorkQueue
from watchbell.mail.document import Rendered
from watchbell.mail.template import Compiled, Flaw, TemplateProblem, bind, render
from watchbell.templates.trial import compile_object, judge, template_status

TEMPLATES = custom("emailtemplates")
KIND = "EmailTemplate"
MANAGER = "watchbell-templates"
WORKERS = 2
MAX_COMPILED = 64

TemplateKey = tuple[str, str]


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str
    resource_version: str
    generation: int = 0
    annotations: dict[str, str] | None = None


class TemplateRecord(msgspec.Struct):
    """An EmailTemplate without its words: which version there is, and whether somebody asks for another look."""

    metadata: _Meta

    def __post_init__(self) -> None:
        """Of the annotations only the one that is read stays: others may hold the whole object once more."""
        asked = (self.metadata.annotations or {}).get(ANNOTATION_REQUESTED_AT)
        self.metadata.annotations = {ANNOTATION_REQUESTED_AT: asked} if asked else None

    @property
    def key(self) -> TemplateKey:
        """Namespace and name."""
        return self.metadata.namespace, self.metadata.name

    @property
    def version(self) -> tuple[str, int]:
        """Changes whenever the words do."""
        return self.metadata.uid, self.metadata.generation


class Templates:
    """The EmailTemplates of `namespaces` (empty = all), as one process sees them.

    `on_change(namespace, name)` is called on the loop when `problem` of a template may answer something else. Only while `leading()` are templates
    tried and is anything written. `now` is the wall clock, `clock` a monotonic one in seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespaces: tuple[str, ...],
        now: Callable[[], datetime],
        clock: Callable[[], float],
        leading: Callable[[], bool],
        on_change: Callable[[str, str], None],
    ) -> None:
        self._client = client
        self._now = now
        self._leading = leading
        self._on_change = on_change
        self._loading = asyncio.Lock()
        self._compiled: OrderedDict[tuple[str, int], Compiled] = OrderedDict()
        self._problems: dict[TemplateKey, tuple[tuple[str, int], TemplateProblem]] = {}
        self._unbound: dict[TemplateKey, tuple[tuple[str, int], TemplateProblem]] = {}
        self._queue: WorkQueue[TemplateKey] = WorkQueue(self._look, workers=WORKERS, name="templates", clock=clock)
        self._informers = Informers(client, TEMPLATES, TemplateRecord, namespaces, on_change=self._heed)

    # ------------------------------------------------------------------ what is asked

    async def render(
        self, namespace: str, name: str, values: Mapping[str, Any], given: Mapping[str, str] | None = None
    ) -> Rendered | TemplateProblem:
        """The mail, or why there is none. ApiErrors while the words are fetched are a problem like any other: the built-in template serves."""
        record = self._record((namespace, name))
        if record is None:
            return _missing(namespace, name)
        try:
            compiled = await self._template(record)
        except ApiError as error:
            return TemplateProblem("", f"EmailTemplate {name} cannot be read now: {error.message}")
        if isinstance(compiled, TemplateProblem):
            return compiled
        return await asyncio.to_thread(render, compiled, values, given)

    def problem(self, namespace: str, name: str) -> TemplateProblem | None:
        """What is known to be wrong with it; None also while it has not been tried."""
        record = self._record((namespace, name))
        if record is None:
            return _missing(namespace, name) if self.is_synced else None
        version, problem = self._problems.get(record.key, (None, None))
        return problem if version == record.version else None

    def alert_problem(self, namespace: str, name: str) -> TemplateProblem | None:
        """The same for alerts, which give no parameters."""
        record = self._record((namespace, name))
        version, unbound = self._unbound.get((namespace, name), (None, None))
        if record is not None and unbound is not None and version == record.version:
            return unbound
        return self.problem(namespace, name)

    @property
    def book(self) -> "Book":
        """For the conditions of policies."""
        return Book(self)

    @property
    def is_synced(self) -> bool:
        """Whether every template was seen once."""
        return self._informers.is_synced

    @property
    def failure(self) -> ApiError | None:
        """Why the picture may be stale now."""
        return self._informers.failure

    # ------------------------------------------------------------------ what is told

    def lead(self) -> None:
        """This process tries and writes from now on."""
        for key in self._informers:
            self._queue.add(key)

    async def run(self) -> None:
        """Watches and writes until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informers.run())
            group.create_task(self._queue.run())

    # ------------------------------------------------------------------ how it works

    def _heed(self, old: TemplateRecord | None, new: TemplateRecord | None) -> None:
        """A status that comes back changes nothing."""
        if new is None:
            if old is not None:
                self._forget(old)
            return
        if old is not None and old.version != new.version:
            self._compiled.pop(old.version, None)
        if old is None or old.version != new.version or old.metadata.annotations != new.metadata.annotations:
            self._queue.add(new.key)

    def _forget(self, record: TemplateRecord) -> None:
        self._compiled.pop(record.version, None)
        self._problems.pop(record.key, None)
        self._unbound.pop(record.key, None)
        self._queue.forget(record.key)
        self._on_change(*record.key)

    def _record(self, key: TemplateKey) -> TemplateRecord | None:
        return self._informers.get(key)

    async def _template(self, record: TemplateRecord) -> Compiled | TemplateProblem:
        """One at a time: of a thousand mails that ask at once the first one fetches, and what failed is not compiled again."""
        async with self._loading:
            known = self.problem(*record.key) or self._compiled.get(record.version)
            if isinstance(known, Compiled):
                self._compiled.move_to_end(record.version)
            return known or await self._fetch(*record.key)

    async def _fetch(self, namespace: str, name: str) -> Compiled | TemplateProblem:
        try:
            body = await self._client.get(TEMPLATES, name, namespace)
        except NotFound:
            return _missing(namespace, name)
        fresh = await asyncio.to_thread(compile_object, body)
        self._learn((namespace, name), _version_of(body), fresh)
        return fresh

    def _learn(self, key: TemplateKey, version: tuple[str, int], found: Compiled | TemplateProblem) -> None:
        self._problems.pop(key, None)
        self._unbound.pop(key, None)
        if isinstance(found, TemplateProblem):
            self._problems[key] = version, found
            return
        self._keep(version, found)
        unbound = bind(found.parameters, {})
        if isinstance(unbound, TemplateProblem):
            self._unbound[key] = version, unbound

    def _keep(self, version: tuple[str, int], compiled: Compiled) -> None:
        self._compiled[version] = compiled
        self._compiled.move_to_end(version)
        while len(self._compiled) > MAX_COMPILED:
            self._compiled.popitem(last=False)

    async def _look(self, key: TemplateKey) -> float | None:
        """One template as it is now: tried, and its status written."""
        if not self._leading() or self._record(key) is None:
            return None
        namespace, name = key
        try:
            body = await self._client.get(TEMPLATES, name, namespace)
        except NotFound:
            return None
        verdict = await asyncio.to_thread(judge, body)
        version = _version_of(body)
        self._learn(key, version, verdict.found)
        if verdict.alert_problem is not None:
            self._unbound[key] = version, verdict.alert_problem
        self._on_change(namespace, name)
        status = template_status(body, verdict, self._now())
        ref = ObjectRef(API_VERSION, KIND, name, namespace, version[0])
        await write_status(self._client, TEMPLATES, ref, status, body.get("status") or {}, manager=MANAGER)
        return None


@dataclass(frozen=True, slots=True)
class Book:
    """What conditions of policies ask of the templates that they name."""

    templates: Templates

    def problem(self, namespace: str, name: str) -> str | None:
        """None = it works, or nobody knows yet; empty = there is none of this name; else why alerts cannot use it, in one line."""
        found = self.templates.alert_problem(namespace, name)
        if found is None:
            return None
        return "" if found.flaw is Flaw.NOT_FOUND else str(found)


def _version_of(body: Mapping[str, Any]) -> tuple[str, int]:
    return str(body["metadata"]["uid"]), int(body["metadata"].get("generation", 0))


def _missing(namespace: str, name: str) -> TemplateProblem:
    return TemplateProblem("", f"there is no EmailTemplate {name} in namespace {namespace}", 0, Flaw.NOT_FOUND)
