"""Each chart with each values file of its `ci` folder: both Helms render the same objects, and a real API server takes them."""

import copy
import itertools
import json
import re
import subprocess

import pytest
import yaml

import controlplane
from charts.install import manifests
from helmrig import CHARTS, HELMS, KUBERNETES, MODE_NAMES, MODES, helm, identity, objects, of_kind, path_of, rendered
from watchbell.settings import OPTIONS, settings_from

CLUSTER_WIDE = {
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterSmtpConnector",
    "CustomResourceDefinition",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
NOT_SERVED = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
# What kube-score asks for and we do not do, with the reason.
NOT_FOLLOWED = {
    "container-image-pull-policy": "IfNotPresent is right for tags that never move, and a digest needs no question at all",
    "container-ephemeral-storage-request-and-limit": "nothing is written to the disk; the one volume has a sizeLimit",
    "deployment-replicas": "one is enough to begin with; the standby comes by one value",
    "container-resources": "a limit of CPU would only slow a mail down (throttling), so there is none",
    "pod-networkpolicy": "optional, as with cert-manager: who has no network plugin for it should not believe in one",
    "deployment-has-host-podantiaffinity": "replicas are spread by topologySpreadConstraints, which kube-score does not know",
}


@pytest.mark.parametrize("program", HELMS)
@pytest.mark.parametrize("chart", CHARTS)
def test_helm_lint_has_nothing_to_say(program, chart):
    done = helm(program, "lint", "--strict", CHARTS[chart], f"--kube-version={KUBERNETES}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"\[(INFO|WARNING|ERROR)\]", done.stdout), done.stdout


@pytest.mark.parametrize(("chart", "path"), MODES, ids=MODE_NAMES)
def test_both_helms_render_the_same_objects_and_each_of_them_once(chart, path):
    four, three = (rendered(chart, f"--values={path}", program=program) for program in HELMS)
    assert {identity(one): one for one in four} == {identity(one): one for one in three}
    assert len({identity(one) for one in four}) == len(four)


@pytest.mark.parametrize(("chart", "path"), MODES, ids=MODE_NAMES)
def test_every_object_says_where_it_is_and_whose_it_is(chart, path):
    for one in rendered(chart, f"--values={path}"):
        assert ("namespace" in one["metadata"]) == (one["kind"] not in CLUSTER_WIDE) or one["kind"] == "ConfigMap"
        if one["kind"] != "ConfigMap":  # those come from extraObjects
            assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "watchbell"
            assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "watchbell"


@pytest.mark.parametrize(("chart", "path"), MODES, ids=MODE_NAMES)
def test_the_api_server_takes_every_object_and_knows_every_field(control_plane, namespace, chart, path):
    rest = control_plane.rest()
    for one in rendered(chart, f"--values={path}"):
        if one["kind"] in NOT_SERVED:
            continue
        body = copy.deepcopy(one)
        if one["kind"] not in CLUSTER_WIDE:
            body["metadata"]["namespace"] = namespace
        query = "?dryRun=All&fieldValidation=Strict&fieldManager=test&force=true"
        answer = rest.request("PATCH", path_of(body) + query, body, content_type="application/apply-patch+yaml")
        assert answer["metadata"]["name"] == one["metadata"]["name"]


@pytest.mark.parametrize("release", ["w", "watchbell", "a-release-name-that-is-as-long-as-helm-lets-it-be-max"])
def test_no_name_is_longer_than_dns_allows(release):
    for one in rendered("watchbell", "--set=replicas=2,networkPolicy.enabled=true", release=release):
        if one["kind"] != "CustomResourceDefinition":
            assert len(one["metadata"]["name"]) <= 63
        assert all(len(value) <= 63 for value in one["metadata"]["labels"].values())


@pytest.mark.parametrize(("chart", "path"), MODES, ids=MODE_NAMES)
def test_the_operator_understands_its_command_line(chart, path):
    for one in of_kind(rendered(chart, f"--values={path}"), "Deployment"):
        verb, *flags = one["spec"]["template"]["spec"]["containers"][0]["args"]
        assert verb == "run"
        settings = settings_from(flags)
        assert settings.metrics_bind_address.port != settings.health_bind_address.port
        assert settings.leader_elect


def test_every_flag_of_the_operator_is_a_value():
    every = CHARTS["watchbell"] / "ci" / "everything-values.yaml"
    scoped = "--set=watch.namespaces={shop,billing},fullnameOverride=x,helmTest.smtpTest.enabled=false"
    (one,) = of_kind(rendered("watchbell", f"--values={every}", scoped), "Deployment")
    flags = {flag.partition("=")[0] for flag in one["spec"]["template"]["spec"]["containers"][0]["args"][1:]}
    assert {option.flag for option in OPTIONS} - flags == set()


def test_the_values_of_flags_arrive_as_they_were_given():
    every = CHARTS["watchbell"] / "ci" / "everything-values.yaml"
    (one,) = of_kind(rendered("watchbell", f"--values={every}", "--set=config.probeWorkers=200"), "Deployment")
    settings = settings_from(one["spec"]["template"]["spec"]["containers"][0]["args"][1:])
    assert settings.egress_allow_host == ("relay.example.com", "*.corp.example.com")
    assert settings.cluster_resource_namespace == "mail-home"
    assert [entry.first for entry in settings.egress_allow_port] == [25, 587]
    assert (settings.probe_workers, settings.lease_seconds, settings.allow_insecure_tls) == (200, 15, True)
    assert settings.metrics_bind_address.port == 9090


@pytest.mark.parametrize("mode", ["default", "ha", "locked-down"])
def test_kube_score_finds_nothing_but_what_is_explained(mode):
    path = CHARTS["watchbell"] / "ci" / f"{mode}-values.yaml"
    judged = [one for one in rendered("watchbell", f"--values={path}") if one["kind"] != "CustomResourceDefinition"]
    ignored = [f"--ignore-test={name}" for name in NOT_FOLLOWED]
    done = subprocess.run(
        [
            controlplane.binary("kube-score"),
            "score",
            "--output-format=json",
            "--kubernetes-version=v1.34",
            *ignored,
            "-",
        ],
        input="\n---\n".join(json.dumps(one) for one in judged),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found = [
        f"{one['object_name']}: {check['check']['id']}: {[comment['summary'] for comment in check['comments'] or ()]}"
        for one in json.loads(done.stdout)
        for check in one["checks"]
        if not check["skipped"] and check["grade"] < 10
    ]
    assert found == []


def test_one_replica_has_no_budget_and_more_have_one_and_are_spread():
    def made(*arguments):
        found = rendered("watchbell", *arguments)
        (deployment,) = of_kind(found, "Deployment")
        spread = "topologySpreadConstraints" in deployment["spec"]["template"]["spec"]
        return bool(of_kind(found, "PodDisruptionBudget")), spread

    assert made() == (False, False)
    assert made("--set=replicas=2") == (True, True)
    assert made("--set=replicas=2,podDisruptionBudget.enabled=false") == (False, True)


def test_without_a_leader_the_old_pod_goes_before_the_new_one_comes():
    (one,) = of_kind(rendered("watchbell", "--set=leaderElection.enabled=false"), "Deployment")
    assert one["spec"]["strategy"] == {"type": "Recreate"}


def test_a_digest_goes_before_a_tag_and_a_global_registry_before_the_charts():
    digest = f"sha256:{'ab' * 32}"

    def image(*sets):
        (one,) = of_kind(rendered("watchbell", *(f"--set={text}" for text in sets)), "Deployment")
        return one["spec"]["template"]["spec"]["containers"][0]["image"]

    assert image("image.tag=v1") == "ghcr.io/watchbell/watchbell:v1"
    assert image("image.tag=v1", f"image.digest={digest}") == f"ghcr.io/watchbell/watchbell@{digest}"
    assert (
        image("image.tag=v1", "global.imageRegistry=mirror.example.com") == "mirror.example.com/watchbell/watchbell:v1"
    )
    assert image("image.registry=", "image.tag=v1") == "watchbell/watchbell:v1"


@pytest.mark.parametrize(
    ("mode", "served", "made"),
    [
        ("skipIfMissing", (), False),
        ("skipIfMissing", ("--api-versions=monitoring.coreos.com/v1/ServiceMonitor",), True),
        ("alwaysRender", (), True),
    ],
)
def test_a_monitor_is_made_where_its_kind_is_known(mode, served, made):
    sets = f"--set=metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.renderMode={mode}"
    assert bool(of_kind(rendered("watchbell", sets, *served), "ServiceMonitor")) == made


def test_a_service_monitor_finds_the_service_and_the_service_the_pod():
    path = CHARTS["watchbell"] / "ci" / "monitored-values.yaml"
    found = rendered("watchbell", f"--values={path}")
    (monitor,), (service,), (deployment,) = (
        of_kind(found, kind) for kind in ("ServiceMonitor", "Service", "Deployment")
    )
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    pod = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] in {one["name"] for one in pod["spec"]["containers"][0]["ports"]}


def test_selectors_leave_out_what_changes_with_a_version():
    for one in of_kind(rendered("watchbell"), "Deployment"):
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & one["spec"]["selector"]["matchLabels"].keys()


def test_the_ports_of_connectors_are_those_of_the_network_policy():
    path = CHARTS["watchbell"] / "ci" / "locked-down-values.yaml"
    (policy,) = of_kind(rendered("watchbell", f"--values={path}"), "NetworkPolicy")
    ports = list(itertools.chain.from_iterable(rule["ports"] for rule in policy["spec"]["egress"]))
    assert {"protocol": "TCP", "port": 2500, "endPort": 2600} in ports
    assert {"protocol": "TCP", "port": 587} in ports
    assert {"protocol": "TCP", "port": 25} not in ports
    assert [one["port"] for one in ports].count(443) == 1


def test_crds_are_kept_unless_that_is_switched_off_and_left_out_where_others_install_them():
    def kept(*arguments):
        crds = of_kind(rendered("watchbell", *arguments), "CustomResourceDefinition")
        return {one["metadata"]["annotations"].get("helm.sh/resource-policy") for one in crds}

    assert kept() == {"keep"}
    assert kept("--set=crds.keep=false") == {None}
    assert kept("--set=crds.enabled=false") == set()


def test_rendering_asks_no_cluster_and_throws_no_dice():
    texts = {path: path.read_text() for chart in CHARTS.values() for path in (chart / "templates").rglob("*.*")}
    words = re.compile(
        r"\{\{-? *(?!/\*)[^}]*\b(?:lookup|rand\w+|uuidv4|genCA|genSelfSigned\w+|genPrivateKey|htpasswd|bcrypt|now)\b"
    )
    assert [path.name for path, text in texts.items() if words.search(text)] == []


def test_smtp_in_the_words_of_other_charts_is_a_connector():
    def spec(*sets):
        fixed = "smtp.host=smtp.example.com,smtp.from=a@example.com"
        (one,) = of_kind(rendered("watchbell-config", f"--set={','.join((fixed, *sets))}"), "SmtpConnector")
        return one["spec"]

    assert spec() == {"host": "smtp.example.com", "from": {"address": "a@example.com"}}
    assert spec("smtp.useSsl=true")["tls"] == {"mode": "Implicit"}
    assert spec("smtp.useStartTls=false")["tls"] == {"mode": "None"}
    assert spec("smtp.port=2525", "smtp.existingSecret=relay") == {
        "host": "smtp.example.com",
        "port": 2525,
        "auth": {"secretRef": {"name": "relay"}},
        "from": {"address": "a@example.com"},
    }


def test_the_notes_say_what_comes_next(control_plane):
    for chart in CHARTS:
        done = helm("helm", "install", "w", CHARTS[chart], "--dry-run=client", f"--kubeconfig={control_plane.kubeconfig}",
                    "--set=smtp.host=smtp.example.com,smtp.from=a@b.example" if chart == "watchbell-config" else "--set=replicas=1")  # fmt: skip
        assert done.returncode == 0, done.stderr
        notes = done.stdout.split("NOTES:")[1]
        assert re.findall(r"^  (\d)\. ", notes, re.MULTILINE) == ["1", "2", "3"]
        assert notes.count("kubectl ") >= 3


def test_plain_manifests_come_from_the_same_templates():
    made = objects(manifests())
    assert made[0]["kind"] == "Namespace"
    assert len(of_kind(made, "CustomResourceDefinition")) == 9
    assert of_kind(made, "Pod") == []
    (deployment,) = of_kind(made, "Deployment")
    assert deployment["metadata"]["namespace"] == made[0]["metadata"]["name"]


def test_the_alerts_and_the_dashboard_come_as_their_files_are():
    path = CHARTS["watchbell"] / "ci" / "monitored-values.yaml"
    found = rendered("watchbell", f"--values={path}")
    (rules,) = of_kind(found, "PrometheusRule")
    assert rules["spec"] == yaml.safe_load((CHARTS["watchbell"] / "files" / "alerts.yaml").read_text())
    assert rules["metadata"]["labels"]["release"] == "prometheus"
    dashboards = [one for one in of_kind(found, "ConfigMap") if one["metadata"]["name"].endswith("-dashboard")]
    assert [one["metadata"]["labels"]["grafana_dashboard"] for one in dashboards] == ["1"]
    assert dashboards[0]["data"]["watchbell.json"] == (CHARTS["watchbell"] / "files" / "dashboard.json").read_text()
    bare = rendered("watchbell")
    assert not of_kind(bare, "PrometheusRule")
    assert not [one for one in of_kind(bare, "ConfigMap") if one["metadata"]["name"].endswith("-dashboard")]
