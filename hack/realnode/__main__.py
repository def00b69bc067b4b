"""``python -m realnode up | record | cases | prepare``: a real node on the command line."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from controlplane import ControlPlaneError
from realnode import IMAGE, NODE_NAME, prepare, start
from realnode.cases import FOLDER as CASES_FOLDER
from realnode.cases import record_cases
from realnode.recorder import FOLDER, record


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0, or 1 with a sentence on stderr."""
    asked = _parser().parse_args(arguments)
    # A polite end ends the node too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if asked.command == "prepare":
            prepare()
            return 0
        with start(asked.directory, back_off_s=asked.back_off) as node:
            if asked.command == "record":
                record(node, asked.into)
            elif asked.command == "cases":
                record_cases(node, asked.into)
            else:
                print(node.plane.kubeconfig, flush=True)
                print(
                    f"export KUBECONFIG={node.plane.kubeconfig}   # node {NODE_NAME}, image {IMAGE}; Ctrl-C here ends it",
                    file=sys.stderr,
                    flush=True,
                )
                signal.pause()
    except ControlPlaneError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m realnode", description="A control plane and one real node; needs root."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--directory", type=Path, help="where its folders are made; default: the system's temporary folder"
    )
    common.add_argument(
        "--back-off", type=int, metavar="SECONDS", help="longest pause of a crash loop; default: Kubernetes' own"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", parents=[common], help="start it, print the kubeconfig's path, stay until Ctrl-C")
    commands.add_parser("prepare", help="build and fetch what a node needs, so that it starts at once later")
    record_ = commands.add_parser("record", parents=[common], help="record what its kubelet writes about crashing pods")
    record_.add_argument("--into", type=Path, default=FOLDER, metavar="FOLDER", help="default: hack/demo/recordings")
    cases = commands.add_parser("cases", parents=[common], help="record every way in which a pod fails or ends")
    cases.add_argument("--into", type=Path, default=CASES_FOLDER, metavar="FOLDER", help="default: tests/recordings")
    return parser


if __name__ == "__main__":
    sys.exit(main())
