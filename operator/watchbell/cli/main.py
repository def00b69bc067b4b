"""The program `watchbell`: reads the command line, calls one verb, turns an expected failure into one sentence and an exit code.

Exit codes: 0 done; 1 could not be done (the sentence says why); 2 the command line was wrong. `baseline diff` follows diff's own rule.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from watchbell import __version__
from watchbell.cli.diagnosisoptions import (
    add_completion,
    add_convert,
    add_doctor,
    add_grant,
    add_probe,
    add_report,
    add_status,
    add_test,
    with_default_action,
)
from watchbell.cli.options import (
    OneSentenceParser,
    add_access,
    add_account,
    add_baseline,
    add_incident,
    add_outbox,
    add_password,
    add_silence,
    add_template,
)
from watchbell.settings import SettingError, add_options, read_settings

DIAGNOSES = {
    "doctor": "doctor",
    "probe": "probe",
    "status": "status",
    "test": "connectortest",
    "grant": "grant",
    "convert": "convert",
    "report": "report",
}
"""The verb and its module, which has a `do`."""
PLUGIN_PREFIX = "kubectl-"
BROKEN_PIPE = 141


def parser(program: str = "watchbell") -> argparse.ArgumentParser:
    """The whole command line."""
    root = OneSentenceParser(prog=program, description="Mail that a cluster can rely on.")
    root.add_argument("--version", action="version", version=version())
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    run = verbs.add_parser(
        "run",
        help="run the operator, in the cluster or beside it with KUBECONFIG",
        description="Run the operator. Each flag is also an environment variable WATCHBELL_…; the flag wins.",
    )
    add_access(run, has_namespace=False)
    add_options(run)
    add_doctor(verbs)
    add_probe(verbs)
    add_status(verbs)
    add_test(verbs)
    add_grant(verbs)
    add_convert(verbs)
    add_report(verbs)
    add_completion(verbs)
    add_silence(verbs)
    add_incident(verbs)
    add_baseline(verbs)
    add_template(verbs)
    add_outbox(verbs)
    add_password(verbs)
    add_account(verbs)
    verbs.add_parser("version", help="print the version")
    return root


def version() -> str:
    """`watchbell 0.1.0 (Python 3.13.0)`."""
    return f"watchbell {__version__} (Python {sys.version.partition(' ')[0]})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is returned."""
    given = with_default_action(sys.argv[1:] if arguments is None else arguments)
    flags = parser(_program()).parse_args(given)
    try:
        code = _do(flags)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has seen enough (`| head`); Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code


def _program() -> str:
    """As a plugin of kubectl the program is called otherwise, and help should say what was typed."""
    return "kubectl watchbell" if Path(sys.argv[0]).name.startswith(PLUGIN_PREFIX) else "watchbell"


# Imported late, each group by itself: `watchbell version` and a wrong flag need not wait for asyncio, pydantic or kopf.
def _do(flags: argparse.Namespace) -> int:
    match flags.verb:
        case verb if verb in DIAGNOSES:
            return int(import_module(f"watchbell.cli.{DIAGNOSES[verb]}").do(flags))
        case "silence":
            from watchbell.cli import silence  # noqa: PLC0415 - see above

            return silence.do(flags)
        case "incident":
            from watchbell.cli import incident  # noqa: PLC0415 - see above

            return incident.do(flags)
        case "baseline":
            from watchbell.cli import baseline  # noqa: PLC0415 - see above

            return baseline.do(flags)
        case "template":
            from watchbell.cli import template  # noqa: PLC0415 - see above

            return template.do(flags)
        case "outbox":
            from watchbell.cli import outbox  # noqa: PLC0415 - see above

            return outbox.do(flags)
        case "set-password":
            from watchbell.cli import password  # noqa: PLC0415 - see above

            return password.do(flags)
        case "verify-token" | "verify-code":
            from watchbell.cli import account  # noqa: PLC0415 - see above

            return account.do(flags)
        case "completion":
            from watchbell.cli.completion import script  # noqa: PLC0415 - see above

            print(script(parser(), flags.shell), end="")
            return 0
        case "run":
            return _run(flags)
        case _:
            print(version())
            return 0


def _run(flags: argparse.Namespace) -> int:
    try:
        settings = read_settings(vars(flags), os.environ)
    except SettingError as error:
        print(f"watchbell: {error}", file=sys.stderr)
        return 2
    from watchbell.start import operate  # noqa: PLC0415 - see above

    return operate(settings, flags.kubeconfig, flags.context)


if __name__ == "__main__":
    sys.exit(main())
