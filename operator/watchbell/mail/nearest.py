"""What somebody may have meant by a name that does not exist. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAMES = 200
MAX_CHARACTERS = 64


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`; empty if none is."""
    names = sorted(one for one in known if len(one) <= MAX_CHARACTERS)[:MAX_NAMES]
    matches = get_close_matches(name[:MAX_CHARACTERS], names, n=1, cutoff=0.6)
    return matches[0] if matches else ""
