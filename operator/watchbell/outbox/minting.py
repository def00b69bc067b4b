"""The port through which the outbox has a mail made that may stand nowhere: account mail, whose text is made when it is sent.

Before it: the courier has a message with such a template, whose connector is ready. After it: the text, which goes to the server and is forgotten.
`accounts` answers it; the outbox knows neither what an AccountRecovery is nor which key signs.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from watchbell.api.enums import BuiltinTemplate
from watchbell.mail.document import Rendered
from watchbell.outbox.letter import Flaw
from watchbell.outbox.outlet import Unavailable

__all__ = ["MINTED", "Flaw", "Minter", "Unavailable"]

MINTED = frozenset({BuiltinTemplate.PASSWORD_RESET, BuiltinTemplate.RECOVERY_CODES})
"""Templates of mails that are made in this way."""


class Minter(Protocol):
    """Who makes such mails."""

    async def mint(self, message: Mapping[str, Any]) -> Rendered | Flaw | Unavailable:
        """The mail of this EmailMessage, the same at every call. A Flaw is for good; Unavailable may pass, and no attempt is counted."""
        ...
