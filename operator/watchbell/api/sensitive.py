"""A value that must never be shown: passwords, tokens, private keys.

The type travels from the Secret to the one line that writes it to the wire. Whatever prints, logs, formats, compares for display or pickles it on
the way gets a mask of fixed length, so not even the length of a password can be read off.
"""

import hmac

MASK = "********"


class Sensitive:
    """Holds a text whose ``repr``, ``str`` and ``format`` are the mask; only `reveal` gives it out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Call it only where it is written to the wire or signed with."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sensitive) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Sensitive, self._value))

    def __reduce__(self) -> str:
        raise TypeError("a sensitive value may not be pickled or copied out of the process")
