"""How much work a mail may be: counted, not timed.

Before: `template_engine` asks before each step. After: the step is taken, or a RefusalError ends the mail. The same template with the same values
always ends the same way, whatever else the machine does. `MAX_WORK` is such that the worst that was found (`tests/unit/test_template_hostile.py`)
stays below 100 ms of CPU.
"""

from io import StringIO

from liquid.token import Token

from watchbell.mail.template_syntax import RefusalError

MAX_WORK = 20_000
MAX_OUTPUT_BYTES = 262_144
_CHARACTERS_A_UNIT = 128
_ITEMS_A_UNIT = 16
_COMPARISONS_A_UNIT = 2_048


class Meter:
    """The work that is left for one mail, in units of about a microsecond or two."""

    def __init__(self, work: int = MAX_WORK) -> None:
        self.left = work

    def charge(self, units: int, token: Token | None = None) -> None:
        """Raises RefusalError when nothing is left."""
        self.left -= units
        if self.left < 0:
            raise RefusalError("takes too much work; loop over less, or filter shorter texts", token=token)

    def charge_for(self, value: object, token: Token | None = None) -> None:
        """By the size of a value that is about to be read, compared, filtered or written."""
        match value:
            case str():
                self.charge(1 + len(value) // _CHARACTERS_A_UNIT, token)
            case list() | dict():
                self.charge(1 + len(value) // _ITEMS_A_UNIT, token)
            case _:
                self.charge(1, token)

    def charge_search(self, value: object, searched: object, token: Token | None = None) -> None:
        """For a search that may compare every character of one with every character of the other."""
        if isinstance(value, str) and isinstance(searched, str):
            self.charge(len(value) * len(searched) // _COMPARISONS_A_UNIT, token)


class MeteredOutput(StringIO):
    """Takes what is written, up to the bound; what a `capture` takes in counts the same way."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.size = 0
        self._meter = meter

    def write(self, text: str, /) -> int:
        """Pays for the text; RefusalError when it is too much."""
        self._meter.charge(len(text) // _CHARACTERS_A_UNIT)
        self.size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self.size > MAX_OUTPUT_BYTES:
            raise RefusalError(f"makes more than {MAX_OUTPUT_BYTES // 1024} KiB", token=None)
        return super().write(text)
