"""From the source of a template to tokens, in one pass over it: the first stage of reading a user's template.

Before: a text of a tenant, which may be hostile. After: `template_engine` parses the tokens. python-liquid brings a lexer of its own, but that one
takes minutes for `{{` and a page of spaces (its expression goes back and forth), so nothing here searches a character twice. What may cost too much
later is turned down here: ranges, parentheses, long or deeply nested expressions, tags that read files.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from liquid.exceptions import LiquidSyntaxError
from liquid.token import TOKEN_CONTENT, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from watchbell.mail.nearest import nearest

MAX_SOURCE_CHARACTERS = 262_144
MAX_TAGS = 1_000
MAX_EXPRESSION_CHARACTERS = 500
MAX_EXPRESSIONS_CHARACTERS = 16_384
MAX_BRACKETS = 8

TAGS = (
    "assign",
    "break",
    "capture",
    "case",
    "comment",
    "continue",
    "else",
    "elsif",
    "for",
    "if",
    "raw",
    "unless",
    "when",
)
_ENDS = ("endcapture", "endcase", "endcomment", "endfor", "endif", "endraw", "endunless")
_KNOWN_TAGS = frozenset((*TAGS, *_ENDS))

_OPENING = re.compile(r"\{[{%]")
_ENDS_OF = {
    "raw": re.compile(r"\{%-?\s*endraw\s*-?%\}"),
    "comment": re.compile(r"\{%-?\s*endcomment\s*-?%\}"),
}
_TAG = re.compile(r"\s*(\w+|#)?\s*")
_QUOTED = re.compile(r'"[^"]*"' + r"|'[^']*'")


class RefusalError(LiquidSyntaxError):
    """What a template may not do, or does wrong: one sentence, and the token at which it stands."""


@dataclass(frozen=True, slots=True)
class _Markup:
    """One `{{ … }}` or `{% … %}`: where it begins and ends, what is in it, and whether it eats the white space around it."""

    start: int
    end: int
    inner: str
    inner_start: int
    is_output: bool
    trims_before: bool
    trims_after: bool


def tokens_of(source: str) -> Iterator[Token]:
    """The tokens that python-liquid's parser expects. Raises RefusalError."""
    position, trims, tags, characters = 0, False, 0, 0
    while opening := _OPENING.search(source, position):
        markup = _markup(source, opening.start())
        yield from _content(source, position, markup.start, starts_trimmed=trims, ends_trimmed=markup.trims_before)
        tags, characters = tags + 1, characters + len(markup.inner)
        if tags > MAX_TAGS:
            raise _refusal(f"more than {MAX_TAGS} tags; leave some out", source, markup.start)
        if characters > MAX_EXPRESSIONS_CHARACTERS:
            text = f"more than {MAX_EXPRESSIONS_CHARACTERS} characters between braces in all; leave some out"
            raise _refusal(text, source, markup.start)
        position, trims = markup.end, markup.trims_after
        if markup.is_output:
            yield from _output(source, markup)
            continue
        name, expression, expression_start = _tag(source, markup)
        if name in _ENDS_OF:
            position, trims, text = _verbatim(source, markup, name)
            if name == "raw" and text:
                yield Token(TOKEN_CONTENT, text, markup.end, source)
        elif name != "#":
            yield Token(TOKEN_TAG, name, markup.inner_start, source)
            if expression:
                yield Token(TOKEN_EXPRESSION, _checked(expression, source, expression_start), expression_start, source)
    yield from _content(source, position, len(source), starts_trimmed=trims, ends_trimmed=False)


def _markup(source: str, start: int) -> _Markup:
    is_output = source[start + 1] == "{"
    closing = "}}" if is_output else "%}"
    end = source.find(closing, start + 2, start + MAX_EXPRESSION_CHARACTERS + 6)
    if end < 0:
        text = f"what begins with {source[start : start + 2]} is not closed by {closing} within {MAX_EXPRESSION_CHARACTERS} characters"
        raise _refusal(text, source, start)
    inner_start = start + 2
    trims_before = source.startswith("-", inner_start) and inner_start < end
    inner_start += trims_before
    trims_after = end > inner_start and source[end - 1] == "-"
    inner = source[inner_start : end - trims_after]
    return _Markup(start, end + 2, inner, inner_start, is_output, trims_before, trims_after)


def _content(source: str, start: int, end: int, *, starts_trimmed: bool, ends_trimmed: bool) -> Iterator[Token]:
    text = source[start:end]
    text = text.lstrip() if starts_trimmed else text
    text = text.rstrip() if ends_trimmed else text
    if text:
        yield Token(TOKEN_CONTENT, text, start, source)


def _output(source: str, markup: _Markup) -> Iterator[Token]:
    expression = markup.inner.strip()
    if not expression:
        raise _refusal("{{ }} is empty; it needs a name", source, markup.start)
    yield Token(TOKEN_OUTPUT, "{{", markup.start, source)
    yield Token(TOKEN_EXPRESSION, _checked(expression, source, markup.inner_start), markup.inner_start, source)


def _tag(source: str, markup: _Markup) -> tuple[str, str, int]:
    match = _TAG.match(markup.inner)
    name = (match[1] if match else None) or ""
    if name == "#":
        return name, "", 0
    if name not in _KNOWN_TAGS:
        hint = f"; did you mean {close}" if (close := nearest(name, _ENDS if name.startswith("end") else TAGS)) else ""
        text = f"there is no tag {name[:40]!r}{hint} (there are {', '.join(TAGS)})" if name else "a tag without a name"
        raise _refusal(text, source, markup.start)
    start = match.end() if match else 0
    return name, markup.inner[start:].strip(), markup.inner_start + start


def _verbatim(source: str, markup: _Markup, name: str) -> tuple[int, bool, str]:
    """Where the block ends, whether it eats what follows, and what is in it."""
    end = _ENDS_OF[name].search(source, markup.end)
    if end is None:
        raise _refusal(f"{{% {name} %}} has no {{% end{name} %}}", source, markup.start)
    text = source[markup.end : end.start()]
    text = text.lstrip() if markup.trims_after else text
    text = text.rstrip() if end[0].startswith("{%-") else text
    return end.end(), end[0].endswith("-%}"), text


def _checked(expression: str, source: str, start: int) -> str:
    bare = _QUOTED.sub("", expression)
    if '"' in bare or "'" in bare:
        raise _refusal("a quote is not closed", source, start)
    if "(" in bare or ".." in bare:
        raise _refusal("neither ranges nor parentheses are there; loop over a list", source, start)
    if bare.count("[") > MAX_BRACKETS:
        raise _refusal(f"more than {MAX_BRACKETS} brackets in one expression", source, start)
    return expression


def _refusal(text: str, source: str, start: int) -> RefusalError:
    return RefusalError(text, token=Token(TOKEN_TAG, "", start, source))
