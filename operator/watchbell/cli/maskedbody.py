"""Objects and logs with all masked that is nobody's business but their owner's (pure): contents of mails, addresses, what looks like a secret.

Before: bodies as the API gives them. After: `report` writes them.
"""

import re
from collections.abc import Mapping
from typing import Any

from watchbell.mail.redaction import redact

MASK = "********"
_CONTENTS = frozenset(
    {"body", "attachments", "parameters", "subject", "text", "html", "stringData", "data", "transcript"}
)
"""Fields that hold what people write to each other, or values of Secrets."""
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=[A-Za-z0-9-]+\.)")
_DROPPED = frozenset({"managedFields", "kubectl.kubernetes.io/last-applied-configuration"})


def masked(node: Any) -> Any:  # noqa: ANN401 - any JSON in, the same shape out
    """The same document without contents; of addresses the domain stays, since that is what goes wrong."""
    if isinstance(node, Mapping):
        return {
            key: MASK if key in _CONTENTS and value else masked(value)
            for key, value in node.items()
            if key not in _DROPPED
        }
    if isinstance(node, list | tuple):
        return [masked(item) for item in node]
    return masked_text(node) if isinstance(node, str) else node


def masked_text(text: str) -> str:
    """Without the local part of addresses, and without what looks like a secret."""
    return _ADDRESS.sub("***@", redact(text))
