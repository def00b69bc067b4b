"""Times as the API writes them: RFC 3339 in UTC and whole seconds. Pure; what every reader and writer of objects shares."""

from datetime import UTC, datetime


def stamp(time: datetime) -> str:
    """An aware time as text (`2026-11-21T14:02:11Z`)."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp_if_any(time: datetime | None) -> str | None:
    """The same of a time that may be absent."""
    return stamp(time) if time else None


def moment(text: str | None) -> datetime | None:
    """A time of the API as an aware datetime; None for absent or unreadable."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else None
