"""Values that cannot be meant end in `helm template`, before anything is in a cluster, with a sentence that names them."""

import re

import pytest

from helmrig import CHARTS, HELMS, template
from watchbell.settings import OPTIONS

SENTENCES = [
    ("replicas=2,leaderElection.enabled=false", "replicas is 2, but leaderElection.enabled is false"),
    ("rbac.secretNamespaces={shop}", "rbac.secretNamespaces is given, but rbac.secretAccess is Get"),
    (
        "rbac.secretAccess=Namespaced,rbac.secretNamespaces={shop},watch.namespaces={billing}",
        "rbac.secretNamespaces names shop, but watch.namespaces does not",
    ),
    ("metrics.port=8081", "metrics.port and health.port are both 8081"),
    (
        "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true",
        "every metric would be scraped twice; choose one",
    ),
    (
        "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false",
        "metrics.serviceMonitor.enabled needs metrics.service.enabled",
    ),
    (
        "metrics.podMonitor.enabled=true,metrics.podMonitor.renderMode=failIfMissing",
        "does not know the kind PodMonitor of monitoring.coreos.com/v1: install the Prometheus operator, or set",
    ),
    (
        "networkPolicy.egress[0].ports[0].port=25,networkPolicy.extraEgress[0].ports[0].port=26",
        "put everything into networkPolicy.egress",
    ),
    (
        "helmTest.smtpTest.enabled=true,watch.namespaces={shop}",
        "helmTest.smtpTest is made in namespace mail, which watch.namespaces does not name",
    ),
    (
        "admissionPolicies.secureTransport=true,config.allowInsecureTls=true",
        "refuses what config.allowInsecureTls allows",
    ),
]
SCHEMA = [
    ("replica=2", "replica"),
    ("global.commonLabels=team", "commonLabels"),
    ("image.tag=12", "image/tag|image.tag"),
    ("image.digest=latest", "image/digest|image.digest"),
    ("rbac.secretAccess=Always", "rbac/secretAccess|rbac.secretAccess"),
    ("config.sendWorkers=0", "config/sendWorkers|config.sendWorkers"),
    ("config.logLevel=loud", "config/logLevel|config.logLevel"),
    ("config.leaderElect=true", "leaderElect"),
    ("config.nameOfTheCluster=x", "nameOfTheCluster"),
    ("watch.namespaces={Shop}", "watch/namespaces/0|watch.namespaces.0"),
    ("pod.terminationGracePeriodSeconds=5", "terminationGracePeriodSeconds"),
    ("serviceAccount.name=", "serviceAccount"),
]
SMTP = "smtp.host=smtp.example.com,smtp.from=a@example.com,"
CONFIG_SENTENCES = [
    ("smtp.host=smtp.example.com", "smtp.host is given, but smtp.from is not"),
    (SMTP + "smtp.useSsl=true,smtp.useStartTls=true", "are both true: TLS begins with the first byte or with STARTTLS"),
    (SMTP + "smtp.useSsl=true,smtp.port=587", "port 587 speaks STARTTLS: use port 465, or set smtp.useSsl=false"),
    (SMTP + "smtp.port=465", "port 465 speaks TLS from the first byte: set smtp.useSsl=true"),
    (SMTP + "smtp.useStartTls=false,smtp.existingSecret=relay", "would go over the wire in clear text"),
    (SMTP + "smtp.cluster=true", "smtp.allowedNamespaces does not say who may use it"),
    (SMTP + "smtp.allowedNamespaces.from=All", "smtp.allowedNamespaces is for a ClusterSmtpConnector"),
    (SMTP + "connectors.default.spec.host=x.example.com", "smtp and connectors both make the connector default"),
]
CONFIG_SCHEMA = [
    ("smtp.password=secret", "password"),
    ("connectors.a.spec.hots=x", "hots"),
    ("connectors.a.host=x", "host"),
    ("connectors.a.spec.tls.mode=Opportunistic", "mode"),
    ("clusterConnectors.a.namespace=x", "namespace"),
    ("policies.a.spec.crash.kinds={Boom}", "kinds"),
    ("silences.a.spec.comment=x", "endTime"),
]


def refused(program, chart, sets):
    done = template(program, chart, f"--set={sets}")
    assert done.returncode != 0, f"{sets} was rendered"
    return done.stderr


@pytest.mark.parametrize("program", HELMS)
@pytest.mark.parametrize(("sets", "sentence"), SENTENCES)
def test_values_that_contradict_each_other_are_told_in_a_sentence(program, sets, sentence):
    assert sentence in refused(program, "watchbell", sets)


@pytest.mark.parametrize(("sets", "words"), SCHEMA)
def test_a_value_that_cannot_be_is_told_by_name(sets, words):
    assert re.search(words, refused("helm", "watchbell", sets))


@pytest.mark.parametrize(("sets", "sentence"), CONFIG_SENTENCES)
def test_a_relay_that_contradicts_itself_is_told_in_a_sentence(sets, sentence):
    assert sentence in refused("helm", "watchbell-config", sets)


@pytest.mark.parametrize(("sets", "word"), CONFIG_SCHEMA)
def test_a_field_that_the_kind_does_not_have_is_told_before_it_reaches_a_cluster(sets, word):
    assert word in refused("helm3", "watchbell-config", sets)


@pytest.mark.parametrize("program", HELMS)
@pytest.mark.parametrize("chart", CHARTS)
def test_what_umbrella_charts_add_is_let_through(program, chart):
    sets = "--set=global.other.deep=1,enabled=true,tags.mail=true,x-anchor.a=1"
    done = template(program, chart, sets)
    assert done.returncode == 0, done.stderr


def test_an_old_cluster_is_refused_and_one_of_a_cloud_is_not():
    for version, is_taken in (
        ("1.29.9", False),
        ("1.30.0", True),
        ("v1.31.4-eks-abc123", True),
        ("1.32.1-gke.100", True),
    ):
        done = template("helm", "watchbell", f"--kube-version={version}")
        assert (done.returncode == 0) == is_taken, version
        assert is_taken or "kubeVersion" in done.stderr


def test_a_flag_with_a_value_of_its_own_cannot_be_set_twice():
    own = {"watchNamespaces", "secretAccess", "leaderElect", "leaseSeconds", "metricsBindAddress", "healthBindAddress"}
    assert len(own) < len(OPTIONS)
    for key in own:
        assert key in refused("helm", "watchbell", f"config.{key}=x")
