"""The page about the command line, made from the parser itself, so that it cannot be wrong (pure).

Before: `main.parser`. After: `watchbell.reference` writes the page. Nothing of argparse's own layout is used: it differs from Python to Python.
"""

import argparse
from collections.abc import Iterator

HEAD = """# Commands of `watchbell`

`kubectl watchbell …` is the same program. Everything but `run` is done with the rights of whoever calls, in the namespace of `-n`, else of the
kubeconfig's context. Data goes to stdout, everything else to stderr; what cannot be done is one sentence.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | could not be done; of `baseline diff`: something differs; of `probe`: a stage failed; of `doctor`: a finding at or above `--fail-on` |
| 2 | the command line was wrong; of `baseline diff` also: it could not be told whether something differs |
| 4, 124 | of `doctor`: the cluster did not answer or refused; it took longer than `--timeout` |
| 130, 141 | interrupted by Ctrl-C; whoever read the output went away |

The flags of `watchbell run` have [a page of their own](flags.md).
"""
SHARED = frozenset({"--help", "--kubeconfig", "--context", "--namespace"})
"""On every verb alike; said once."""
_ON_OTHER_PAGES = frozenset({"watchbell run", "kubectl watchbell run"})
SHARED_TEXT = """
On all of them: `-n`/`--namespace NAME`, `--context NAME`, `--kubeconfig FILE` (default `$KUBECONFIG`, the pod's account, `~/.kube/config`).
"""


def commands_page(root: argparse.ArgumentParser) -> str:
    """Markdown: each verb with its flags."""
    return HEAD + SHARED_TEXT + "".join(_section(verb) for verb in _leaves(root))


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001 - argparse has no public way to ask
    for group in groups:
        for name, inner in group.choices.items():
            if name != "version" and inner.prog not in _ON_OTHER_PAGES:
                yield from _leaves(inner)
    if not groups:
        yield parser


def _section(verb: argparse.ArgumentParser) -> str:
    rows = [row for action in verb._actions if (row := _row(action))]  # noqa: SLF001 - see above
    table = "".join(["\n| argument | meaning |\n|---|---|\n", *rows]) if rows else ""
    examples = f"\n```console\n{_examples(verb.epilog)}```\n" if verb.epilog else ""
    return f"\n## {verb.prog}\n\n{verb.description}\n{examples}{table}"


def _examples(epilog: str) -> str:
    return "".join(f"{line.strip()}\n" for line in epilog.splitlines()[1:])


def _row(action: argparse.Action) -> str:
    if SHARED & set(action.option_strings):
        return ""
    value = "" if action.nargs == 0 else f" {action.metavar or '|'.join(map(str, action.choices or ()))}"
    names = ", ".join(f"`{option}{value}`" for option in action.option_strings) or f"`{value.strip()}`"
    many = " (one or more)" if action.nargs == "+" else ""
    names = names.replace("|", "\\|")
    return f"| {names} | {_escaped(str(action.help))}{many}{' (required)' if _is_required(action) else ''} |\n"


def _is_required(action: argparse.Action) -> bool:
    return bool(action.option_strings) and action.required


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
