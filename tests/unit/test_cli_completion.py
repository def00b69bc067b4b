"""`watchbell completion`: bash really completes; fish gets a line for each verb and flag."""

import re
import subprocess

import pytest

from watchbell.cli.completion import script
from watchbell.cli.main import main, parser

SCRIPTS = {shell: script(parser(), shell) for shell in ("bash", "zsh", "fish")}


def completed(*words: str) -> list[str]:
    """What bash offers for the last of the words."""
    line = " ".join(f"'{word}'" for word in words)
    program = f'{SCRIPTS["bash"]}\nCOMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _watchbell; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("watchbell", "doc"), ["doctor"]),
        (("watchbell", "doctor", "e"), ["explain"]),
        (("watchbell", "silence", "-n", "shop", "cr"), ["create"]),
        (("watchbell", "doctor", "run", "--operator-n"), ["--operator-namespace"]),
        (("watchbell", "doctor", "run", "--platform", ""), ["kubectl", "helm", "gitops"]),
        (("watchbell", "probe", "host", "--tls", "i"), ["implicit"]),
        (("watchbell", "convert", "ja"), ["javamail"]),
        (("watchbell", "completion", "f"), ["fish"]),
    ],
)
def test_bash_completes_verbs_flags_and_their_words(words, expected):
    assert completed(*words) == expected


def test_every_verb_is_offered_in_every_shell():
    verbs = set(completed("watchbell", "")) - {"--help", "-h", "--version"}
    assert {"doctor", "probe", "status", "test", "grant", "convert", "report", "silence", "run"} <= verbs
    for verb in verbs:
        assert re.search(rf"-a {verb}\b", SCRIPTS["fish"])
        assert f" {verb} " in SCRIPTS["zsh"]


def test_every_line_for_fish_is_one_command():
    lines = SCRIPTS["fish"].splitlines()
    after = lines[lines.index("end") + 1 :]
    assert len(after) > 100
    assert all(line.startswith("complete -c watchbell ") for line in after)
    assert all(len(re.sub(r"\\'", "", line).split("'")) % 2 == 1 for line in after), "quotes are closed"


def test_zsh_gets_bashs_script_with_its_own_head(capsys):
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef watchbell\n")
