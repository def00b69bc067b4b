"""One line for each unit of work, the same keys in both forms, and nothing of kopf's chatter."""

import ast
import json
import logging
from pathlib import Path

import pytest

from watchbell.logs import KEYS, JsonFormatter, TextFormatter, about, set_up
from watchbell.settings import LogFormat

LEVELS = {"debug", "info", "warning", "error", "exception"}
SOURCE = Path(__file__).resolve().parents[2] / "operator/watchbell"


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


def given_keys():
    """Every key that the source gives to `about`, also through a function or a dict that is unpacked there."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        for call in calls:
            if not (isinstance(call.func, ast.Name) and call.func.id == "about"):
                continue
            assert not call.args
            for keyword in call.keywords:
                if keyword.arg is not None:
                    yield keyword.arg
                    continue
                assert isinstance(keyword.value, ast.Call), (
                    f"{path}: what is unpacked must be a function of this module"
                )
                (made,) = (one for one in ast.walk(tree) if getattr(one, "name", "") == keyword.value.func.id)
                dicts = [one for one in ast.walk(made) if isinstance(one, ast.Dict)]
                assert dicts
                yield from (key.value for one in dicts for key in one.keys)


def test_the_table_holds_every_key_that_a_line_can_have_and_no_other():
    always = {"time", "level", "logger", "msg", "error"}
    assert set(given_keys()) | always == set(KEYS)
    assert set(json.loads(JsonFormatter().format(record(error=True)))) == always


def test_no_key_is_hidden_by_one_that_every_line_has():
    assert {"time", "level", "logger", "msg"}.isdisjoint(given_keys())


def test_a_line_says_what_it_is_about_by_the_table_only():
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                given = [keyword.value for keyword in node.keywords if keyword.arg == "extra"]
                assert all(isinstance(one, ast.Call) and one.func.id == "about" for one in given), path
