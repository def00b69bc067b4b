"""`watchbell convert FORMAT FILE`: the SMTP settings of another program as a SmtpConnector and the template of its Secret.

Before: the flags. Nothing is applied and nothing is dialled. What could not be taken over is said on stderr and as comments in the YAML.
"""

import argparse
import sys
from pathlib import Path

from watchbell.api.enums import TlsMode
from watchbell.cli.console import CommandError, complain, print_list
from watchbell.convert import alertmanager, django, grafana, javamail, objects, settings
from watchbell.convert.draft import Draft, UnreadableError, Verdict

MAX_FILE_BYTES = 4 * 1024 * 1024


def _settings(text: str) -> Draft:
    return settings.drafted(settings.read_json(text) if text.lstrip().startswith("{") else settings.read_env(text))


READERS = {
    "javamail": javamail.drafted,
    "settings": _settings,
    "alertmanager": alertmanager.drafted,
    "grafana": grafana.drafted,
    "django": django.drafted,
}


def do(flags: argparse.Namespace) -> int:
    """0 converted (perhaps with notes), 1 with --strict something was refused, or it makes no valid connector; 2 the file cannot be read."""
    try:
        draft = READERS[flags.format](_text(flags.file))
    except UnreadableError as error:
        complain(f"{flags.file}: {error}")
        return 2
    except CommandError as error:
        complain(error)
        return error.code
    _complete(draft, flags.sender)
    connector = objects.connector(draft, flags.name, flags.namespace)
    for note in draft.notes:
        complain(note)
    if isinstance(connector, tuple):
        for problem in connector:
            complain(f"the result is no valid SmtpConnector: {problem}")
        return 1
    secret = objects.secret(draft, flags.name, flags.namespace, with_password=flags.with_secret)
    bodies = tuple(body for body in (secret, connector) if body is not None)
    if flags.output == "json":
        print_list(bodies, "json")
    else:
        print(objects.text_of(bodies, tuple(draft.notes), flags.format), end="")
    return 1 if flags.strict and any(note.verdict is Verdict.REFUSED for note in draft.notes) else 0


def _text(name: str) -> str:
    if name == "-":
        return sys.stdin.read(MAX_FILE_BYTES)
    try:
        with Path(name).open(encoding="utf-8-sig") as file:
            return file.read(MAX_FILE_BYTES)
    except UnicodeError:
        raise CommandError(f"{name} is not text in UTF-8", 2) from None
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}", 2) from error


def _complete(draft: Draft, sender: str | None) -> None:
    """A connector must have a From address; the login's is the likeliest where none was set."""
    if draft.mode is TlsMode.NONE and draft.logs_in:
        draft.change(
            "login",
            "the password travels in clear text, as before: that needs an operator with --allow-insecure-tls; better use STARTTLS",
        )
    if sender:
        draft.sender = sender
    elif not draft.sender and "@" in draft.username:
        draft.sender = draft.username
        draft.change("from", f"not set: the login {draft.username} is taken; --from names another")
