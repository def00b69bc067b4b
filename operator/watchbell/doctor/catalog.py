"""Every check, and which of them are wanted (pure). Before: flags. After: `examine` runs them over the facts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watchbell.doctor import (
    checks_cluster,
    checks_connectors,
    checks_files,
    checks_mail,
    checks_operator,
    checks_secrets,
    checks_smtp,
)
from watchbell.doctor.facts import Facts
from watchbell.doctor.model import PREFIX, Check, Finding, Result, Severity, Status
from watchbell.mail.nearest import nearest

CHECKS: tuple[Check, ...] = (
    *checks_cluster.CHECKS,
    *checks_operator.CHECKS,
    *checks_connectors.CHECKS,
    *checks_secrets.CHECKS,
    *checks_smtp.CHECKS,
    *checks_mail.CHECKS,
    *checks_files.CHECKS,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """Which checks; empty = all. An id stands for itself and everything below it: `check.integration.smtp` for all of its stages."""

    ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    least: Severity = Severity.INFO
    is_quick: bool = False


class UnknownCheckError(ValueError):
    """No check has this id; the text names the nearest one."""


def full_id(text: str) -> str:
    """`integration.smtp` and `check.integration.smtp` alike, if there is such a check or group. Raises UnknownCheckError."""
    wanted = text if text.startswith(PREFIX) else PREFIX + text
    if not any(_is_below(check.id, wanted) for check in CHECKS):
        near = nearest(wanted, [*(check.id for check in CHECKS), *groups()])
        hint = f"did you mean {near}?" if near else "see: watchbell doctor list"
        raise UnknownCheckError(f"there is no check {text}; {hint}")
    return wanted


def groups() -> tuple[str, ...]:
    """The ids that stand for several checks."""
    found = {check.id.rsplit(".", depth)[0] for check in CHECKS for depth in range(1, check.id.count("."))}
    return tuple(sorted(found))


def chosen(wish: Wish) -> tuple[Check, ...]:
    """The checks that are wanted, in the order of the catalogue. Raises UnknownCheckError."""
    ids = tuple(full_id(text) for text in wish.ids)
    return tuple(check for check in CHECKS if _fits(check, wish, ids))


def _fits(check: Check, wish: Wish, ids: Sequence[str]) -> bool:
    return (
        (not ids or any(_is_below(check.id, wanted) for wanted in ids))
        and (not wish.categories or check.category in wish.categories)
        and (not wish.tags or bool(set(wish.tags) & set(check.tags)))
        and check.severity.rank >= wish.least.rank
        and (check.is_quick or not wish.is_quick)
    )


def _is_below(id_: str, wanted: str) -> bool:
    return id_ == wanted or id_.startswith(f"{wanted}.")


def examine(facts: Facts, checks: Sequence[Check]) -> tuple[Result, ...]:
    """What the checks find. A check that finds nothing to look at is not in the result."""
    return tuple(Result(check, finding) for check in checks for finding in _found(check, facts))


def _found(check: Check, facts: Facts) -> Iterator[Finding]:
    """A check that breaks is a finding of its own: one wrong object must not hide what the others say."""
    try:
        found = list(check.judge(facts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield Finding(
            Status.ERROR,
            f"the check itself failed ({type(error).__name__}): please report it; the other checks are not touched",
        )
        return
    yield from found


def worst(results: Sequence[Result]) -> int:
    """The highest weight; -1 if nothing was found."""
    return max((result.weight for result in results), default=-1)
