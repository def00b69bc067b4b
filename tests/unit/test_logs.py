"""One line for each unit of work, the same keys in both forms, and nothing of kopf's chatter."""

import json
import logging

import pytest

from watchbell.logs import JsonFormatter, TextFormatter, about, set_up
from watchbell.settings import LogFormat


@pytest.fixture
def _kept_logging():
    root, ours = logging.getLogger(), logging.getLogger("watchbell")
    kept = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], level, our_level = kept
    root.setLevel(level)
    ours.setLevel(our_level)


def record(message="probed %s", *args, error=False, **fields):
    info = None
    if error:
        failure = ValueError("broken\nin two lines")
        info = (type(failure), failure, None)
    made = logging.LogRecord("watchbell.x", logging.INFO, __file__, 1, message, args or ("it",), info)
    made.__dict__.update(about(**fields))
    return made


def test_json_is_one_line_with_time_level_and_fields():
    line = JsonFormatter().format(record(connector="prod/default", reason=None, attempts=0, nothing=""))
    parsed = json.loads(line)
    assert "\n" not in line
    assert parsed.pop("time").endswith("Z")
    assert parsed == {
        "level": "info", "logger": "watchbell.x", "msg": "probed it", "connector": "prod/default", "attempts": 0
    }  # fmt: skip


def test_a_traceback_stays_on_the_line():
    line = JsonFormatter().format(record(error=True))
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["error"]


def test_what_json_does_not_know_is_written_as_text():
    assert json.loads(JsonFormatter().format(record(where={1}, kind=LogFormat.JSON)))["kind"] == "json"


def test_text_is_for_people():
    line = TextFormatter().format(record(connector="prod/default"))
    assert line.endswith("INFO    probed it connector=prod/default")


@pytest.mark.usefixtures("_kept_logging")
def test_only_our_own_lines_come_below_warning(capsys):
    set_up("debug", LogFormat.JSON)
    logging.getLogger("watchbell.outbox").debug("ours")
    logging.getLogger("kopf.objects").info("theirs")
    logging.getLogger("aiohttp.access").info("theirs")
    logging.getLogger("kopf").warning("a warning of theirs")
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["msg"] for line in err.splitlines()] == ["ours", "a warning of theirs"]


@pytest.mark.usefixtures("_kept_logging")
def test_the_level_is_kept(capsys):
    set_up("error", LogFormat.TEXT)
    logging.getLogger("watchbell.outbox").warning("hidden")
    logging.getLogger("watchbell.outbox").error("shown")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["shown"]
