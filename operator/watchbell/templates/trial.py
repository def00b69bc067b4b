"""Whether an EmailTemplate can be rendered, and what its status says of it. Pure.

Before: the object as the API server has it. After: `shelf` writes the status and keeps what was compiled. Up to some 300 ms of CPU for a hostile one,
usually five; called from a thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from watchbell.api.conditions import Condition, merge
from watchbell.api.meta import parse
from watchbell.api.names import ANNOTATION_REQUESTED_AT
from watchbell.api.reasons import Reason
from watchbell.api.template import EmailTemplate
from watchbell.mail.template import (
    DEFAULT_MAX_PARAMETER_CHARACTERS,
    Compiled,
    Flaw,
    Parameter,
    Source,
    TemplateProblem,
    check_names,
    compile_template,
    render,
)
from watchbell.mail.template_samples import Sample, account_samples, sample_parameters, samples

# fmt: off
KEYWORDS = frozenset({
    "and", "as", "blank", "cols", "contains", "continue", "else", "empty", "false", "for", "if", "in", "limit", "nil", "not", "null", "offset",
    "or", "required", "reversed", "true", "with",
})
# fmt: on
"""Words of Liquid, which can be no name of a parameter: `{{ parameters.limit }}` does not parse."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a trial: the template, or why it cannot be used; and the names of the samples it was rendered with.

    `alert_problem`: why alerts cannot use it although it is right.
    """

    found: Compiled | TemplateProblem
    tried: tuple[str, ...] = ()
    alert_problem: TemplateProblem | None = None


def compile_object(body: Mapping[str, Any]) -> Compiled | TemplateProblem:
    """The object's template, not tried yet."""
    template = parse(EmailTemplate, body)
    if isinstance(template, tuple):
        return TemplateProblem("", "; ".join(map(str, template))[:600], 0, Flaw.INVALID)
    spec = template.spec
    parameters = tuple(
        Parameter(one.name, one.default, one.max_length or DEFAULT_MAX_PARAMETER_CHARACTERS) for one in spec.parameters
    )
    for one in parameters:
        if one.name in KEYWORDS:
            text = "is a word of Liquid, so the template could not read it; choose another name"
            return TemplateProblem(f"parameters.{one.name}", text, 0, Flaw.INVALID)
    return compile_template(Source(spec.subject, spec.text or "", spec.html or "", parameters))


def judge(body: Mapping[str, Any]) -> Verdict:
    """Compiles it, looks at every name it mentions, and renders it with each sample."""
    compiled = compile_object(body)
    if isinstance(compiled, TemplateProblem):
        return Verdict(compiled)
    unknown = check_names(compiled, samples()[0].values)
    if unknown is None:
        return _tried(compiled, samples())
    of_account = check_names(compiled, account_samples()[0].values)
    if of_account is None:
        verdict = _tried(compiled, account_samples())
        text = f"{unknown.message}: it is a template for account mail"
        return replace(verdict, alert_problem=replace(unknown, message=text))
    # Whichever of the two it was meant to be, the mistake is told as that one has it.
    return Verdict(of_account if unknown.message.startswith("account ") else unknown)


def _tried(compiled: Compiled, tried: tuple[Sample, ...]) -> Verdict:
    given = sample_parameters(compiled.parameters)
    for sample in tried:
        rendered = render(compiled, sample.values, given)
        if isinstance(rendered, TemplateProblem):
            text = f"{rendered.message} (with the sample of {sample.name})"
            return Verdict(TemplateProblem(rendered.field, text, rendered.line, rendered.flaw))
    return Verdict(compiled, tuple(sample.name for sample in tried))


def template_status(body: Mapping[str, Any], verdict: Verdict, now: datetime) -> dict[str, Any]:
    """The whole status."""
    meta, current = body["metadata"], body.get("status") or {}
    existing = current.get("conditions") if isinstance(current, Mapping) else None
    generation = meta.get("generation", 0)
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": merge(existing if isinstance(existing, list) else (), _conditions(verdict), generation, now),
    }
    requested = (meta.get("annotations") or {}).get(ANNOTATION_REQUESTED_AT, "")
    return status | ({"lastHandledRequest": requested} if requested else {})


def _conditions(verdict: Verdict) -> tuple[Condition, ...]:
    found = verdict.found
    if isinstance(found, TemplateProblem):
        reason = Reason.INVALID_SPEC if found.flaw is Flaw.INVALID else Reason.RENDER_FAILED
        text = f"{_sentence(found)} Until it is mended, alerts go out with the built-in template."
        return (Condition("Ready", "False", reason, text), Condition("Stalled", "True", reason, text))
    text = f"Rendered with samples of {', '.join(verdict.tried)}."
    if verdict.alert_problem is not None:
        return (
            Condition(
                "Ready", "True", Reason.RENDERED, f"{text} Alerts cannot use it: it reads the values of account mail."
            ),
        )
    needed = [one.name for one in found.parameters if one.default is None]
    if needed:
        text += f" Alerts give no parameters, so they cannot use it: {', '.join(needed)} has no default."
    return (Condition("Ready", "True", Reason.RENDERED, text),)


def _sentence(problem: TemplateProblem) -> str:
    text = str(problem)
    return text if text.endswith((".", "?", "!")) else f"{text}."
