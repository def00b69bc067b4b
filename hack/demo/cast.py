"""Who plays the collector: real pods in a cluster that has nodes, else stand-ins for its controllers and its kubelet.

After: `alerts` tells what comes of it. Whatever is done here is done with kubectl, and could be done by whoever reads along.
"""

from typing import Protocol

from demo import manifests as m
from demo.controllers import Revision, StandInControllers
from demo.kubectl import Kubectl
from demo.kubelet import StandInKubelet
from demo.screen import note, step

FIRST = Revision(1, "7c9f8d6b5", "x2v4k", m.IMAGE)
SECOND = Revision(2, "5d8b4c7f9", "m7qpt", m.MENDED_IMAGE)
RUNNING = 3
"""The number of the status, in every recording, by which the container runs for the first time."""
ROLL_OUT_S = 120


class Cast(Protocol):
    """What happens to the collector."""

    def crash(self) -> None:
        """It is deployed, and crashes again and again."""
        ...

    def mend(self) -> None:
        """A version that works is rolled out."""
        ...

    def drift(self) -> None:
        """Somebody changes the pod by hand, in place."""
        ...

    def restore(self) -> None:
        """Somebody changes it back."""
        ...


class StandIns:
    """One pod of a Deployment whose statuses are replayed; the API server and all objects are real."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl
        self._controllers = StandInControllers(kubectl)
        self._kubelet = StandInKubelet(kubectl)

    def crash(self) -> None:
        """From `recordings/crash-loop.json`, twenty times as fast."""
        note(
            "There is no kubelet here: a stand-in replays pod statuses that a real kubelet wrote (hack/demo/recordings)."
        )
        note("With CONTEXT=name this demo uses your cluster and real pods.")
        with step("create the collector's Deployment, ReplicaSet and Pod"):
            self._controllers.deploy(FIRST)
        with step("replay: running, then a crash loop"):
            for number in self._kubelet.play("crash-loop", FIRST.pod, FIRST.image, hurry=20):
                if number == RUNNING:
                    self._controllers.rolled_out()

    def mend(self) -> None:
        """Another image, another ReplicaSet, another pod; then the old one goes."""
        with step(f"roll out an image that works ({m.MENDED_IMAGE})"):
            self._controllers.deploy(SECOND)
            for number in self._kubelet.play("error-once", SECOND.pod, SECOND.image, hurry=20):
                if number == RUNNING:
                    break
            self._controllers.retire(FIRST)
            self._controllers.rolled_out()

    def drift(self) -> None:
        """The API server allows another image in a pod that runs."""
        with step(f"somebody edits the pod: kubectl set image pod/{SECOND.pod} {m.CONTAINER}={m.DRIFTED_IMAGE}"):
            self._set_image(m.DRIFTED_IMAGE)

    def restore(self) -> None:
        """The image of the Deployment's template."""
        with step(f"somebody sets it back: kubectl set image pod/{SECOND.pod} {m.CONTAINER}={m.MENDED_IMAGE}"):
            self._set_image(m.MENDED_IMAGE)

    def _set_image(self, image: str) -> None:
        self._kubectl.run("set", "image", f"pod/{SECOND.pod}", f"{m.CONTAINER}={image}", "-n", m.NAMESPACE)


class RealPods:
    """A Deployment of a shell script. Only one image is known to be there, so it is a label that drifts."""

    def __init__(self, kubectl: Kubectl, image: str) -> None:
        self._kubectl = kubectl
        self._image = image

    def crash(self) -> None:
        """Its container ends with exit code 1."""
        with step(f"create a Deployment whose container ends with exit code 1 ({self._image})"):
            self._kubectl.apply(m.collector(self._image, m.BROKEN))

    def mend(self) -> None:
        """The script runs on."""
        with step("roll out a script that runs on"):
            self._kubectl.apply(m.collector(self._image, m.MENDED))
            what = ("deployment", m.COLLECTOR, "-n", m.NAMESPACE)
            self._kubectl.run("rollout", "status", *what, f"--timeout={ROLL_OUT_S}s", timeout_s=ROLL_OUT_S + 10)

    def drift(self) -> None:
        """A label of the template gets another value in the pod."""
        with step("somebody edits the pod: kubectl label pod -l app=… team=nobody --overwrite"):
            self._label("nobody")

    def restore(self) -> None:
        """The label gets the template's value."""
        with step("somebody sets it back: kubectl label pod -l app=… team=telemetry --overwrite"):
            self._label("telemetry")

    def _label(self, team: str) -> None:
        selector = f"--selector=app={m.COLLECTOR}"
        self._kubectl.run("label", "pod", selector, f"team={team}", "--overwrite", "-n", m.NAMESPACE)
