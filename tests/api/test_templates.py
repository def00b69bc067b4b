"""EmailTemplates on a real API server: their condition follows every edit, and a mail takes the words that stand there now."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from kuberig import client_of, until
from watchbell.api.conditions import find
from watchbell.api.names import ANNOTATION_REQUESTED_AT, API_VERSION
from watchbell.kube.client import Client
from watchbell.kube.errors import Invalid
from watchbell.mail.document import Rendered
from watchbell.mail.template import Flaw, TemplateProblem
from watchbell.mail.template_samples import CRASH
from watchbell.mail.template_values import incident_values
from watchbell.templates.shelf import MAX_COMPILED, TEMPLATES, Templates

VALUES = incident_values(CRASH)
GOOD = {"subject": "{{ incident.owner }}", "html": "<p>{{ incident.title }}</p>"}


def body(name: str = "short", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": "EmailTemplate", "metadata": {"name": name}, "spec": GOOD | spec}


class Shelf:
    """Templates that run, and what they told."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client, self.namespace, self.is_leading = client, namespace, True
        self.changes: list[tuple[str, str]] = []
        self.templates = Templates(
            client,
            namespaces=(namespace,),
            now=lambda: datetime.now(UTC),
            clock=time.monotonic,
            leading=lambda: self.is_leading,
            on_change=lambda space, name: self.changes.append((space, name)),
        )

    async def make(self, name: str = "short", **spec: Any) -> dict[str, Any]:
        return await self.client.create(TEMPLATES, body(name, **spec), self.namespace)

    async def edit(self, name: str = "short", annotations: dict[str, str] | None = None, **spec: Any) -> None:
        written = await self.client.get(TEMPLATES, name, self.namespace)
        written["spec"] |= spec
        written["metadata"]["annotations"] = annotations or {}
        await self.client.replace(TEMPLATES, written, self.namespace)

    async def ready(self, name: str = "short", *, generation: int) -> dict[str, Any]:
        """The condition Ready once it is about this generation."""
        deadline = time.monotonic() + 10
        while True:
            written = await self.client.get(TEMPLATES, name, self.namespace)
            found = find(written.get("status", {}).get("conditions", ()), "Ready")
            if found and found["observedGeneration"] == generation:
                return dict(found)
            assert time.monotonic() < deadline, written
            await asyncio.sleep(0.02)

    async def render(self, name: str = "short") -> Rendered | TemplateProblem:
        return await self.templates.render(self.namespace, name, VALUES)


@asynccontextmanager
async def running(plane: Any, namespace: str) -> AsyncIterator[Shelf]:
    async with client_of(plane) as client:
        shelf = Shelf(client, namespace)
        task = asyncio.create_task(shelf.templates.run())
        try:
            await until(lambda: shelf.templates.is_synced)
            yield shelf
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_the_condition_follows_every_edit(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        await shelf.make()
        ready = await shelf.ready(generation=1)
        assert (ready["status"], ready["reason"]) == ("True", "Rendered")

        await shelf.edit(html="<p>\n{{ incident.titel }}</p>")
        failed = await shelf.ready(generation=2)
        assert (failed["status"], failed["reason"]) == ("False", "RenderFailed")
        assert failed["message"].startswith(
            "html, line 2: incident.titel is not a known name; did you mean incident.title?"
        )
        assert "built-in template" in failed["message"]
        await until(lambda: shelf.templates.problem(namespace, "short") is not None)

        await shelf.edit(html="<p>{{ incident.owner }}</p>")
        mended = await shelf.ready(generation=3)
        assert (mended["status"], mended["reason"]) == ("True", "Rendered")
        await until(lambda: shelf.templates.book.problem(namespace, "short") is None)
        written = await shelf.client.get(TEMPLATES, "short", namespace)
        assert [condition["type"] for condition in written["status"]["conditions"]] == ["Ready"]


async def test_a_mail_takes_the_words_that_stand_there_now(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        await shelf.make()
        await shelf.ready(generation=1)
        first = await shelf.render()
        assert isinstance(first, Rendered)
        assert (first.subject, first.html) == ("otel-gateway", "<p>monitoring/otel-gateway is out of memory</p>")
        await shelf.edit(subject="{{ incident.severity }}")
        await shelf.ready(generation=2)
        second = await shelf.render()
        assert isinstance(second, Rendered)
        assert second.subject == "Critical"


async def test_a_template_that_fails_is_a_problem_and_not_compiled_for_every_mail(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        await shelf.make(
            html="{% for p in incident.pods %}{% for q in incident.pods %}{{ q.x }}{% endfor %}{% endfor %}"
        )
        await shelf.ready(generation=1)
        found = {str(await shelf.render()) for _ in range(20)}
        assert found == {str(shelf.templates.problem(namespace, "short"))}
        assert "q.x is not a known name" in found.pop()


async def test_what_is_not_there_is_a_problem_with_its_name_and_so_it_is_after_a_deletion(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        missing = await shelf.render("nobody")
        assert isinstance(missing, TemplateProblem)
        assert (missing.flaw, str(missing)) == (
            Flaw.NOT_FOUND,
            f"there is no EmailTemplate nobody in namespace {namespace}",
        )
        await shelf.make()
        await shelf.ready(generation=1)
        await shelf.client.delete(TEMPLATES, "short", namespace)
        await until(lambda: shelf.templates.problem(namespace, "short") is not None)
        assert (namespace, "short") in shelf.changes
        gone = await shelf.render()
        assert isinstance(gone, TemplateProblem)
        assert gone.flaw is Flaw.NOT_FOUND
        assert shelf.templates.book.problem(namespace, "short") == ""


async def test_alerts_are_told_that_a_template_needs_a_parameter(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        await shelf.make(
            text="{{ parameters.team }} {{ parameters.color }}",
            parameters=[{"name": "team"}, {"name": "color", "default": "red"}],
        )
        ready = await shelf.ready(generation=1)
        assert ready["status"] == "True"
        assert ready["message"].endswith("they cannot use it: team has no default.")
        found = await shelf.render()
        assert isinstance(found, TemplateProblem)
        assert (found.field, found.flaw) == ("parameters.team", Flaw.PARAMETER)
        assert shelf.templates.problem(namespace, "short") is None
        assert shelf.templates.book.problem(namespace, "short") == str(found)
        given = await shelf.templates.render(namespace, "short", VALUES, {"team": "sre"})
        assert isinstance(given, Rendered)
        assert given.text == "sre red"


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("endless", {"text": "{% for i in (1..99999999999) %}{% endfor %}"}, "text, line 1: neither ranges nor parentheses"),
        ("files", {"text": "{% include '/etc/passwd' %}"}, "text, line 1: there is no tag 'include'"),
        ("branch", {"text": "{% if incident.kind == 'x' %}{{ incident.ownr }}{% endif %}"}, "did you mean incident.owner?"),
        ("bare", {"text": "{{ incident.pods.first.name }}"}, "(with the sample of a drift)"),
        ("keyword", {"parameters": [{"name": "limit", "default": "x"}]}, "parameters.limit: is a word of Liquid"),
    ],
)  # fmt: skip
async def test_each_mistake_is_told_by_field_line_and_cure(control_plane, namespace, name, spec, message):
    async with running(control_plane, namespace) as shelf:
        await shelf.make(name, **spec)
        ready = await shelf.ready(name, generation=1)
        assert ready["status"] == "False"
        assert message in ready["message"]
        written = await shelf.client.get(TEMPLATES, name, namespace)
        stalled = find(written["status"]["conditions"], "Stalled")
        assert stalled is not None
        assert stalled["status"] == "True"


async def test_a_body_that_is_too_long_never_gets_in(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        with pytest.raises(Invalid):
            await shelf.make(text="x" * 65_537)
        with pytest.raises(Invalid):
            await shelf.make(parameters=[{"name": "x", "default": "abc", "maxLength": 2}])


async def test_who_does_not_lead_writes_nothing_until_it_does(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        shelf.is_leading = False
        await shelf.make()
        assert isinstance(await render_when_seen(shelf), Rendered)
        written = await shelf.client.get(TEMPLATES, "short", namespace)
        assert find(written.get("status", {}).get("conditions", ()), "Ready") is None
        shelf.is_leading = True
        shelf.templates.lead()
        assert (await shelf.ready(generation=1))["status"] == "True"


async def test_a_request_for_another_look_is_answered(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        await shelf.make()
        await shelf.ready(generation=1)
        await shelf.edit(annotations={ANNOTATION_REQUESTED_AT: "2026-01-31T08:00:00Z"})
        deadline = time.monotonic() + 10
        while True:
            status = (await shelf.client.get(TEMPLATES, "short", namespace))["status"]
            if status.get("lastHandledRequest") == "2026-01-31T08:00:00Z":
                break
            assert time.monotonic() < deadline, status
            await asyncio.sleep(0.02)


async def test_only_the_last_templates_stay_compiled(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        shelf.is_leading = False
        count = MAX_COMPILED + 3
        for index in range(count):
            await shelf.make(f"t{index}", subject=f"{index}")
        await until(lambda: all(shelf.templates.problem(namespace, f"t{index}") is None for index in range(count)))
        for _ in range(2):
            for index in range(count):
                rendered = await shelf.render(f"t{index}")
                assert isinstance(rendered, Rendered)
                assert rendered.subject == str(index)
        assert len(shelf.templates._compiled) == MAX_COMPILED


async def test_the_loop_goes_on_while_hostile_templates_are_tried(control_plane, namespace):
    async with running(control_plane, namespace) as shelf:
        branches = "{% for p in incident.log %}{% if 1==2 %}" + "{% elsif 1==2 %}" * 900 + "{% endif %}{% endfor %}"
        for index in range(5):
            await shelf.make(f"t{index}", text=branches)
        longest_s, last = 0.0, time.thread_time()
        tried = asyncio.gather(*(shelf.ready(f"t{index}", generation=1) for index in range(5)))
        while not tried.done():
            await asyncio.sleep(0.001)
            longest_s, last = max(longest_s, time.thread_time() - last), time.thread_time()
        await tried
        assert longest_s < 0.5


async def render_when_seen(shelf: Shelf) -> Rendered | TemplateProblem:
    await until(lambda: shelf.templates.problem(shelf.namespace, "short") is None)
    return await shelf.render()
