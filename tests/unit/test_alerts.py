"""The alert rules: each fires when it should and not before, is made of metrics that exist, and has a runbook that says the same."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

import controlplane
from watchbell.api.reasons import Reason
from watchbell.cli.main import parser
from watchbell.cli.manual import commands_page
from watchbell.metrics import CONNECTOR_CONDITION
from watchbell.outbox.queue import QueueState
from watchbell.reference import families

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "charts/watchbell/files/alerts.yaml"
RULES = {rule["alert"]: rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]}
RUNBOOKS = ROOT / "docs/runbooks"
PAGES = {path.stem: path.read_text() for path in RUNBOOKS.glob("*.md") if path.stem != "README"}
HEADINGS = ["What it means", "What to look at", "What to do", "How it ends"]
REPLICA = (
    'job="watchbell",instance="10.0.0.1:8080",pod="watchbell-0",container="watchbell",endpoint="metrics",service="w"'
)
NEXT = REPLICA.replace("0.1", "0.2").replace("watchbell-0", "watchbell-1")


def condition(name, status, reason, replica=REPLICA):
    return (
        f'watchbell_connector_condition{{{replica},kind="SmtpConnector",namespace="obs",name="{name}",'
        f'type="Ready",status="{status}",reason="{reason}"}}'
    )


def metric(name, replica=REPLICA, /, **labels):
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{replica}{more}}}"


def ended(result, reason):
    return metric("watchbell_messages_total", result=result, reason=reason)


def expiry(namespace="obs"):
    labels = {"kind": "SmtpConnector", "namespace": namespace, "name": "relay"}
    return metric("watchbell_connector_tls_certificate_expiry_timestamp_seconds", **labels)


def firing(kind, **labels):
    labels = {"namespace": "obs", "policy": "collectors", "kind": kind, "severity": "Warning"} | labels
    return metric("watchbell_alerts_firing", **labels)


LEADS = {metric("watchbell_leader"): "1x300"}
REQUESTS = {"good": metric("watchbell_kube_api_requests_total", verb="get", code="200")}
REFUSED = condition("relay", "False", "ConnectionRefused")
# What happens → (series, one sample a minute; when to look; the alerts that fire then).
CASES = {
    "all is well": (
        LEADS
        | {
            condition("relay", "True", "Proven"): "1x300",
            condition("default", "True", "Proven"): "1x300",
            metric("watchbell_message_queue_oldest_seconds", state="Ready"): "0x300",
            ended("True", "AcceptedByServer"): "0+5x300",
            ended("False", "RecipientsRefused"): "0x300",
            REQUESTS["good"]: "0+60x300",
            metric("watchbell_work_failures_total", queue="connectors"): "0x300",
            expiry(): f"{90 * 86400}x300",
        },
        "4h",
        [],
    ),
    "a connector is down for ten minutes": (LEADS | {REFUSED: "1x300"}, "10m", []),
    "a connector is down for a quarter of an hour": (LEADS | {REFUSED: "1x300"}, "16m", ["SmtpConnectorNotReady"]),
    "its reason changes while it is down": (
        LEADS | {REFUSED: "1x8 stale", condition("relay", "False", "HostNotFound"): "_x8 1x60"},
        "17m",
        ["SmtpConnectorNotReady"],
    ),
    "the operator is restarted while it is down": (
        LEADS
        | {
            REFUSED: "1x8 stale",
            condition("relay", "False", "ConnectionRefused", NEXT): "_x8 1x60",
        },
        "17m",
        ["SmtpConnectorNotReady"],
    ),
    "it comes back": (
        LEADS | {REFUSED: "1x20 stale", condition("relay", "True", "Proven"): "_x20 1x60"},
        "25m",
        [],
    ),
    "a connector is suspended": (LEADS | {condition("relay", "False", "Suspended"): "1x300"}, "1h", []),
    "the default connector is down": (
        LEADS | {condition("default", "False", "CredentialsRejected"): "1x300"},
        "11m",
        ["SmtpDefaultConnectorDown"],
    ),
    "a certificate expires in three weeks": (LEADS | {expiry(): f"{21 * 86400}x300"}, "2h", []),
    "a certificate expires in ten days": (
        LEADS | {expiry(): f"{10 * 86400}x300"},
        "2h",
        ["SmtpCertificateExpiringSoon"],
    ),
    "a certificate has expired": (LEADS | {expiry(): "1800x300"}, "2h", ["SmtpCertificateExpiringSoon"]),
    "a mail waits for a quarter of an hour": (
        LEADS | {metric("watchbell_message_queue_oldest_seconds", state="Held"): "0+60x300"},
        "16m",
        [],
    ),
    "a mail waits for longer": (
        LEADS
        | {
            metric("watchbell_message_queue_oldest_seconds", state="Held"): "0+60x300",
            metric("watchbell_message_queue_oldest_seconds", state="Ready"): "0x300",
        },
        "22m",
        ["SmtpOutboxStuck"],
    ),
    "two of two mails fail": (LEADS | {ended("False", "RecipientsRefused"): "0x5 1x5 2x60"}, "30m", []),
    "every tenth of many mails fails for good": (
        LEADS | {ended("False", "RecipientsRefused"): "0+1x120", ended("True", "AcceptedByServer"): "0+5x120"},
        "1h10m",
        ["SmtpMessageFailureRate"],
    ),
    "some of very many mails fail": (
        LEADS | {ended("False", "RecipientsRefused"): "0+1x120", ended("True", "AcceptedByServer"): "0+50x120"},
        "1h10m",
        [],
    ),
    "nobody is scraped": ({}, "6m", ["SmtpOperatorAbsent"]),
    "only a standby is left": ({metric("watchbell_leader"): "0x60"}, "6m", ["SmtpOperatorAbsent"]),
    "another takes over within a minute": (
        {metric("watchbell_leader"): "1x10 0x60", metric("watchbell_leader", NEXT): "0x11 1x60"},
        "16m",
        [],
    ),
    "something fails that should not": (
        LEADS | {metric("watchbell_work_failures_total", queue="connectors"): "0x10 1x60"},
        "12m",
        ["SmtpOperatorFailing"],
    ),
    "it was long ago": (
        LEADS | {metric("watchbell_work_failures_total", queue="connectors"): "0x10 1x60"},
        "40m",
        [],
    ),
    "the API server fails often": (
        LEADS
        | {
            REQUESTS["good"]: "0+60x60",
            metric("watchbell_kube_api_requests_total", verb="get", code="0"): "0+5x60",
            metric("watchbell_kube_api_requests_total", verb="patch", code="503"): "0+5x60",
        },
        "20m",
        ["SmtpOperatorApiErrors"],
    ),
    "the API server refuses and conflicts": (
        LEADS
        | {
            REQUESTS["good"]: "0+60x60",
            metric("watchbell_kube_api_requests_total", verb="patch", code="409"): "0+50x60",
        },
        "20m",
        [],
    ),
    "collectors crash and drift": (
        LEADS | {firing("CrashLoopBackOff"): "2x90", firing("Drift"): "1x90"},
        "70m",
        ["CollectorCrashLooping", "CollectorDrifted"],
    ),
    "a crash loop that was mended": (LEADS | {firing("CrashLoopBackOff"): "2x10 stale"}, "20m", []),
    "a loop that got worse is the same": (
        LEADS
        | {
            firing("CrashLoopBackOff"): "1x8 stale",
            firing("CrashLoopBackOff", severity="Critical"): "_x8 1x60",
        },
        "17m",
        ["CollectorCrashLooping"],
    ),
    "nobody can be told": (
        LEADS | {metric("watchbell_alerts_suppressed_total", cause="RecipientsNotFound"): "0x5 1x60"},
        "10m",
        ["CollectorAlertWithoutRecipients"],
    ),
    "a silence holds back": (
        LEADS | {metric("watchbell_alerts_suppressed_total", cause="Silenced"): "0x5 1x60"},
        "10m",
        [],
    ),
}


def promtool(*arguments):
    done = subprocess.run(
        [controlplane.binary("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def judged(tmp_path, **test):
    """What promtool says of one test of the rules."""
    path = tmp_path / "rules-test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": [test]}))
    return promtool("test", "rules", path)


def test_promtool_finds_nothing_wrong_with_the_rules():
    code, text = promtool("check", "rules", "--lint=all", "--lint-fatal", FILE)
    assert code == 0, text
    assert f"SUCCESS: {len(RULES)} rules found" in text


@pytest.mark.parametrize("what", CASES)
def test_an_alert_fires_when_it_should(what, tmp_path):
    series, time, alerts = CASES[what]
    # Which alerts fire, each once whatever replicas there are.
    fires = {
        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
        "eval_time": time,
        "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts],
    }
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    code, text = judged(tmp_path, interval="1m", input_series=inputs, promql_expr_test=[fires])
    assert code == 0, text


def test_every_alert_is_seen_to_fire():
    assert {alert for _, _, alerts in CASES.values() for alert in alerts} == set(RULES)


def test_an_alert_names_the_object_and_nothing_of_the_replica(tmp_path):
    series, _, _ = CASES["a connector is down for a quarter of an hour"]
    told = {
        "exp_labels": {
            "severity": "warning", "job": "watchbell", "kind": "SmtpConnector", "namespace": "obs", "name": "relay",
            "type": "Ready", "status": "False",
        },
        "exp_annotations": {
            "summary": "SmtpConnector relay cannot send mail",
            "description": "SmtpConnector relay in namespace obs has been not Ready for 15 minutes. Its mails wait in the outbox. "
            "Its status says at which stage it fails, and what to do.",
            "runbook_url": RULES["SmtpConnectorNotReady"]["annotations"]["runbook_url"],
        },
    }  # fmt: skip
    expected = [{"eval_time": "16m", "alertname": "SmtpConnectorNotReady", "exp_alerts": [told]}]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    code, text = judged(tmp_path, interval="1m", input_series=inputs, alert_rule_test=expected)
    assert code == 0, text


def test_an_alert_about_a_cluster_connector_speaks_of_no_namespace(tmp_path):
    told = {
        "exp_labels": {"severity": "warning", "job": "watchbell", "kind": "SmtpConnector", "name": "relay"},
        "exp_annotations": {
            "summary": "The certificate of the mail server behind SmtpConnector relay expires soon",
            "description": "The certificate of the mail server behind SmtpConnector relay expires in 9d 22h 0m 0s. "
            "From then on no mail goes out through it.",
            "runbook_url": RULES["SmtpCertificateExpiringSoon"]["annotations"]["runbook_url"],
        },
    }
    expected = [{"eval_time": "2h", "alertname": "SmtpCertificateExpiringSoon", "exp_alerts": [told]}]
    inputs = [{"series": expiry(namespace=""), "values": f"{10 * 86400}x300"}]
    code, text = judged(tmp_path, interval="1m", input_series=inputs, alert_rule_test=expected)
    assert code == 0, text


def names_of(text):
    """The metrics of ours that stand in a text, without what a histogram adds."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bwatchbell_\w+", text)}


def known():
    return {f"{family.name}_total" if family.type == "counter" else family.name for family, _ in families()}


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_is_made_of_metrics_and_labels_that_exist(alert):
    labels = {label for _, names in families() for label in names}
    assert names_of(RULES[alert]["expr"]) <= known()
    assert names_of(RULES[alert]["expr"])
    asked = set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', RULES[alert]["expr"]))
    assert asked <= labels
    reasons = set(re.findall(r'reason!?="(\w+)"', RULES[alert]["expr"]))
    assert reasons <= {str(reason) for reason in Reason}
    assert "reason" in CONNECTOR_CONDITION.labels


@pytest.mark.parametrize("alert", RULES)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert):
    rule = RULES[alert]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{alert}.md")
    assert rule["annotations"]["description"].endswith(".")
    assert not rule["annotations"]["summary"].endswith(".")


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    assert set(PAGES) == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_a_runbook_says_what_the_rule_says_and_names_only_what_there_is(alert):
    page, rule = PAGES[alert], RULES[alert]
    assert page.startswith(f"# {alert}\n\nSeverity `{rule['labels']['severity']}`, after `{rule['for']}`.\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == HEADINGS
    assert names_of(page) <= known()
    assert "kubectl" in page
    verbs = re.findall(r"\bwatchbell (silence|incident|baseline|template) (\w+)", page)
    manual = commands_page(parser())
    assert [pair for pair in verbs if f"## watchbell {' '.join(pair)}\n" not in manual] == []


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ("SmtpConnectorNotReady", set(Reason)),
        ("SmtpMessageFailureRate", set(Reason)),
        ("SmtpOutboxStuck", set(QueueState) | set(Reason)),
    ],
)
def test_what_a_runbook_lists_are_reasons_and_states_that_exist(alert, words):
    listed = re.findall(r"^(?:- |\| )((?:`\w+`(?:, )?)+)", PAGES[alert], re.MULTILINE)
    names = {name for line in listed for name in re.findall(r"`(\w+)`", line)}
    assert len(names) >= 4
    assert names <= words


def test_the_index_of_the_runbooks_is_current():
    rows = re.findall(
        r"^\| \[(\w+)\]\(\1\.md\) \| (\w+) \| (\w+) \|$", (RUNBOOKS / "README.md").read_text(), re.MULTILINE
    )
    assert rows == [(name, rule["labels"]["severity"], rule["for"]) for name, rule in RULES.items()]
