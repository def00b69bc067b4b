"""``python -m realimage``: makes the base image and fetches what builds on it, so that the tests start at once."""

import sys

from controlplane import ControlPlaneError
from realimage import prepare

if __name__ == "__main__":
    try:
        print(prepare())
    except ControlPlaneError as problem:
        print(problem, file=sys.stderr)
        sys.exit(1)
