"""The filters that templates have: few, and none that makes much out of little.

Before: `template_engine` calls one with a value and its arguments, and counts the work by their size. After: its result goes to the next filter, or
into the mail. Left out of Liquid's own: `split`, `sort`, `where`, `date`, `strip_html`, `base64_*`, `safe` and all others whose cost or result
is not bounded by what goes in, or that undo the escaping.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

MAX_TEXT_CHARACTERS = 65_536
MAX_NUMBER = 2**53


class FilterError(Exception):
    """A filter that was given what it cannot take; the end of a sentence that begins with the filter's name."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter: its function, how many arguments it takes after the value, and what it does, for the documentation.

    One that `searches` looks for its first argument in the value, which may cost the product of both.
    """

    function: Callable[..., Any]
    fewest: int
    most: int
    doc: str
    searches: bool = False


def text_of(value: object) -> str:
    """A value as text (a Markup stays one); lists and groups have none."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            raise FilterError(f"needs a text, not {kind_of(value)}")


def kind_of(value: object) -> str:
    """What people call this kind of value."""
    match value:
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a group of values"
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case _:
            return "this"


def _number(value: object) -> int:
    """Whole numbers only: nothing in a mail is counted in fractions."""
    if isinstance(value, str) and len(value) <= 17 and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FilterError(f"needs a whole number, not {kind_of(value)}")
    if abs(value) > MAX_NUMBER:
        raise FilterError(f"takes numbers up to {MAX_NUMBER}")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise FilterError(f"needs a list, not {kind_of(value)}")
    return value


def _bounded(characters: int) -> None:
    if characters > MAX_TEXT_CHARACTERS:
        raise FilterError(f"would make a text of more than {MAX_TEXT_CHARACTERS} characters")


def _sum(left: str, right: str) -> str:
    """A text beside a Markup is escaped by Markup itself, whichever side it is on."""
    _bounded(len(left) + len(right))
    return left + right


def _replace(value: object, old: object, new: object = "") -> str:
    text, searched, put = text_of(value), text_of(old), text_of(new)
    if not searched:
        raise FilterError("needs something to search for")
    _bounded(len(text) + text.count(searched) * max(len(put) - len(searched), 0))
    return text.replace(searched, put)


def _truncate(value: object, length: object = 50, ellipsis: object = "…") -> str:
    text, most, end = text_of(value), max(_number(length), 0), text_of(ellipsis)
    return text if len(text) <= most else text[: max(most - len(end), 0)] + end


def _slice(value: object, start: object, length: object = 1) -> str:
    text, first = text_of(value), _number(start)
    first = max(first + len(text), 0) if first < 0 else first
    return text[first : first + max(_number(length), 0)]


def _join(value: object, separator: object = ", ") -> str:
    parts, between = [text_of(item) for item in _list(value)], text_of(separator)
    _bounded(sum(map(len, parts)) + len(between) * len(parts))
    if isinstance(between, Markup) or any(isinstance(part, Markup) for part in parts):
        return escape(between).join(parts)
    return between.join(parts)


def _map(value: object, name: object) -> list[Any]:
    key, items = text_of(name), _list(value)
    for item in items:
        if not isinstance(item, dict) or key not in item:
            raise FilterError(f"finds no {key[:40]!r} in the items of the list")
    return [item[key] for item in items]


def _uniq(value: object) -> list[Any]:
    return list(dict.fromkeys(text_of(item) for item in _list(value)))


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, list, dict)) else 0


def _default(value: object, other: object) -> object:
    return other if value is None or value is False or value in ("", [], {}) else value


def _divided(value: object, by: object) -> int:
    divisor = _number(by)
    if not divisor:
        raise FilterError("cannot divide by zero")
    return _number(value) // divisor


def _modulo(value: object, by: object) -> int:
    return _number(value) - _number(by) * _divided(value, by)


def _newlines(value: object) -> str:
    return Markup(escape(text_of(value)).replace("\n", Markup("<br>\n")))  # noqa: S704 - what it was made from is escaped


def _first(value: object) -> object:
    items = _list(value)
    return items[0] if items else None


def _last(value: object) -> object:
    items = _list(value)
    return items[-1] if items else None


FILTERS: Mapping[str, Filter] = {
    "append": Filter(lambda value, end: _sum(text_of(value), text_of(end)), 1, 1, "the text with another after it"),
    "capitalize": Filter(lambda value: text_of(value).capitalize(), 0, 0, "first letter large, the others small"),
    "default": Filter(_default, 1, 1, "another value where there is none"),
    "divided_by": Filter(_divided, 1, 1, "whole numbers, rounded down"),
    "downcase": Filter(lambda value: text_of(value).lower(), 0, 0, "small letters"),
    "escape": Filter(lambda value: escape(text_of(value)), 0, 0, "escaped for HTML; the html part is so by itself"),
    "first": Filter(_first, 0, 0, "the first item of a list"),
    "join": Filter(_join, 0, 1, "the items of a list as one text, with `, ` or the given text between them"),
    "last": Filter(_last, 0, 0, "the last item of a list"),
    "map": Filter(_map, 1, 1, 'from a list of groups the list of one of their values: `incident.pods | map: "node"`'),
    "minus": Filter(lambda value, other: _number(value) - _number(other), 1, 1, "the difference"),
    "modulo": Filter(_modulo, 1, 1, "what a division leaves"),
    "newline_to_br": Filter(_newlines, 0, 0, "line ends as `<br>`, the rest escaped"),
    "plus": Filter(lambda value, other: _number(value) + _number(other), 1, 1, "the sum"),
    "prepend": Filter(
        lambda value, start: _sum(text_of(start), text_of(value)), 1, 1, "the text with another before it"
    ),
    "remove": Filter(_replace, 1, 1, "the text without each occurrence of another", searches=True),
    "replace": Filter(_replace, 2, 2, "each occurrence of one text replaced by another", searches=True),
    "size": Filter(_size, 0, 0, "how many characters or items"),
    "slice": Filter(
        _slice, 1, 2, "from the given place (0 = the first, -1 = the last) as many characters as given, else one"
    ),
    "strip": Filter(lambda value: text_of(value).strip(), 0, 0, "without white space around it"),
    "times": Filter(lambda value, other: _number(value) * _number(other), 1, 1, "the product"),
    "truncate": Filter(_truncate, 0, 2, "at most so many characters (50), with `…` or the given text at the end"),
    "uniq": Filter(_uniq, 0, 0, "the list without repetitions"),
    "upcase": Filter(lambda value: text_of(value).upper(), 0, 0, "large letters"),
    "url_encode": Filter(lambda value: quote(str(text_of(value)), safe=""), 0, 0, "fit to be a part of an address"),
}
