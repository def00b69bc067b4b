"""Logging: one line for each unit of work, JSON for machines or text for people, with the same keys everywhere.

Callers write `log.info("probed", extra=about(connector="prod/default", reason="Proven"))`. Addresses, subjects and secrets are never given.
"""

import datetime as dt
import logging
import sys
from typing import Any

import msgspec

from watchbell.settings import LogFormat

_FIELDS = "watchbell_fields"

KEYS = {
    "time": "When, in UTC with milliseconds, as RFC 3339 has it.",
    "level": "`debug`, `info`, `warning` or `error`.",
    "logger": "The module of the code.",
    "msg": "What happened, as a sentence; the same for the same thing, but where it holds the error of somebody else.",
    "error": "What went wrong: the text of an expected error, the traceback of an unexpected one.",
    "attempts": "How often the mail was tried so far.",
    "connector": "The connector, as `kind/namespace/name`.",
    "generation": "The generation of the object that was looked at.",
    "ghosts": "How many objects were still in memory that are gone.",
    "identity": "As whom this replica holds the Lease.",
    "incident": "The CollectorIncident, as `namespace/name`.",
    "kind": "The kind of the object or of the incident.",
    "leader_elect": "Whether this replica runs for the Lease.",
    "left": "How many mails were under way when the process had to end.",
    "mails": "How many mails tell it.",
    "message": "The EmailMessage, as `namespace/name`.",
    "namespace": "The namespace of what the line is about.",
    "object": "A Secret or ConfigMap, as `kind namespace/name`; never what is in it.",
    "part": "The part of the operator.",
    "pod": "The pod whose log lines were asked for.",
    "policy": "The CollectorPolicy.",
    "reason": "The reason, one of [conditions and reasons](../reference/conditions-and-reasons.md).",
    "result": "The status of the message's condition `Succeeded`: True, False or Unknown.",
    "selector": "The field selector of a list.",
    "tellings": "How many tellings a digest holds.",
    "test": "The SmtpTest.",
    "transition": "What of an incident was told: Fired, Repeated, Escalated or Resolved.",
    "version": "The version of watchbell.",
    "why": "Why tellings went into one digest.",
}
"""Every key that a line may have; people's queries stand on them, so a key may be added and never change its meaning."""


def about(**fields: object) -> dict[str, object]:
    """What a line is about, as its `extra`; values become JSON."""
    return {_FIELDS: {key: value for key, value in fields.items() if value not in (None, "")}}


def _time(record: logging.LogRecord) -> str:
    moment = dt.datetime.fromtimestamp(record.created, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """`{"time", "level", "logger", "msg", ...fields, "error"}` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line of JSON."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO  message key=value` for people."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line, and a traceback below it where there is one."""
        fields = " ".join(f"{key}={value}" for key, value in getattr(record, _FIELDS, {}).items())
        text = f"{_time(record)[11:-1]} {record.levelname:<7} {record.getMessage()} {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def set_up(level: str, form: LogFormat) -> None:
    """Send all logging to standard error in one form.

    kopf names every handled object at INFO (10,000 lines at a start), and aiohttp every request: both only from WARNING on.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("watchbell").setLevel(level.upper())
