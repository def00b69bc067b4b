"""Whom a telling goes to (pure): routes by severity, kind and whether they want to hear of ends; and addresses as people write them into a ConfigMap.

Before: a telling is due. After: `recipients` reads what a route names, `telling` makes a mail for each route that takes it.
"""

import re
from collections.abc import Iterable

from watchbell.api.enums import ResolvedMail, Transition
from watchbell.api.route import Route
from watchbell.collectors.casework.incidents import Incident, is_worse
from watchbell.mail.address import AddressProblem, parse_mailbox

RECIPIENTS_MAX = 100
TEXT_MAX = 16_384


def takes(route: Route, incident: Incident) -> bool:
    """Whether the route wants the pending telling of this incident.

    What was never told as trouble, because a silence held it back until it was over, is news and no end to the route.
    """
    pending = incident.pending
    is_end = pending is not None and pending.transition is Transition.RESOLVED and len(incident.notifications) > 1
    if is_end and route.resolved is ResolvedMail.OMIT:
        return False
    if is_worse(route.min_severity, incident.severity):
        return False
    return not route.kinds or incident.kind in route.kinds or incident.worst in route.kinds


def reaches_all(routes: Iterable[Route], told: Incident, hidden: Incident) -> bool:
    """Whether everybody who would hear of `hidden` hears of `told`."""
    return all(takes(route, told) for route in routes if takes(route, hidden))


_ADDRESS = re.compile(r'(?:"[^"]*"|[^,;"])+')
"""A comma in a quoted name divides nothing."""


def read_addresses(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Addresses divided by commas, semicolons or lines: the good ones, and what is wrong with the others. A line that begins with `#` is a note."""
    good: dict[str, None] = {}
    bad: list[str] = []
    lines = (line for line in text[:TEXT_MAX].splitlines() if not line.lstrip().startswith("#"))
    for part in (found for line in lines for found in _ADDRESS.findall(line)):
        address = part.strip()
        parsed = parse_mailbox(address) if address else None
        if isinstance(parsed, AddressProblem):
            bad.append(parsed.message)
        elif parsed is not None:
            good[address] = None
    return tuple(good)[:RECIPIENTS_MAX], tuple(bad)
