"""The command line: verbs, versions, and one sentence for what is wrong."""

import subprocess
import sys

import pytest

from watchbell import __version__
from watchbell.cli.main import main, parser
from watchbell.settings import OPTIONS


def test_the_version_is_printed(capsys):
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"watchbell {__version__} (Python 3.")


def test_the_version_is_there_as_a_flag_too(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "the following arguments are required: VERB; see: watchbell --help"),
        (["fly"], "invalid choice: 'fly' (choose from run, "),
        (["prob"], "invalid choice: 'prob' (did you mean probe?); see: watchbell --help"),
        (["silence", "exipre"], "invalid choice: 'exipre' (did you mean expire?); see: watchbell silence --help"),
        (["run", "--fly"], "unrecognized arguments: --fly; see: watchbell run --help"),
        (["probe", "host", "--tsl=implicit"], "unrecognized arguments: --tsl=implicit; did you mean --tls?"),
        (["run", "--send-workers"], "expected one argument; see: watchbell run --help"),
        (["run", "--send-workers=many"], "--send-workers must be a whole number from 1 to 64, not 'many'"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line_with_exit_code_2(arguments, told, capsys):
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.startswith("watchbell: ")
    assert told in err
    assert len(err.splitlines()) == 1


def test_every_option_is_explained_in_the_help(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["run", "--help"])
    text = capsys.readouterr().out
    for option in OPTIONS:
        assert option.flag in text
    assert "--kubeconfig" in text


def test_a_short_answer_does_not_wait_for_the_operators_libraries():
    script = (
        "import sys; from watchbell.cli.main import main; main(['version']); "
        "sys.exit(any(name in sys.modules for name in ('kopf', 'aiohttp', 'pydantic', 'asyncio')))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
