"""One header at a time: checks of values, encoded words, folding, and the last look at a whole header block.

Before: values that `message` took from a draft. After: bytes of a header block. Python's own generator let a second header through (CVE-2024-6923,
CVE-2026-1299), so nothing here trusts an encoder: values are refused first, and the finished block is read again.
"""

import binascii
import re
from collections.abc import Iterable, Sequence

from watchbell.mail.untrusted import HIDDEN

MAX_LINE_BYTES = 998  # RFC 5322 §2.1.1
FOLD_AT = 76
MAX_VALUE_CHARACTERS = 4096

_HIDDEN = re.compile(f"[{HIDDEN}]")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
# RFC 2047 §5(3): the characters that may stand for themselves in a phrase, which makes the same word fit for a subject too.
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q_WORD = {byte: chr(byte) if byte in _Q_SAFE else f"={byte:02X}" for byte in range(256)} | {0x20: "_"}
_LINE_7BIT = re.compile(rb"([!-9;-~]+): [ -~]*(?:\r\n [ -~]+)*\r\n")
_LINE_8BIT = re.compile(rb"([!-9;-~]+): [ -~\x80-\xff]*(?:\r\n [ -~\x80-\xff]+)*\r\n")


def value_problem(value: str) -> str | None:
    """Why a text may not stand in a header, as the end of a sentence; None when it may."""
    if len(value) > MAX_VALUE_CHARACTERS:
        return f"is longer than {MAX_VALUE_CHARACTERS} characters"
    found = _HIDDEN.search(value)
    return f"contains the character U+{ord(found[0]):04X}, which may not stand in a header" if found else None


def unstructured(name: str, value: str) -> str:
    """A folded header line with its CRLF (RFC 5322 §2.2.3); text beyond ASCII, or that looks like an encoded word, becomes encoded words."""
    if value.isascii() and "=?" not in value:
        line = _folded(f"{name}: {value}")
        if line is not None:
            return line
    return f"{name}: {encoded_words(value, len(name) + 2)}\r\n"


def encoded_words(value: str, offset: int) -> str:
    """`value` as encoded words of RFC 2047, each on its line; `offset` characters already stand on the first one."""
    raw = value.encode()
    is_mostly_ascii = sum(1 for byte in raw if byte < 0x80) * 2 > len(raw)
    encode, cost, room = (_q, _q_cost, 63) if is_mostly_ascii else (_b, _b_cost, 45)
    words, start, used = [], 0, 0
    limit = max(room - offset, 12)
    for index, character in enumerate(value):
        width = cost(character)
        if used + width > limit:
            words.append(encode(value[start:index]))
            start, used, limit = index, 0, room
        used += width
    words.append(encode(value[start:]))
    return "\r\n ".join(words)


def phrase(name: str, offset: int) -> str:
    """A display name: atoms as they are, other ASCII as a quoted string, the rest as encoded words (RFC 5322 §3.2.5, RFC 2047 §5)."""
    if name.isascii() and "=?" not in name:
        if _PHRASE.fullmatch(name):
            return name
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return encoded_words(name, offset)


def listing(name: str, items: Sequence[str], separator: str = ",") -> str:
    """A header whose items may each start a new line: address lists and message identifiers."""
    out, width = f"{name}:", len(name) + 1
    for index, item in enumerate(items):
        piece = item + (separator if index + 1 < len(items) else "")
        first = piece.partition("\r\n")[0]
        if index and width + 1 + len(first) > FOLD_AT:
            out, width = out + "\r\n", 0
        out += " " + piece
        width = width + 1 + len(piece) if first == piece else len(piece.rpartition("\r\n")[2])
    return out + "\r\n"


def is_block_sound(block: bytes, names: Iterable[str], *, allow_utf8: bool) -> bool:
    """Whether a finished header block holds exactly these headers, in this order, each once, in lines of at most 998 bytes."""
    pattern = _LINE_8BIT if allow_utf8 else _LINE_7BIT
    position, found = 0, []
    while match := pattern.match(block, position):
        found.append(match[1].decode("ascii").lower())
        position = match.end()
    wanted = [name.lower() for name in names]
    is_short = all(len(line) <= MAX_LINE_BYTES for line in block.split(b"\r\n"))
    return position == len(block) and found == wanted and len(set(found)) == len(found) and is_short


def _folded(line: str) -> str | None:
    """Folds at single spaces; None when a run without one is too long for a line. White space is never changed (RFC 5322 §3.2.2)."""
    if len(line) <= FOLD_AT:
        return line + "\r\n"
    lines, start, least = [], 0, line.index(":") + 2
    while len(line) - start > FOLD_AT:
        cut = _break(line, max(start + 1, least), start + FOLD_AT)
        if cut is None:
            return None
        lines.append(line[start:cut])
        start = cut
    return "\r\n".join([*lines, line[start:]]) + "\r\n"


def _break(line: str, low: int, high: int) -> int | None:
    """The last space in the window with a letter on both sides, so that no line ends in white space or holds nothing else."""
    cut = line.rfind(" ", low, high)
    while cut > low and (line[cut - 1] == " " or line[cut + 1 : cut + 2] in {"", " "}):
        cut = line.rfind(" ", low, cut)
    return cut if cut > low else None


def _q(text: str) -> str:
    return "=?utf-8?q?" + "".join(_Q_WORD[byte] for byte in text.encode()) + "?="


def _b(text: str) -> str:
    return "=?utf-8?b?" + binascii.b2a_base64(text.encode(), newline=False).decode("ascii") + "?="


def _q_cost(character: str) -> int:
    return sum(len(_Q_WORD[byte]) for byte in character.encode())


def _b_cost(character: str) -> int:
    return len(character.encode())
