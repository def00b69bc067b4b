"""Text from pods, labels and logs, made fit to be shown: the first stage of every rendering.

Whoever can write a log line or a label can write into our mails. What comes out of here is one line, bounded, without control characters and
without the bidi controls that make text read differently from what it is. Escaping for HTML is not done here: that belongs to the HTML page.
"""

import re

ELLIPSIS = "…"

# C0, DEL, C1, line and paragraph separators, bidi controls and marks, the byte order mark, lone surrogates.
HIDDEN = "\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff"

_HIDDEN = re.compile(f"[{HIDDEN}]")
_COLOUR = re.compile(r"\x1b\[[0-9;:?]{0,32}[A-Za-z]")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/@-]{0,251}[A-Za-z0-9])?")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\n":
        return r"\n"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def visible(text: str, limit: int) -> str:
    """One line of at most `limit` characters: colours of terminals dropped, tabs as spaces, every other hidden character as an escape."""
    # Escapes make text longer, never shorter, and a colour takes 40 characters at most: more input than this cannot be seen.
    text = text[: limit * 4 + 160]
    if text.isascii() and text.isprintable():
        return _clip(text, limit)
    text = _COLOUR.sub("", text).replace("\t", "  ").rstrip("\r\n")
    return _clip(_HIDDEN.sub(_escape, text), limit)


def name(text: str) -> str:
    """A name of Kubernetes or an image unchanged (at most 253 characters); anything else as `visible` text of 63 characters."""
    return text if len(text) <= 253 and _NAME.fullmatch(text) else visible(text, 63)


def qualified(namespace: str, text: str) -> str:
    """`namespace/name`; the name alone for what has no namespace."""
    return f"{name(namespace)}/{name(text)}" if namespace else name(text)


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS
