"""``python -m controlplane up | build NAME... | path NAME | list``: the builder on the command line."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from controlplane import ControlPlaneError, binary, start
from controlplane.programs import PROGRAMS


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; 0, or 1 with a sentence on stderr."""
    asked = _parser().parse_args(arguments)
    try:
        match asked.command:
            case "up":
                _up(asked)
            case "build":
                for name in asked.names:
                    print(binary(name))
            case "path":
                print(binary(asked.name))
            case _:
                for program in PROGRAMS.values():
                    print(f"{program.name:24} {program.version}")
    except ControlPlaneError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _up(asked: argparse.Namespace) -> None:
    signals = {signal.SIGINT, signal.SIGTERM}
    with start(asked.directory, audit_log=asked.audit_log, with_controller_manager=asked.controller_manager) as plane:
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        print(plane.kubeconfig, flush=True)
        print(f"export KUBECONFIG={plane.kubeconfig}   # Ctrl-C here ends it", file=sys.stderr, flush=True)
        signal.sigwait(signals)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m controlplane", description="A real Kubernetes control plane, found or built."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start etcd and kube-apiserver, print the kubeconfig's path, stay until Ctrl-C")
    up.add_argument("--directory", type=Path, help="where its folder is made; default: the system's temporary folder")
    up.add_argument("--audit-log", type=Path, help="write each request as a JSON line to this file")
    up.add_argument("--controller-manager", action="store_true", help="start kube-controller-manager too")
    build = commands.add_parser("build", help="make programs ready and print their paths")
    build.add_argument("names", nargs="+", metavar="NAME")
    path = commands.add_parser("path", help="print the path of one program, made first if it is missing")
    path.add_argument("name", metavar="NAME")
    commands.add_parser("list", help="print the programs and their pinned versions")
    return parser


if __name__ == "__main__":
    sys.exit(main())
