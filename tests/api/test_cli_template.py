"""`watchbell template preview` as a process: from a file without a cluster, and with what a cluster has recorded."""

from pathlib import Path

import pytest
import yaml

from commandrig import OURS, Commander, conditions, incident_body
from watchbell.cli.options import SAMPLES
from watchbell.mail.template_samples import account_samples, samples

SPEC = {
    "subject": "{{ incident.owner }} {{ incident.transition }}",
    "text": "{{ incident.title }}{% for pod in incident.pods %}\n- {{ pod.name }} on {{ pod.node }}: exit {{ pod.exitCode }}{% endfor %}",
    "html": "<p>{{ incident.title }} &amp; {{ parameters.team }}</p>",
    "parameters": [{"name": "team", "default": "Platform"}],
}
TEMPLATE = {
    "apiVersion": "watchbell.dev/v1alpha1",
    "kind": "EmailTemplate",
    "metadata": {"name": "short"},
    "spec": SPEC,
}
STATUS = {
    "worst": "OOMKilled",
    "severity": "Critical",
    "flaps": 3,
    "affectedPods": [{"name": "otel-agent-a", "node": "worker-1", "reason": "OOMKilled", "exitCode": 137, "restarts": 4}],
    "affectedCount": 1,
    "conditions": conditions(Resolved=("False", "Firing")),
}  # fmt: skip


@pytest.fixture
def watchbell(control_plane, namespace, tmp_path):
    return Commander(control_plane, namespace, tmp_path)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump_all([{"kind": "ConfigMap"}, TEMPLATE]))
    return path


def test_a_file_is_shown_with_a_sample_and_its_html_goes_into_a_file(watchbell, file, tmp_path):
    page = tmp_path / "page.html"
    said = watchbell("template", "preview", str(file), "--html", str(page), "--parameter", "team=<SRE>")
    assert said.code == 0
    assert said.out.splitlines() == [
        "Subject: otel-gateway Fired",
        "",
        "monitoring/otel-gateway is out of memory",
        "- otel-gateway-7c9f8d6b5-x2x4q on node-1: exit 137",
        "- otel-gateway-7c9f8d6b5-zk8wd on node-2: exit 137",
    ]
    assert page.read_text() == "<p>monitoring/otel-gateway is out of memory &amp; &lt;SRE&gt;</p>"
    assert said.err == f"watchbell: the HTML part is in {page}\n"


def test_every_sample_can_be_chosen_by_its_word():
    assert tuple(sample.word for sample in (*samples(), *account_samples())) == SAMPLES


def test_a_template_of_the_cluster_is_shown_with_an_incident_that_was_recorded(control_plane, namespace, watchbell):
    rest = control_plane.rest()
    rest.post(f"{OURS}/{namespace}/emailtemplates", TEMPLATE)
    rest.post(f"{OURS}/{namespace}/collectorincidents", incident_body("memory"))
    rest.merge(f"{OURS}/{namespace}/collectorincidents/memory/status", {"status": STATUS})
    said = watchbell("template", "preview", "short", "--incident", "memory")
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "Subject: otel-agent Fired",
        "",
        f"{namespace}/otel-agent is out of memory",
        "- otel-agent-a on worker-1: exit 137",
    ]
    assert "--html FILE writes it" in said.err
    resolved = {"resolvedTime": "2026-11-21T13:00:00Z", "conditions": conditions(Resolved=("True", "HealthyAgain"))}
    rest.merge(f"{OURS}/{namespace}/collectorincidents/memory/status", {"status": resolved})
    assert watchbell("template", "preview", "short", "--incident", "memory").out.startswith(
        "Subject: otel-agent Resolved"
    )


@pytest.mark.parametrize(
    ("spec", "words", "code", "message"),
    [
        ({"text": "a\n{{ incident.ownr }}"}, (), 1, "text, line 2: incident.ownr is not a known name; did you mean incident.owner?"),
        ({"parameters": [{"name": "team"}]}, (), 1, "parameters.team: must be given"),
        ({}, ("--parameter", "team"), 2, "--parameter team: must be NAME=VALUE"),
        ({"subject": "x" * 600}, (), 1, "spec.subject: must have at most 512 characters"),
        ({"html": None}, ("--html", "{folder}/page.html"), 1, "the template has no HTML part"),
        ({}, ("--html", "{folder}/no/page.html"), 1, "cannot be written: No such file or directory"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(watchbell, tmp_path, spec, words, code, message):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(TEMPLATE | {"spec": SPEC | spec}))
    said = watchbell("template", "preview", str(path), *(word.format(folder=tmp_path) for word in words))
    assert said.code == code
    assert message in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nobody",), 'emailtemplates.watchbell.dev "nobody" not found'),
        (("./nobody.yaml",), "./nobody.yaml cannot be read"),
        (("FILE", "--incident", "nobody"), 'collectorincidents.watchbell.dev "nobody" not found'),
    ],
)
def test_what_is_not_there_is_named(watchbell, file, words, message):
    said = watchbell("template", "preview", *(str(file) if word == "FILE" else word for word in words))
    assert said.code == 1
    assert message in said.err


def test_a_terminal_is_not_steered_by_a_template(watchbell, tmp_path):
    path = tmp_path / "steering.yaml"
    path.write_text(yaml.safe_dump(TEMPLATE | {"spec": {"subject": "s", "text": "a\x1b[2Jb"}}))
    assert watchbell("template", "preview", str(path)).out.splitlines()[-1] == "a\N{REPLACEMENT CHARACTER}[2Jb"
