"""The list of the operator's rights, `charts/watchbell/files/rights.yaml`, typed. The chart's templates read the same file."""

from dataclasses import dataclass
from pathlib import Path

import yaml

SCOPES = ("cluster", "watched", "home", "default")


@dataclass(frozen=True, slots=True)
class Right:
    """One rule. ``when`` is the value of the chart that gives it, ``names`` the only objects it is for."""

    scope: str
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    when: str = ""
    names: tuple[str, ...] = ()


def read_rights(path: Path) -> tuple[Right, ...]:
    """All rules in the file's order. Raises TypeError for a key that there is not, ValueError for an unknown scope."""
    rights = tuple(_right(entry) for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["rights"])
    for right in rights:
        if right.scope not in SCOPES:
            raise ValueError(f"{path}: scope must be one of {', '.join(SCOPES)}, not {right.scope}")
    return rights


def _right(entry: dict[str, object]) -> Right:
    return Right(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})  # type: ignore[arg-type]
