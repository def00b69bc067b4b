"""`watchbell completion bash|zsh|fish`: a script that completes verbs, flags and their words, made from the parser itself (pure, but for the print).

The script holds everything, so that no program is started at each press of Tab.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

PROGRAM = "watchbell"


@dataclass(frozen=True, slots=True)
class Node:
    """One verb: its path (`silence create`), what may follow it, and the words of flags that take one of a few."""

    path: tuple[str, ...]
    verbs: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, str], ...]
    words: tuple[tuple[str, tuple[str, ...]], ...]
    arguments: tuple[str, ...]


def script(root: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell."""
    nodes = tuple(_nodes(root, ()))
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](nodes)


def _nodes(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[Node]:
    verbs: list[tuple[str, str]] = []
    inner: list[tuple[str, argparse.ArgumentParser]] = []
    flags: list[tuple[str, str]] = []
    words: list[tuple[str, tuple[str, ...]]] = []
    arguments: tuple[str, ...] = ()
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to ask
        choices = tuple(map(str, action.choices or ()))
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - see above
            helps = {one.dest: str(one.help or "") for one in action._choices_actions}  # noqa: SLF001 - see above
            verbs += [(name, helps.get(name, "")) for name in action.choices]
            inner += list(action.choices.items())
        elif action.option_strings:
            flags += [(option, str(action.help or "")) for option in action.option_strings]
            words += [(option, choices) for option in action.option_strings if choices]
        elif choices:
            arguments += choices
    yield Node(path, tuple(verbs), tuple(flags), tuple(words), arguments)
    for name, child in inner:
        yield from _nodes(child, (*path, name))


def _bash(nodes: tuple[Node, ...]) -> str:
    cases = "".join(f"    {_quoted(' '.join(node.path))}) words={_quoted(_offered(node))};;\n" for node in nodes)
    values = "".join(
        f'    {_quoted(" ".join((*node.path, flag)))}) COMPREPLY=($(compgen -W {_quoted(" ".join(words))} -- "$cur")); return;;\n'
        for node in nodes
        for flag, words in node.words
    )
    verbs = " ".join(
        sorted({" ".join((*node.path, name)).replace(" ", "/") for node in nodes for name, _ in node.verbs})
    )
    return f"""# bash completion for watchbell; source it, or put it into /etc/bash_completion.d/watchbell
_watchbell() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" prev="${{COMP_WORDS[COMP_CWORD-1]}}" path="" words="" word next
  local verbs=" {verbs} "
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    next="${{path:+$path/}}$word"
    [[ $verbs == *" $next "* ]] && path="$next"
  done
  path="${{path//\\// }}"
  case "${{path:+$path }}$prev" in
{values}  esac
  case "$path" in
{cases}  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  [[ ${{#COMPREPLY[@]}} -eq 0 && $cur != -* ]] && COMPREPLY=($(compgen -f -- "$cur"))
}}
complete -F _watchbell {PROGRAM}
"""


def _offered(node: Node) -> str:
    return " ".join([*(name for name, _ in node.verbs), *node.arguments, *(name for name, _ in node.flags)])


def _zsh(nodes: tuple[Node, ...]) -> str:
    """Zsh runs bash's completions as they are (zshcompsys, bashcompinit)."""
    return f"#compdef {PROGRAM}\nautoload -U +X bashcompinit && bashcompinit\n{_bash(nodes)}"


def _fish(nodes: tuple[Node, ...]) -> str:
    lines = [f"# fish completion for {PROGRAM}; put it into ~/.config/fish/completions/{PROGRAM}.fish", _FISH_HELPER]
    for node in nodes:
        condition = _quoted(f"__watchbell_at {' '.join(node.path)}".rstrip())
        has_files = "" if node.path and not node.verbs else " -f"
        lines += [
            f"complete -c {PROGRAM}{has_files} -n {condition} -a {name} -d {_quoted(text)}" for name, text in node.verbs
        ]
        lines += [f"complete -c {PROGRAM} -n {condition} -a {word}" for word in node.arguments]
        choices = dict(node.words)
        for flag, text in node.flags:
            option = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            values = f" -x -a {_quoted(' '.join(choices[flag]))}" if flag in choices else ""
            lines.append(f"complete -c {PROGRAM} -n {condition} {option}{values} -d {_quoted(text)}")
    return "\n".join(lines) + "\n"


_FISH_HELPER = """function __watchbell_at
  set -l words (commandline -opc)[2..-1]
  set -l path
  for word in $words
    string match -q -- '-*' $word; and continue
    set -a path $word
  end
  set -l wanted $argv
  test (count $wanted) -eq 0; and test (count $path) -eq 0; and return 0
  test (count $wanted) -eq 0; and return 1
  test "$path[1..(count $wanted)]" = "$wanted"
end"""


def _quoted(text: str) -> str:
    """For all three shells alike: in single quotes, a quote itself between two such runs."""
    inner = text.replace("\\", "").replace("'", "'\\''")
    return f"'{inner}'"
