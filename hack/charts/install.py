"""``python -m charts.install [--values FILE]``: the chart as plain manifests for ``kubectl apply``, on standard output.

The same templates as with Helm, with the operator's namespace before them and without the pod of ``helm test``.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from controlplane import ControlPlaneError, binary

CHART = Path(__file__).resolve().parents[2] / "charts" / "watchbell"
NAMESPACE = "watchbell-system"
KUBERNETES = "1.30.0"
"""Which version the manifests are for: the oldest that the chart supports."""
_HEAD = f"""# Made from charts/watchbell by `make install-yaml`.
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def manifests(*arguments: str) -> str:
    """The manifests; ``arguments`` go to ``helm template``. Raises ControlPlaneError with what Helm says."""
    command = [str(binary("helm")), "template", "watchbell", str(CHART), f"--namespace={NAMESPACE}"]
    fixed = [f"--kube-version={KUBERNETES}", "--no-hooks", "--set=crds.keep=false"]
    done = subprocess.run([*command, *fixed, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ControlPlaneError(done.stderr.strip())
    return _HEAD + done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 with a sentence if it cannot be rendered."""
    parser = argparse.ArgumentParser(prog="python -m charts.install", description=__doc__)
    parser.add_argument("--values", action="append", default=[], metavar="FILE", help="values for the chart")
    asked = parser.parse_args(arguments)
    try:
        sys.stdout.write(manifests(*(f"--values={path}" for path in asked.values)))
    except ControlPlaneError as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
