"""For any template: its own pods never drift, whatever admission adds; and any change of what it says is found."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from driftrig import EPOCH, RULES, Body, content, digest, judged, pod_of, subject, template_body
from podrig import container
from watchbell.api.enums import BaselineMode, DriftCheck
from watchbell.collectors.baselines.baseline import Baseline, CapturedWorkload, baseline_json, capture, read_baseline
from watchbell.collectors.baselines.drift import State, assess
from watchbell.collectors.rules import DriftRules

WORD = st.text("abcdefgh-=/ é", min_size=1, max_size=8)
NAMES = st.from_regex(r"\A[A-Z][A-Z0-9_]{0,7}\Z")
QUANTITIES = st.sampled_from(["100m", "0.1", "1", "1Gi", "1024Mi", "1e3", "500M", "2"])
RESOURCES = st.dictionaries(st.sampled_from(["cpu", "memory", "ephemeral-storage"]), QUANTITIES, max_size=3)
SECURITY = st.fixed_dictionaries(
    {},
    optional={
        "runAsNonRoot": st.booleans(),
        "runAsUser": st.integers(0, 70_000),
        "capabilities": st.fixed_dictionaries({"drop": st.lists(st.sampled_from(["ALL", "NET_RAW"]), unique=True)}),
    },
)
ENV = st.dictionaries(NAMES, WORD, max_size=4).map(
    lambda env: [{"name": name, "value": value} for name, value in env.items()]
)
CONTAINERS = st.fixed_dictionaries(
    {"name": st.just("collector"), "image": st.sampled_from(["a:1", "r.example:5000/a", f"a@{digest('a')}"])},
    optional={
        "command": st.lists(WORD, min_size=1, max_size=3),
        "args": st.lists(WORD, min_size=1, max_size=5),
        "env": ENV,
        "resources": st.fixed_dictionaries({"limits": RESOURCES, "requests": RESOURCES}),
        "securityContext": SECURITY,
    },
)
TEMPLATES = CONTAINERS.map(template_body)
CAPTURED = replace(RULES, mode=BaselineMode.CAPTURED)


@st.composite
def admissions(draw: st.DrawFn) -> Body:
    """What webhooks and defaults may add to a pod."""
    return {
        "sidecars": draw(st.lists(st.sampled_from(["istio-proxy", "linkerd-proxy", "daprd"]), unique=True)),
        "env": draw(st.lists(st.sampled_from(["OTEL_SERVICE_NAME", "AWS_REGION", "JAVA_TOOL_OPTIONS"]), unique=True)),
        "storage": draw(st.booleans()),
        "label": draw(st.booleans()),
    }


def admit(body: Body, added: Body) -> None:
    one = body["spec"]["containers"][0]
    for name in added["sidecars"]:
        body["spec"]["containers"].append({"name": name, "image": f"{name}:1"})
        body["status"]["containerStatuses"].append(container(name))
    known = {variable["name"] for variable in one.get("env", ())}
    one["env"] = [*one.get("env", ()), *({"name": name, "value": "x"} for name in added["env"] if name not in known)]
    if added["storage"]:
        resources = one.setdefault("resources", {})
        resources.setdefault("limits", {}).setdefault("example.com/storage", "1")
    if added["label"]:
        body["metadata"]["labels"]["controller-revision-hash"] = "5d8"


@settings(max_examples=60, deadline=None)
@given(TEMPLATES, admissions(), admissions())
def test_the_pods_of_any_template_do_not_drift_whatever_admission_adds(said: Body, one: Body, other: Body) -> None:
    pods = [
        pod_of(said, f"gateway-{number}", lambda body, added=added: admit(body, added))
        for number, added in enumerate((one, other))
    ]
    verdict = judged(said, *pods)
    assert verdict.state is State.CLEAN, verdict.differences
    found = capture(subject(said, *pods, configs={"gateway-config": content()}), CAPTURED)
    assert isinstance(found, CapturedWorkload), found
    kept = read_baseline(baseline_json(Baseline("", EPOCH, (found,))))
    assert kept is not None
    later = assess(subject(said, *reversed(pods)), CAPTURED, EPOCH, captured=kept.workloads[0])
    assert later.state is State.CLEAN, later.differences


FIELDS = st.sampled_from(
    [
        (DriftCheck.IMAGE, lambda one: one.__setitem__("image", "evil:9")),
        (DriftCheck.COMMAND, lambda one: one.__setitem__("command", ["evil", *one.get("command", ())])),
        (DriftCheck.ARGS, lambda one: one.__setitem__("args", [*one.get("args", ()), "evil"])),
        (DriftCheck.ENV, lambda one: one.__setitem__("env", [])),
        (DriftCheck.SECURITY_CONTEXT, lambda one: one.__setitem__("securityContext", {"privileged": True})),
    ]
)


@settings(max_examples=80, deadline=None)
@given(TEMPLATES, FIELDS, st.sets(st.sampled_from(sorted(DriftCheck))))
def test_any_change_of_what_a_template_says_is_found_by_its_check_and_by_no_other(
    said: Body, field: tuple, checks: set[DriftCheck]
) -> None:
    check, change = field
    rules = DriftRules(checks=frozenset(checks), pending_s=0.0)
    one = said["spec"]["containers"][0]
    said_keys = {DriftCheck.COMMAND: "command", DriftCheck.ARGS: "args", DriftCheck.ENV: "env"}
    is_said = bool(one.get(said_keys[check])) if check in said_keys else check is DriftCheck.IMAGE or _flat(one)
    pod = pod_of(said, "gateway-0", lambda body: change(body["spec"]["containers"][0]))
    found = {difference.check for difference in judged(said, pod, rules=rules).differences}
    assert found == ({check} if is_said and check in checks else set())


def _flat(one: Body) -> bool:
    """Whether the securityContext says anything at all."""
    return bool(one.get("securityContext"))
