"""Links out of a mail, from a policy's template of an address.

Before: `spec.links` of a policy and the names of an incident. After: `document.Links`. Values are escaped for a URL, so that no name of a pod can
change where a link leads; only http and https become links at all.
"""

import re
from dataclasses import dataclass, fields
from urllib.parse import quote

MAX_ADDRESS_CHARACTERS = 2000

_ADDRESS = re.compile(r"https?://[A-Za-z0-9\[][!-~]*", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HOST = re.compile(r"(?i)https?://([^/?#]*)")
_QUOTES = re.compile(r"[\"'<>\\^`|]")


@dataclass(frozen=True, slots=True)
class LinkValues:
    """What a placeholder of the same name becomes; an unknown one is empty."""

    cluster: str = ""
    namespace: str = ""
    owner: str = ""
    kind: str = ""
    pod: str = ""
    incident: str = ""


PLACEHOLDERS = frozenset(field.name for field in fields(LinkValues))
_SAMPLE = LinkValues("c", "n", "o", "k", "p", "i")


def problem(template: str) -> str | None:
    """Why this can be no `dashboardURLTemplate`, as the end of a sentence; None when it can."""
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
        return f"has the placeholder {{{unknown[0][:40]}}}; there are only {known}"
    plain = _PLACEHOLDER.sub("", template)
    if "{" in plain or "}" in plain:
        return "has a brace without its other half"
    host = _HOST.match(template)
    if host is None:
        return "must begin with http:// or https://"
    if set(_PLACEHOLDER.findall(host[1])) - {"cluster"}:
        return (
            "has a placeholder in its host; only {cluster} may stand there: no name of a pod decides where a link leads"
        )
    return None if web_address(expand(template, _SAMPLE)) else "is not an address"


def expand(template: str, values: LinkValues) -> str:
    """The template with its placeholders filled and URL-escaped; empty when that is no web address."""
    filled = _PLACEHOLDER.sub(lambda match: _escaped(match[1], values), template[:MAX_ADDRESS_CHARACTERS])
    return web_address(filled)


def web_address(text: str) -> str:
    """The address itself if it is http or https, in visible ASCII and at most 2,000 characters; else empty."""
    is_good = len(text) <= MAX_ADDRESS_CHARACTERS and _ADDRESS.fullmatch(text) and not _QUOTES.search(text)
    return text if is_good else ""


def _escaped(name: str, values: LinkValues) -> str:
    if name not in PLACEHOLDERS:
        return f"{{{name}}}"
    value: str = getattr(values, name)
    return quote(value.encode("utf-8", "replace")[:600], safe="")
