"""The program `watchbell`: reads the command line, calls one verb, turns an expected failure into one sentence and an exit code.

Exit codes: 0 done; 1 could not be done (the sentence says why); 2 the command line was wrong.
"""

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from typing import NoReturn

from watchbell import __version__
from watchbell.settings import SettingError, add_options, read_settings


class OneSentenceParser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage, which is longer than a screen, stands in `--help`."""

    def error(self, message: str) -> NoReturn:
        """Ends with exit code 2."""
        self.exit(2, f"watchbell: {message}; see: {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = OneSentenceParser(prog="watchbell", description="Mail that a cluster can rely on.")
    root.add_argument("--version", action="version", version=version())
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    run = verbs.add_parser(
        "run",
        help="run the operator, in the cluster or beside it with KUBECONFIG",
        description="Run the operator. Each flag is also an environment variable WATCHBELL_…; the flag wins.",
    )
    run.add_argument(
        "--kubeconfig",
        default=None,
        metavar="FILE",
        help="kubeconfig to use (default $KUBECONFIG, the pod's account, ~/.kube/config)",
    )
    run.add_argument("--context", default=None, metavar="NAME", help="context of the kubeconfig")
    add_options(run)
    verbs.add_parser("version", help="print the version")
    return root


def version() -> str:
    """`watchbell 0.1.0 (Python 3.13.0)`."""
    return f"watchbell {__version__} (Python {platform.python_version()})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code is returned."""
    flags = parser().parse_args(arguments)
    if flags.verb == "version":
        print(version())
        return 0
    try:
        settings = read_settings(vars(flags), os.environ)
    except SettingError as error:
        print(f"watchbell: {error}", file=sys.stderr)
        return 2
    # Imported late: `watchbell version` and a wrong flag need not wait for kopf.
    from watchbell.start import operate  # noqa: PLC0415 - see above

    return operate(settings, flags.kubeconfig, flags.context)


if __name__ == "__main__":
    sys.exit(main())
