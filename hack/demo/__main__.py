"""`python -m demo [--once] [--context NAME]`: exit code 0 only if every step happened."""

import argparse
import contextlib
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from controlplane import ControlPlaneError, binary, start
from demo.kubectl import Kubectl
from demo.process import OperatorProcess
from demo.relay import Relay
from demo.screen import StepFailedError, block, note, paint, step, title
from demo.stage import CRASH_IMAGE, ROOT, Stage
from demo.story import clean_up, crds_of, new_password, refuse_if_occupied, tell, try_next


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when the mails were shown")
    parser.add_argument(
        "--context",
        help="use this context of your kubeconfig, with real pods, instead of a control plane of the demo's own",
    )
    parser.add_argument(
        "--image",
        default=os.environ.get("DEMO_IMAGE", CRASH_IMAGE),
        help="with --context: an image with sh that your nodes have or can pull; default $DEMO_IMAGE, else %(default)s",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "demo-out", help="folder for the mails and the log")
    flags = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    # The relay's library warns of a name of its own at each login.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    try:
        with _stage(flags.context, flags.image, flags.out) as stage:
            return _play(stage, once=flags.once)
    except KeyboardInterrupt:
        return 130
    except (ControlPlaneError, StepFailedError, RuntimeError, OSError) as error:
        print(f"\n{paint('The demo stopped:', '31;1')} {error}", file=sys.stderr)
        return 1


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _stage(context: str | None, image: str, out: Path) -> Iterator[Stage]:
    (out / "mails").mkdir(parents=True, exist_ok=True)
    for earlier in (*out.glob("mails/*.eml"), *out.glob("mails/*.html")):
        earlier.unlink()
    if context is not None:
        theirs = Kubectl(binary("kubectl"), None, context)
        refuse_if_occupied(theirs)
        crds_before = crds_of(theirs)
        stage = Stage(theirs, has_nodes=True, out=out, kubeconfig=None, context=context, crash_image=image)
        try:
            yield stage
        finally:
            clean_up(stage, crds_before)
        return
    title("A real API server, without a container engine")
    with tempfile.TemporaryDirectory(prefix="watchbell-demo-") as folder:
        kubectl = binary("kubectl")
        for name in ("etcd", "kube-apiserver"):
            binary(name)
        with step("start etcd and kube-apiserver"):
            plane = start(Path(folder))
        with plane:
            yield Stage(
                Kubectl(kubectl, plane.kubeconfig), has_nodes=False, out=out, kubeconfig=plane.kubeconfig, context=None
            )


def _play(stage: Stage, *, once: bool) -> int:
    password = new_password()
    relay = Relay(stage.out / "mails", "alerts@example.com", password)
    relay.start()
    running: list[OperatorProcess] = []
    try:
        tell(stage, relay, password, running.append)
        if not once:
            _stay(stage)
    except (StepFailedError, RuntimeError):
        for process in running:
            print(f"\nThe operator's last words:\n{process.last_words()}", file=sys.stderr)
        raise
    finally:
        for process in running:
            process.stop()
        relay.stop()
    if once:
        print("\nThe demo is complete.")
    return 0


def _stay(stage: Stage) -> None:
    title("Try this next (in another terminal; Ctrl-C here ends everything)")
    block(try_next(stage))
    note(f"the operator's log: {stage.out / 'operator.log'}; mails arrive in {stage.out / 'mails'}")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    print()


if __name__ == "__main__":
    sys.exit(main())
