r"""Java's `.properties` format (pure): `java.util.Properties.load`, as far as text files have it.

Comments (`#`, `!`), `=`, `:` or white space between key and value, a backslash at the end of a line, and the escapes `\t \n \r \f \uXXXX`.
"""

import re

from watchbell.convert.draft import UnreadableError

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_KEY = re.compile(r"((?:\\.|[^\\=:\s])*)[ \t\f]*[=:]?[ \t\f]*(.*)", re.DOTALL)


def read_properties(text: str) -> dict[str, str]:
    """The pairs; of a key that stands twice the last one counts, as in Java. Raises UnreadableError with the line."""
    found: dict[str, str] = {}
    for number, line in _logical(text):
        match = _KEY.fullmatch(line)
        if match is None:
            raise UnreadableError(f"line {number} cannot be read as key=value")
        found[_plain(match[1], number)] = _plain(match[2], number)
    return found


def _logical(text: str) -> list[tuple[int, str]]:
    """Lines without comments, those joined that end in an odd number of backslashes."""
    lines: list[tuple[int, str]] = []
    pending: str | None = None
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        line = raw.lstrip(" \t\f")
        if pending is None and (not line or line[0] in "#!"):
            continue
        whole = line if pending is None else pending + line
        is_open = (len(whole) - len(whole.rstrip("\\"))) % 2 == 1
        if is_open:
            pending = whole[:-1]
        else:
            lines.append((number, whole))
            pending = None
    return [*lines, *([(len(lines) + 1, pending)] if pending else [])]


def _plain(text: str, number: int) -> str:
    def one(match: re.Match[str]) -> str:
        if match[1] is not None:
            return chr(int(match[1], 16))
        if match[2] == "u":
            raise UnreadableError(f"line {number} has a \\u without four hexadecimal digits")
        return _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", one, text, flags=re.DOTALL)
