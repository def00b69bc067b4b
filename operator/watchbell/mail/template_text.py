"""The text part of a mail whose template has only HTML. Pure.

Before: HTML that a template's author wrote, with every value in it escaped. After: lines that say the same. One pass, each character once; what
is no tag is text.
"""

import re
from html import unescape

_BLANK_LINES = re.compile(r"\n{3,}")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9]{0,15})")
_HREF = re.compile(r"""\shref\s?=\s?(?:"(https?:[^"]{1,2000})"|'(https?:[^']{1,2000})')""", re.IGNORECASE)
_MAX_TAG_CHARACTERS = 4096
_HIDDEN_ELEMENTS = frozenset({"head", "style", "script", "title"})
_LINES = frozenset({"br", "tr", "li", "dt", "dd"})
_BLOCKS = frozenset(
    {"p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "pre", "hr", "blockquote", "section"}
)


def text_of_html(html: str) -> str:
    """Paragraphs with an empty line between, list items with a dash, cells with two spaces, links with their address behind."""
    parts: list[str] = []
    links: list[str] = []
    position, lowered = 0, html.lower()
    while (start := html.find("<", position)) >= 0:
        parts.append(_SPACES.sub(" ", html[position:start]))
        end = _tag_end(html, start)
        if end < 0:
            position = start
            break
        tag = html[start:end]
        name = match[1].lower() if (match := _NAME.match(tag, 1)) else ""
        position = end
        if name in _HIDDEN_ELEMENTS and tag[1] != "/":
            position = _after(lowered, f"</{name}", end)
            continue
        parts.append(_in_text(name, tag, links))
    parts.append(_SPACES.sub(" ", html[position:]))
    lines = (line.strip() for line in "".join(parts).split("\n"))
    return unescape(_BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()) + "\n"


def _tag_end(html: str, start: int) -> int:
    """Behind the tag or comment that begins here; -1 when it never ends."""
    if html.startswith("<!--", start):
        end = html.find("-->", start + 4)
        return end + 3 if end >= 0 else -1
    return html.find(">", start) + 1 or -1


def _after(lowered: str, closing: str, position: int) -> int:
    end = lowered.find(closing, position)
    return len(lowered) if end < 0 else lowered.find(">", end) + 1 or len(lowered)


def _in_text(name: str, tag: str, links: list[str]) -> str:
    is_end = tag.startswith("</")
    if name in _BLOCKS:
        return "\n\n"
    if name in _LINES:
        return "\n- " if name == "li" and not is_end else "\n" if name != "li" else ""
    if name in {"td", "th"} and not is_end:
        return "  "
    if name == "a":
        if is_end:
            return f" ({links.pop()})" if links and links[-1] else ""
        found = _HREF.search(tag, 0, _MAX_TAG_CHARACTERS)
        links[:] = [(found[1] or found[2]) if found else ""]
    return ""
