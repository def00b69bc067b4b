"""The port through which the outbox has a mail made that may stand nowhere: account mail, whose text is made when it is sent.

Before it: the courier has a message with such a template (`letter.MINTED`) that is due. After it: the text, which goes to the server and is
forgotten. `accounts` answers it; the outbox knows neither what an AccountRecovery is nor which key signs.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from watchbell.mail.document import Rendered
from watchbell.outbox.letter import Flaw
from watchbell.outbox.outlet import Unavailable

__all__ = ["NO_MINTER", "Flaw", "Minter", "Unavailable"]


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
