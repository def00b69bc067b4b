"""docs/sending.md says what is so: its types and reasons are those of the code."""

import re
from pathlib import Path

from watchbell.api.media import MEDIA_TYPES
from watchbell.api.reasons import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "sending.md").read_text(encoding="utf-8")


def test_the_page_lists_every_type_that_may_go_with_a_mail() -> None:
    rows = re.findall(r"^\| `(\w+/)` \| (.*) \|$", PAGE, re.MULTILINE)
    listed = {top + sub for top, subs in rows for sub in re.findall(r"`([a-z0-9][a-z0-9.-]*)`", subs)}
    assert listed == MEDIA_TYPES


def test_every_reason_of_the_page_is_one() -> None:
    table = PAGE.split("## When something is not right")[1].split("## ")[0]
    named = {word for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)}
    assert len(named) > 12
    assert named - {"reason"} <= {str(reason) for reason in Reason}
