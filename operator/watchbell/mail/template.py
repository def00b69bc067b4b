"""A user's own words for a mail: compiled once, then rendered with plain values, within bounds that no template can leave.

Before: the fields of an EmailTemplate, written by a tenant, and values made by `template_values`. After: a subject and two bodies, or a named reason
with the field, the line and what to do. The engine (python-liquid) is loaded with the first template: it takes 0.4 s and 8 MiB that nobody
should pay who has none.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from watchbell.mail.document import Rendered
from watchbell.mail.template_text import text_of_html
from watchbell.mail.untrusted import HIDDEN

if TYPE_CHECKING:
    from liquid.exceptions import LiquidError

    from watchbell.mail.template_engine import Parsed

T = TypeVar("T")

MAX_SOURCE_CHARACTERS = 262_144
MAX_SUBJECT_CHARACTERS = 512
MAX_MESSAGE_CHARACTERS = 600
DEFAULT_MAX_PARAMETER_CHARACTERS = 4096

_WHITE_SPACE = re.compile(r"\s+")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_UNCLOSED = re.compile(r"expected tag end(\w+), found")
_HIDDEN = re.compile(f"[{HIDDEN}]")


class Flaw(StrEnum):
    """What kind of thing is wrong."""

    TEMPLATE = "Template"
    """The words of the template themselves: syntax, a name that is not there, too much work, too much text."""
    PARAMETER = "Parameter"
    """A value that its user gave, or did not give."""
    NOT_FOUND = "NotFound"
    """There is no such template."""
    INVALID = "Invalid"
    """The EmailTemplate breaks a rule of its own kind."""


@dataclass(frozen=True, slots=True)
class TemplateProblem:
    """Why there is no mail: the field (`subject`, `text`, `html`, `parameters.<name>`), one sentence, and the line in the field (0 = none)."""

    field: str
    message: str
    line: int = 0
    flaw: Flaw = Flaw.TEMPLATE

    def __str__(self) -> str:
        place = f"{self.field}, line {self.line}" if self.line else self.field
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that the template's user gives; without a default it must be given."""

    name: str
    default: str | None = None
    max_characters: int = DEFAULT_MAX_PARAMETER_CHARACTERS


@dataclass(frozen=True, slots=True)
class Source:
    """The words as they were written; an empty body is none."""

    subject: str
    text: str = ""
    html: str = ""
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A template that can be rendered; only `render` looks inside."""

    parameters: tuple[Parameter, ...]
    fields: Mapping[str, "Parsed"] = field(repr=False)


def load_engine() -> None:
    """Imports the engine now; what is called from a thread before the first template keeps the loop free."""
    import_module("watchbell.mail.template_engine")


def compile_template(source: Source) -> Compiled | TemplateProblem:
    """Reads the source; up to a few milliseconds, at most about 100 ms of CPU for a hostile one."""
    from watchbell.mail import template_engine  # noqa: PLC0415 - see the module's text

    fields: dict[str, Parsed] = {}
    for name, words in (("subject", source.subject), ("text", source.text), ("html", source.html)):
        if not words:
            continue
        if len(words) > MAX_SOURCE_CHARACTERS:
            return TemplateProblem(name, f"has more than {MAX_SOURCE_CHARACTERS} characters")
        parsed = _guarded(name, partial(template_engine.parse, words, escapes=name == "html"))
        if isinstance(parsed, TemplateProblem):
            return parsed
        fields[name] = parsed
    if not fields.keys() & {"text", "html"}:
        return TemplateProblem("text", "text or html must be set")
    return Compiled(source.parameters, fields)


def check_names(compiled: Compiled, values: Mapping[str, Any]) -> TemplateProblem | None:
    """The first name that no mail will ever have, wherever it stands; a rendering only sees the branches that are taken."""
    from watchbell.mail import template_engine  # noqa: PLC0415 - see the module's text

    scope = {**values, "parameters": {one.name: "" for one in compiled.parameters}}
    for name, parsed in compiled.fields.items():
        problem = _guarded(name, partial(template_engine.check_names, parsed, scope))
        if problem is not None:
            return problem
    return None


def render(
    compiled: Compiled, values: Mapping[str, Any], given: Mapping[str, str] | None = None
) -> Rendered | TemplateProblem:
    """The mail. `values` are plain (dict, list, str, int, bool, None); `given` are the parameters that the user of the template gave."""
    from watchbell.mail import template_engine, template_meter  # noqa: PLC0415 - see the module's text

    parameters = bind(compiled.parameters, given or {})
    if isinstance(parameters, TemplateProblem):
        return parameters
    scope, meter = {**values, "parameters": parameters}, template_meter.Meter()
    written: dict[str, str] = {}
    for name, parsed in compiled.fields.items():
        text = _guarded(name, partial(template_engine.render, parsed, scope, meter))
        if isinstance(text, TemplateProblem):
            return text
        if found := _NO_TEXT.search(text):
            return TemplateProblem(name, f"contains the character U+{ord(found[0]):04X}, which is no text")
        written[name] = text
    subject = _subject(written.get("subject", ""))
    if isinstance(subject, TemplateProblem):
        return subject
    html = written.get("html", "")
    return Rendered(subject, written["text"] if "text" in written else text_of_html(html), html)


def bind(declared: tuple[Parameter, ...], given: Mapping[str, str]) -> dict[str, str] | TemplateProblem:
    """Every declared parameter with its value; a problem names the parameter that is missing, unknown or too long."""
    from watchbell.mail.nearest import nearest  # noqa: PLC0415 - difflib, for mistakes only

    names = {parameter.name for parameter in declared}
    for name in sorted(given.keys() - names):
        close = nearest(name, names)
        hint = f"did you mean {close}?" if close else f"it has {', '.join(sorted(names)) or 'none'}"
        return TemplateProblem(
            f"parameters.{name[:63]}", f"the template has no such parameter; {hint}", 0, Flaw.PARAMETER
        )
    bound = {}
    for parameter in declared:
        value = given.get(parameter.name, parameter.default)
        if value is None:
            text = "must be given: the template declares it without a default"
            return TemplateProblem(f"parameters.{parameter.name}", text, 0, Flaw.PARAMETER)
        if len(value) > parameter.max_characters:
            text = f"has {len(value)} characters; at most {parameter.max_characters} are allowed"
            return TemplateProblem(f"parameters.{parameter.name}", text, 0, Flaw.PARAMETER)
        bound[parameter.name] = value
    return bound


def _guarded(name: str, work: Callable[[], T]) -> T | TemplateProblem:
    from liquid.exceptions import LiquidError  # noqa: PLC0415 - see the module's text

    try:
        return work()
    except LiquidError as error:
        return _problem(name, error)
    except RecursionError:
        return TemplateProblem(name, "is nested too deeply")


def _problem(name: str, error: "LiquidError") -> TemplateProblem:
    token = error.token
    line = token.source.count("\n", 0, token.start_index) + 1 if token is not None and token.start_index >= 0 else 0
    message = str(error.message or "cannot be read")[:MAX_MESSAGE_CHARACTERS]
    if message == "block nesting limit reached":
        message = "blocks stand more than 12 deep in each other"
    elif unclosed := _UNCLOSED.match(message):
        message = f"{{% {unclosed[1]} %}} has no {{% end{unclosed[1]} %}}"
    return TemplateProblem(name, message, line)


def _subject(text: str) -> str | TemplateProblem:
    """One line: whatever white space there is becomes one space; what may not stand in a header at all is refused."""
    line = _WHITE_SPACE.sub(" ", text).strip()
    if not line:
        return TemplateProblem("subject", "is empty")
    if len(line) > MAX_SUBJECT_CHARACTERS:
        return TemplateProblem(
            "subject", f"has {len(line)} characters; at most {MAX_SUBJECT_CHARACTERS} are allowed; use truncate"
        )
    if found := _HIDDEN.search(line):
        return TemplateProblem(
            "subject", f"contains the character U+{ord(found[0]):04X}, which may not stand in a header"
        )
    return line
