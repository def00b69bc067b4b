"""The ports through which the outbox has mail made: account mail, which may stand nowhere and is made when it is sent, and users' templates.

Before it: the courier has a message with such a template (`letter.MINTED`) that is due. After it: the text, which goes to the server and is
forgotten. `accounts` answers it; the outbox knows neither what an AccountRecovery is nor which key signs.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from watchbell.mail.document import Rendered
from watchbell.mail.template import TemplateProblem
from watchbell.outbox.letters.letter import Flaw
from watchbell.outbox.outlet import Unavailable

__all__ = ["NO_MINTER", "NO_WORDS", "Flaw", "Minter", "Unavailable", "Words"]


class Words(Protocol):
    """Where EmailTemplates are rendered (`templates.Templates`), within bounds of work and size."""

    async def render(
        self, namespace: str, name: str, values: Mapping[str, Any], given: Mapping[str, str] | None = None
    ) -> Rendered | TemplateProblem:
        """The mail, or why there is none."""
        ...


class _NoWords:
    """A process without users' templates."""

    async def render(
        self, namespace: str, name: str, values: Mapping[str, Any], given: Mapping[str, str] | None = None
    ) -> Rendered | TemplateProblem:
        del values, given
        return TemplateProblem("", f"this process renders no templates, so not {namespace}/{name}")


NO_WORDS: Words = _NoWords()


class Minter(Protocol):
    """Who makes such mails."""

    async def mint(self, message: Mapping[str, Any]) -> Rendered | Flaw | Unavailable:
        """The mail of this EmailMessage, the same at every call. A Flaw is for good; Unavailable may pass, and no attempt is counted."""
        ...


class _NoMinter:
    """An outbox without account mail."""

    async def mint(self, message: Mapping[str, Any]) -> Rendered | Flaw | Unavailable:
        return Flaw("spec.templateRef.builtin", f"{message['metadata']['name']}: this process makes no account mail")


NO_MINTER: Minter = _NoMinter()
