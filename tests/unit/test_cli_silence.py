"""`watchbell silence create` without a cluster: what the flags mean, and what is wrong with them in one line."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from watchbell.api.times import moment
from watchbell.cli.main import main, parser
from watchbell.cli.silencedraft import describe, draft, matcher

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LEAST = ("--owner=otel-agent", "--for=2h", "--comment=upgrade")


def flags(*arguments):
    return parser().parse_args(["silence", "create", *arguments])


@pytest.mark.parametrize(
    ("text", "field", "operator", "values"),
    [
        ("Owner=DaemonSet/otel-agent", "Owner", "In", ["DaemonSet/otel-agent"]),
        ("owner=a,b", "Owner", "In", ["a", "b"]),
        ("KIND != NodeLost, Evicted", "Kind", "NotIn", ["NodeLost", "Evicted"]),
        ("Pod=otel-*,otel-*", "Pod", "In", ["otel-*"]),
        ("Node=worker-1=x", "Node", "In", ["worker-1=x"]),
    ],
)
def test_a_matcher_is_a_field_and_its_values(text, field, operator, values):
    assert matcher(text) == {"field": field, "operator": operator, "values": values}


def test_matchers_read_as_they_were_typed():
    assert describe([matcher("Owner=a,b"), matcher("Kind!=NodeLost")]) == "Owner=a,b Kind!=NodeLost"


def test_the_flags_of_fields_are_matchers_too():
    made = draft(flags("--matcher=Policy!=canary", "--node=worker-1,worker-2", "--kind=OOMKilled", *LEAST), "ada", NOON)
    assert made == {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": "AlertSilence",
        "metadata": {"name": "silence-20261121-120000"},
        "spec": {
            "matchers": [
                {"field": "Policy", "operator": "NotIn", "values": ["canary"]},
                {"field": "Owner", "operator": "In", "values": ["otel-agent"]},
                {"field": "Node", "operator": "In", "values": ["worker-1", "worker-2"]},
                {"field": "Kind", "operator": "In", "values": ["OOMKilled"]},
            ],
            "endTime": "2026-11-21T14:00:00Z",
            "comment": "upgrade",
            "createdBy": "ada",
        },
    }


def test_a_span_counts_from_the_start():
    made = draft(flags(*LEAST, "--start=2026-11-22T08:00:00+01:00", "--name=freeze"), "", NOON)
    assert made["metadata"] == {"name": "freeze"}
    assert (made["spec"]["startTime"], made["spec"]["endTime"]) == ("2026-11-22T07:00:00Z", "2026-11-22T09:00:00Z")


def test_a_dry_run_prints_what_git_can_keep_and_asks_no_cluster(capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    before = datetime.now(UTC)
    assert main(["silence", "create", *LEAST, "--dry-run=client", "-n", "obs", "--name=upgrade"]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    assert made["metadata"] == {"name": "upgrade", "namespace": "obs"}
    assert list(made) == ["apiVersion", "kind", "metadata", "spec"]
    assert timedelta(minutes=119) < moment(made["spec"]["endTime"]) - before <= timedelta(hours=2, seconds=5)
    assert "createdBy" not in made["spec"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--for=2h", "--comment=c"), "name what to mute: --matcher, or one of --policy, --owner"),
        (("--owner=a", "--comment=c"), "one of the arguments --for --until is required"),
        (("--owner=a", "--for=2h", "--until=2026-11-21T12:00:00Z", "--comment=c"), "not allowed with argument"),
        (("--owner=a", "--for=2h"), "the following arguments are required: --comment"),
        (("--owner=a", "--for=2 hours", "--comment=c"), "--for must be a span such as 90m, 1h30m or 2d"),
        (("--owner=a", "--until=2020-01-01T00:00:00Z", "--comment=c"), "it would have ended before it was made"),
        (("--owner=a", "--until=2027-01-01T00:00:00", "--comment=c"), "--until must be a time with its zone"),
        (("--owner=a", "--for=2h", "--start=now", "--comment=c"), "--start must be a time with its zone"),
        (("--owner=", "--for=2h", "--comment=c"), "a matcher must be FIELD=VALUES or FIELD!=VALUES"),
        (("--matcher=Team=a", "--for=2h", "--comment=c"), "FIELD one of Policy, Owner, Pod, Node, Kind, Severity"),
        (("--kind=Crashed", "--for=2h", "--comment=c"), "values must be of CrashLoopBackOff, OOMKilled"),
        (("--owner=a", "--for=2h", "--comment="), "spec.comment: must be set"),
        (("--owner=a", "--for=2h", "--comment=c", "--dry-run=server"), "invalid choice: 'server'"),
        (
            ("--owner=a", "--start=2027-01-02T00:00:00Z", "--until=2027-01-01T00:00:00Z", "--comment=c"),
            "endTime must be after startTime",
        ),
    ],
)
def test_wrong_flags_are_told_in_one_line_before_any_cluster_is_asked(arguments, told, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    try:
        code = main(["silence", "create", *arguments])
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert told in err
    assert err.startswith("watchbell: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("words", [("silence", "list"), ("silence", "expire", "x"), ("incident", "list")])
def test_a_cluster_that_cannot_be_found_is_told_in_one_line_with_exit_code_1(words, capsys, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "watchbell: There is no kubeconfig at /nowhere: set KUBECONFIG or give --kubeconfig.\n"
