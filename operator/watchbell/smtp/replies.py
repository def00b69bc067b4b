"""What a reply and an EHLO answer say (pure): the last step between bytes read and decisions taken.

Before this comes `wire`, which reads; after it `dialog` and `session`, which act. Nothing here judges a reply code: that is `verdict`'s alone.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address

from aiosmtplib.esmtp import parse_esmtp_extensions

_HEAD = re.compile(rb"\d(\d(\d([ \-\r\n]|$)|$)|$)")
_BARE_NAMES = ("localhost", "localhost.localdomain")
# A firewall that "inspects" SMTP overwrites the keywords it dislikes, so that the length stays (Cisco PIX/ASA fixup).
_STRUCK_OUT = re.compile(r"X{5,}[A-Z]?|\*{3,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the server, all its lines. RFC 5321 §4.2."""

    code: int
    text: str

    @property
    def is_positive(self) -> bool:
        """2xx: the command was carried out."""
        return 200 <= self.code < 300

    @property
    def lines(self) -> tuple[str, ...]:
        """The text line by line, codes taken off."""
        return tuple(self.text.split("\n"))


def is_one_reply(raw: bytes) -> bool:
    """Whether `raw` is exactly one well-formed reply with nothing after it.

    All lines must carry the same code and only the last may lack the hyphen (RFC 5321 §4.2.1). Anything else means that replies and
    commands no longer match, or that somebody on the way added a reply of his own.
    """
    lines = raw.split(b"\n")
    if lines.pop() or not lines:
        return False
    code = lines[0][:3]
    if not (len(code) == 3 and code.isdigit() and b"200" <= code <= b"599"):
        return False
    *others, last = lines
    return last[:3] == code and last[3:4] in {b" ", b"\r", b""} and all(line[:4] == code + b"-" for line in others)


def hang_up_notice(raw: bytes) -> bytes | None:
    """The 421 that follows nothing or one whole reply: a server may say at any time that it is about to close (RFC 5321 §3.8)."""
    start = 0 if raw.startswith(b"421") else raw.find(b"\n421") + 1
    notice = raw[start:]
    is_first = start == 0 and raw.startswith(b"421")
    if (is_first or (start > 0 and is_one_reply(raw[:start]))) and is_one_reply(notice):
        return notice
    return None


def may_be_smtp(head: bytes) -> bool:
    """Whether the first bytes can still become a reply: `NNN` and then a space, a hyphen or the end of the line."""
    return _HEAD.match(head[:4]) is not None or not head


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server offers after EHLO; keywords in upper case. `size_bytes` 0 = no limit named (RFC 1870)."""

    lines: tuple[str, ...] = ()
    keywords: frozenset[str] = frozenset()
    auth: tuple[str, ...] = ()
    size_bytes: int = 0
    is_struck_out: bool = False

    def offers(self, keyword: str) -> bool:
        """Whether the keyword stands in the answer."""
        return keyword in self.keywords


def parse_capabilities(text: str) -> Capabilities:
    """The capabilities in the text of an EHLO answer (its first line is the greeting). RFC 5321 §4.1.1.1, old `AUTH=` form included."""
    extensions, mechanisms = parse_esmtp_extensions(text)
    size = extensions.get("size", "").strip()
    lines = tuple(line.strip() for line in text.split("\n")[1:] if line.strip())
    return Capabilities(
        lines=lines[:64],
        keywords=frozenset(keyword.upper() for keyword in extensions),
        auth=tuple(dict.fromkeys(mechanism.upper() for mechanism in mechanisms)),
        size_bytes=int(size) if size.isascii() and size.isdigit() and len(size) < 16 else 0,
        is_struck_out=any(_STRUCK_OUT.fullmatch(line.split()[0]) for line in lines),
    )


def hello_name(wanted: str, local_address: str) -> str:
    """The name for EHLO: `wanted` if it is a full name or a literal, else the address literal of our end of the connection.

    `localhost` and a bare pod name are refused by large providers with a 421, a literal is not. RFC 5321 §4.1.3, §4.1.4.
    """
    name = wanted.strip().rstrip(".")
    is_full = "." in name or name.startswith("[")
    if is_full and name.isascii() and name.isprintable() and " " not in name and name.lower() not in _BARE_NAMES:
        return name
    address = ip_address(local_address.partition("%")[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


_LINE_END = re.compile(rb"\r\n|\n|\r")


def wire_body(payload: bytes) -> bytes:
    """The payload as it goes out after the 354: only CRLF line ends, then leading dots doubled, then the closing dot. RFC 5321 §4.5.2.

    Line ends come first: a bare CR or LF before a dot would otherwise let a second message be smuggled in (CVE-2023-51764).
    """
    ends = payload.count(b"\r\n")
    body = payload
    if payload.count(b"\n") != ends or payload.count(b"\r") != ends:
        body = _LINE_END.sub(b"\r\n", payload)
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    body = body.replace(b"\r\n.", b"\r\n..")
    return b"".join((b"." if body.startswith(b".") else b"", body, b".\r\n"))
