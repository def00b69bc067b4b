"""Kubernetes quantities (pure): one spelling for equal amounts, so that `1Gi`, `1024Mi` and `1073741824` are no drift.

Before: `drift` and `baseline` have a quantity as a spec writes it. After: they compare canonical text. Grammar: apimachinery's resource.Quantity
(`<signedNumber><suffix>`, suffixes Ki…Ei, n u m k M G T P E, or a decimal exponent). What is no quantity stays as it is written.
"""

import re
from decimal import Decimal
from functools import lru_cache

_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?", re.ASCII)
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
LENGTH_MAX = 64
EXPONENT_MAX = 64
"""More than any amount needs; a hand-written `1e999999` is not worth a gigabyte of digits."""


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """Plain decimal digits without trailing zeros (`0.1`, `1073741824`), the same for equal amounts. What is no quantity comes back unchanged."""
    match = _QUANTITY.fullmatch(text) if len(text) <= LENGTH_MAX else None
    if match is None:
        return text
    amount = _amount(match[1], match[2] or "")
    return text if amount is None else _plain(amount)


def is_same(one: str, other: str) -> bool:
    """Whether both are the same amount."""
    return one == other or canonical(one) == canonical(other)


def _amount(number: str, suffix: str) -> Decimal | None:
    value = Decimal(number)
    if suffix in _BINARY:
        return _scaled(value, 1024 ** _BINARY[suffix])
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:] or 0)
    if abs(exponent) > EXPONENT_MAX:
        return None
    sign, digits, own = value.as_tuple()
    return Decimal((sign, digits, int(own) + exponent))


def _scaled(value: Decimal, factor: int) -> Decimal:
    """Exact, whatever the context's precision is."""
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits))) * factor
    return Decimal((sign, tuple(map(int, str(whole))), int(exponent)))


def _plain(amount: Decimal) -> str:
    if not amount:
        return "0"
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
