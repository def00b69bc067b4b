"""The pods whose statuses are recorded, as shell scripts on the node's one image. Each behaves the same on every run."""

from dataclasses import dataclass
from typing import Any

from realnode.image import IMAGE

CONTAINER = "otc-container"
# What an OpenTelemetry Collector writes on a configuration that it cannot read.
_LAST_WORDS = "Error: failed to get config: cannot unmarshal the configuration: 1 error(s) decoding: 'exporters' unknown type: \"otlphttpp\""
_COUNT = "n=$(cat /state/n 2>/dev/null || echo 0); echo $((n + 1)) > /state/n"


@dataclass(frozen=True, slots=True)
class Script:
    """What a container runs; ``state`` is a volume at /state that outlives restarts, ``memory`` a limit such as ``32Mi``."""

    text: str
    memory: str | None = None
    state: bool = False

    @property
    def command(self) -> list[str]:
        """The container's command."""
        return ["sh", "-c", self.text]


def crashes(ready_s: int = 3) -> Script:
    """Is ready for ``ready_s`` seconds, then ends with exit code 1, again and again."""
    return Script(f"echo 'Starting otelcol-contrib...'; sleep {ready_s}; echo \"{_escaped(_LAST_WORDS)}\" >&2; exit 1")


def crashes_then_runs(times: int, ready_s: int = 3) -> Script:
    """Ends with exit code 1 ``times`` times, then stays."""
    ends = f'sleep {ready_s}; echo "{_escaped(_LAST_WORDS)}" >&2; exit 1'
    return Script(
        f"{_COUNT}; echo 'Starting otelcol-contrib...'; if [ $n -lt {times} ]; then {ends}; fi; exec sleep 3600",
        state=True,
    )


def runs_out_of_memory(limit: str = "32Mi") -> Script:
    """Is ready for two seconds, then takes memory until the kernel ends it."""
    return Script("sleep 2; exec tail /dev/zero", memory=limit)


def ends_well(ready_s: int = 3) -> Script:
    """Ends with exit code 0, again and again."""
    return Script(f"echo 'Everything is ready.'; sleep {ready_s}; echo 'Shutdown complete.'; exit 0")


def runs() -> Script:
    """Stays."""
    return Script("exec sleep 3600")


def container(script: Script, image: str = IMAGE) -> dict[str, Any]:
    """The container of ``script``."""
    content: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "command": script.command,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if script.memory is not None:
        content["resources"] = {"limits": {"memory": script.memory}}
    if script.state:
        content["volumeMounts"] = [{"name": "state", "mountPath": "/state"}]
    return content


def pod_spec(script: Script, image: str = IMAGE) -> dict[str, Any]:
    """The pod's spec; as in a Deployment, it is restarted for ever."""
    spec: dict[str, Any] = {"containers": [container(script, image)], "terminationGracePeriodSeconds": 0}
    if script.state:
        spec["volumes"] = [{"name": "state", "emptyDir": {}}]
    return spec


def _escaped(text: str) -> str:
    return text.replace('"', '\\"')
