"""Mail addresses: from what a user wrote to what goes on the wire and into a header.

Before: the text of a field. After: `message` puts a `Mailbox` into a header, the outbox puts a `WireAddress` into an envelope. Not known here:
which field it was, whether the server offers SMTPUTF8.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

import idna

from watchbell.mail.untrusted import HIDDEN, visible

MAX_NAME_CHARACTERS = 128
MAX_LOCAL_BYTES = 64  # RFC 5321 §4.5.3.1.1
MAX_ADDRESS_BYTES = 254  # RFC 5321 §4.5.3.1.3: a path of 256 with its angle brackets

_HIDDEN = re.compile(f"[{HIDDEN}]")
# RFC 5322 §3.2.3 atext in a dot-atom; RFC 6531 §3.3 adds everything beyond ASCII. No quoted local parts: they serve attacks more than people.
_LOCAL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+)*"
)
# RFC 5321 §4.5.3.1.2: at most 255 bytes.
_DOMAIN = re.compile(r"(?=.{1,255}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")
_SPACE = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class AddressProblem:
    """Why a text is no address; `message` is one sentence that names the text (bounded, made visible)."""

    message: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (may be empty) and an address as the user wrote it: one mailbox of RFC 5322 §3.4."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class WireAddress:
    """An address ready for MAIL FROM and RCPT TO: the domain in A-labels. A local part beyond ASCII needs SMTPUTF8 (RFC 6531)."""

    text: str
    needs_smtputf8: bool

    @property
    def domain(self) -> str:
        """What stands behind the at sign, in A-labels."""
        return self.text.rpartition("@")[2]


def parse_mailbox(text: str) -> Mailbox | AddressProblem:
    """Reads `user@example.org`, `Name <user@example.org>` or `"Name, Other" <user@example.org>`: exactly one mailbox, no comments, no group."""
    if len(text) > MAX_NAME_CHARACTERS * 2 + MAX_ADDRESS_BYTES + 4:
        return AddressProblem(f"{_shown(text)} is too long for a mailbox")
    if _HIDDEN.search(text):
        return AddressProblem(f"{_shown(text)} contains a control or direction character")
    text = text.strip()
    if not text.endswith(">"):
        return _checked(Mailbox("", text))
    phrase, _, address = text[:-1].rpartition("<")
    name = _unquoted(phrase.strip())
    if name is None:
        return AddressProblem(
            f"{_shown(text)} is not one mailbox: put a display name with , ; : < > @ or quotes into double quotes"
        )
    return _checked(Mailbox(name, address))


@lru_cache(maxsize=4096)
def wire_address(address: str) -> WireAddress | AddressProblem:
    """The address with its domain in A-labels (UTS 46, lower case). The local part stays byte for byte: only its server may read it."""
    if len(address) > MAX_ADDRESS_BYTES or _HIDDEN.search(address) or _SPACE.search(address):
        return AddressProblem(
            f"{_shown(address)} is not a mail address: it is too long or holds a space or a control character"
        )
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL.fullmatch(local):
        return AddressProblem(f"{_shown(address)} is not a mail address of the form user@example.org")
    encoded = wire_domain(domain)
    if isinstance(encoded, AddressProblem):
        return encoded
    local_bytes = len(local.encode())
    if local_bytes > MAX_LOCAL_BYTES or local_bytes + 1 + len(encoded) > MAX_ADDRESS_BYTES:
        return AddressProblem(f"{_shown(address)} is too long: at most 64 bytes before the @ and 254 in all")
    return WireAddress(f"{local}@{encoded}", not local.isascii())


def wire_domain(domain: str) -> str | AddressProblem:
    """A domain in A-labels, or an address literal (RFC 5321 §4.1.3) as it is."""
    lowered = domain.lower()
    if lowered.isascii() and "xn--" not in lowered and _DOMAIN.fullmatch(lowered):
        return lowered
    if lowered.startswith("[") and lowered.endswith("]"):
        return _literal(domain[1:-1])
    try:
        encoded = idna.encode(lowered, uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        return AddressProblem(f"{_shown(domain)} is not a domain name: {visible(str(error), 120)}")
    if not _DOMAIN.fullmatch(encoded):
        return AddressProblem(f"{_shown(domain)} is not a domain name")
    return encoded


def _literal(inner: str) -> str | AddressProblem:
    is_v6 = inner[:5].lower() == "ipv6:"
    try:
        address = ipaddress.IPv6Address(inner[5:]) if is_v6 else ipaddress.IPv4Address(inner)
    except ValueError:
        return AddressProblem(f"{_shown(inner)} is not an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]")
    if is_v6 and "%" in inner:
        return AddressProblem(f"{_shown(inner)} has a zone, which means nothing on another machine")
    return f"[IPv6:{address}]" if is_v6 else f"[{address}]"


def _checked(mailbox: Mailbox) -> Mailbox | AddressProblem:
    wire = wire_address(mailbox.address)
    if isinstance(wire, AddressProblem):
        return wire
    if len(mailbox.name) > MAX_NAME_CHARACTERS:
        return AddressProblem(
            f"{_shown(mailbox.name)} is too long for a display name: at most {MAX_NAME_CHARACTERS} characters"
        )
    return mailbox


def _unquoted(phrase: str) -> str | None:
    if len(phrase) >= 2 and phrase[0] == phrase[-1] == '"':
        inner = phrase[1:-1]
        plain = re.sub(r"\\(.)", r"\1", inner)
        return (
            None
            if re.search(r'(?:^|[^\\])(?:\\\\)*"', inner) or re.search(r"(?:^|[^\\])(?:\\\\)*\\$", inner)
            else plain.strip()
        )
    return None if re.search(r'[",;:<>@()\[\]\\]', phrase) else phrase


def _shown(text: str) -> str:
    return f'"{visible(text, 80)}"'
