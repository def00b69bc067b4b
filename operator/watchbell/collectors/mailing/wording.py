"""In which words (a route's own EmailTemplate, or the built-in ones): facts of one incident → the finished text.

Before: `telling` gathered the facts. After: the mail. A template that fails costs nobody the alert: the built-in text takes its place and says
so, and what is wrong is kept for the policy's condition.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from watchbell.api.enums import BuiltinTemplate, Transition
from watchbell.collectors.policies import PolicyKey
from watchbell.kube.errors import ApiError
from watchbell.mail.builtin import Packed, packed_or_rendered
from watchbell.mail.document import Rendered
from watchbell.mail.facts import CrashFacts
from watchbell.mail.template import TemplateProblem
from watchbell.mail.template_values import incident_values

DEADLINE_S = 2.0


class Templates(Protocol):
    """Where users' templates are rendered (`templates.Templates`). Answers from memory, within bounds of time and size."""

    async def render(self, namespace: str, name: str, values: Mapping[str, Any]) -> Rendered | TemplateProblem:
        """The text, or why there is none."""
        ...


@dataclass(slots=True)
class Wording:
    """Renders one incident's mails. `problems` are sentences by policy and template; `on_change` hears when a policy's moved."""

    on_change: Callable[[PolicyKey], None]
    templates: Templates | None = None
    problems: dict[PolicyKey, dict[str, str]] = field(default_factory=dict)

    async def of(self, key: PolicyKey, template: str, facts: CrashFacts, transition: Transition) -> Packed | Rendered:
        """The mail, by the template of that name: finished text; or by the built-in one (empty): facts that are rendered when it is sent."""
        if not template:
            return _built_in(facts, transition)
        rendered = await self._rendered(key[0], template, facts, transition)
        self._note(key, template, "" if isinstance(rendered, Rendered) else str(rendered))
        if isinstance(rendered, Rendered):
            return rendered
        return _built_in(replace(facts, template_failure=f"EmailTemplate {template}: {rendered}"), transition)

    def forget(self, key: PolicyKey) -> None:
        """The policy is gone, or was written anew."""
        self.problems.pop(key, None)

    async def _rendered(
        self, namespace: str, template: str, facts: CrashFacts, transition: Transition
    ) -> Rendered | TemplateProblem | str:
        if self.templates is None:
            return "this operator renders no templates"
        values = incident_values(facts, is_resolved=transition is Transition.RESOLVED)
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self.templates.render(namespace, template, values)
        except (ApiError, TimeoutError) as error:
            return f"it cannot be read now: {str(error) or 'no answer in time'}"

    def _note(self, key: PolicyKey, template: str, problem: str) -> None:
        known = self.problems.setdefault(key, {})
        if known.get(template, "") == problem:
            return
        known.pop(template, None)
        if problem:
            known[template] = f"EmailTemplate {template}: {problem}"
        self.on_change(key)


def _built_in(facts: CrashFacts, transition: Transition) -> Packed | Rendered:
    is_over = transition is Transition.RESOLVED
    return packed_or_rendered(BuiltinTemplate.RESOLVED if is_over else BuiltinTemplate.CRASH, facts)
