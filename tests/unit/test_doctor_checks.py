# ruff: noqa: E501 - a row of the table is a line
"""The doctor's checks over made-up facts: each finds its trouble, says nothing bad of what is well, and never shows a secret."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell import __version__
from watchbell.connectors.credentials import SecretView
from watchbell.doctor.catalog import CHECKS, UnknownCheckError, Wish, chosen, examine, full_id, groups, worst
from watchbell.doctor.checks_cluster import PLURALS
from watchbell.doctor.facts import Absence, Denied, Facts, Probed, Source
from watchbell.doctor.model import Severity, Status
from watchbell.doctor.record import document, junit
from watchbell.smtp.model import ProbeReport, Relay, ServerFacts, StageName, StageReport, StageResult, TlsFacts

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECRET = "c4nary-p4ssw0rd!"


def at(**delta: float) -> str:
    return (NOW + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def connector(
    name: str = "default", status: dict[str, object] | None = None, kind: str = "SmtpConnector", **spec: object
) -> dict[str, object]:
    meta = {"name": name, "generation": 2} | ({"namespace": "shop"} if kind == "SmtpConnector" else {})
    base = {
        "host": "smtp.example.com",
        "from": {"address": "alerts@example.com"},
        "auth": {"secretRef": {"name": "relay"}},
    }
    return {
        "apiVersion": "watchbell.dev/v1alpha1", "kind": kind, "metadata": meta,
        "spec": {key: value for key, value in (base | spec).items() if value is not None},
        "status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True", "reason": "Proven", "message": "proven"}]}
        | (status or {}),
    }  # fmt: skip


def policy(
    status: dict[str, object] | None = None, routes: list[dict[str, object]] | None = None, **spec: object
) -> dict[str, object]:
    return {
        "apiVersion": "watchbell.dev/v1alpha1", "kind": "CollectorPolicy",
        "metadata": {"name": "collectors", "namespace": "shop", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "otel"}}, "routes": routes or [{"name": "oncall", "to": ["a@example.com"]}]} | spec,
        "status": {
            "observedGeneration": 1, "matchedPods": 3,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Enforced", "message": "watching"}],
        } | (status or {}),
    }  # fmt: skip


def message(reason: str, minutes: float, status: str = "Unknown", **more: object) -> dict[str, object]:
    return {
        "kind": "EmailMessage",
        "metadata": {"name": "mail", "namespace": "shop", "creationTimestamp": at(minutes=-minutes)},
        "spec": {"connectorRef": {"name": "default"}},
        "status": {"conditions": [{"type": "Succeeded", "status": status, "reason": reason, "message": "because"}]}
        | more,
    }


def secret(labels: dict[str, str] | None = None, type_: str = "watchbell.dev/smtp", **data: str) -> SecretView:
    content = {"username": "alerts@example.com", "password": SECRET} | data
    return SecretView(
        "shop", "relay", "1", type_, labels or {}, {}, {key: value.encode() for key, value in content.items()}
    )


def facts(*bodies: dict[str, object], **changes: object) -> Facts:
    objects: dict[str, tuple[dict[str, object], ...]] = {}
    for body in bodies:
        objects[str(body["kind"])] = (*objects.get(str(body["kind"]), ()), body)
    whole = Facts(
        now=NOW,
        source=Source.CLUSTER,
        objects=objects,
        crds=dict.fromkeys(PLURALS, __version__),
        denied_operator=(),
        denied_caller=(),
    )
    return replace(whole, **changes)


def statuses(check: str, known: Facts) -> list[tuple[str, str]]:
    results = examine(known, chosen(Wish(ids=(check,))))
    return [(str(result.finding.status), result.finding.message) for result in results]


CA = trustme.CA().cert_pem.bytes().decode()
POD = {
    "kind": "Pod",
    "metadata": {"name": "watchbell-1", "labels": {"app": "watchbell"}},
    "status": {"phase": "Running"},
}
READY_POD = POD | {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
READY_FALSE = {
    "conditions": [{"type": "Ready", "status": "False", "reason": "CredentialsRejected", "message": "535 no"}],
    "stages": [
        {"name": "Authenticate", "result": "Failed", "reason": "CredentialsRejected", "chain": ["535 5.7.8 no"]}
    ],
    "remediation": ["Check the user name"],
}


def lease(seconds: float) -> dict[str, object]:
    spec = {"holderIdentity": "watchbell-1", "renewTime": at(seconds=-seconds)}
    return {"kind": "Lease", "metadata": {"name": "watchbell"}, "spec": spec}


def network_policy(*ports: dict[str, object], types: tuple[str, ...] = ("Egress",)) -> dict[str, object]:
    spec = {"podSelector": {}, "policyTypes": list(types), "egress": [{"ports": list(ports)}] if ports else []}
    return {"kind": "NetworkPolicy", "metadata": {"name": "deny"}, "spec": spec}


DNS, SUBMISSION = {"port": 53, "protocol": "UDP"}, {"port": 587, "protocol": "TCP"}
WITH_CA = {"tls": {"caConfigMapRef": {"name": "ca"}}}
BROKEN = [
    ("check.kubernetes.crds", facts(crds={}), "fail", "does not serve: smtpconnectors"),
    ("check.kubernetes.crds", facts(crds=dict.fromkeys(PLURALS, "0.0.1")), "warn", "the CRDs are of version 0.0.1"),
    ("check.kubernetes.clock", facts(skew_s=95.0), "warn", "95 s ahead of"),
    ("check.kubernetes.clock", facts(skew_s=-95.0), "warn", "95 s behind"),
    ("check.kubernetes.rights", facts(denied_caller=(Denied("", "list pods in namespace watchbell-system"),)), "info", "you may not list pods"),
    ("check.operator.rights", facts(denied_operator=(Denied("system:serviceaccount:w:watchbell", "list pods"),)), "fail", "may not list pods"),
    (
        "check.operator.rights",
        facts(denied_operator=tuple(Denied("system:serviceaccount:w:watchbell", f"list kind{n}") for n in range(9))),
        "fail",
        "may not list kind0, list kind1, list kind2 and 6 things more",
    ),
    ("check.operator.rights", facts(denied_operator=None, gaps={"SubjectAccessReview": "you may not ask"}), "skip", "you may not ask"),
    ("check.operator.grant", facts(connector(), denied_operator=(Denied("system:serviceaccount:w:watchbell", "get secrets/relay in namespace shop"),)),
     "fail", "may not get Secret relay in namespace shop"),
    ("check.operator.running", facts(), "fail", "there is no pod with the label"),
    ("check.operator.running", facts(POD), "fail", "no pod of the operator is ready"),
    ("check.operator.running", facts(gaps={"Pod": "pods is forbidden"}), "skip", "pods is forbidden"),
    ("check.operator.lease", facts(lease(600)), "fail", "nobody has renewed the Lease for 600 s"),
    ("check.operator.podsecurity", facts({"kind": "Namespace", "metadata": {"name": "watchbell-system"}}), "info", "not set"),
    ("check.operator.egress", facts(POD, network_policy()), "fail", "not reach DNS on port 53"),
    ("check.operator.egress", facts(POD, network_policy(DNS), connector(port=2525)), "fail", "not reach SMTP on port 2525"),
    ("check.operator.egress", facts(POD, gaps={"NetworkPolicy": "forbidden"}), "skip", "forbidden"),
    ("check.connector.default", facts(), "fail", "there is no connector at all"),
    ("check.connector.default", facts(connector("other"), policy()), "fail", "objects in namespace shop name no connector"),
    ("check.connector.default", facts(gaps={"SmtpConnector": "forbidden"}), "skip", "forbidden"),
    ("check.connector.ready", facts(connector(status=READY_FALSE)), "fail", "CredentialsRejected: 535 no"),
    ("check.connector.ready", facts(connector(status={"observedGeneration": 1})), "warn", "has not looked at this version"),
    ("check.connector.ready", facts(connector(status={"conditions": [{"type": "Ready", "status": "False", "reason": "Suspended"}]})), "info", "suspended"),
    ("check.connector.fresh", facts(connector(status={"nextProbeTime": at(hours=-1)})), "warn", "has not come"),
    ("check.connector.certificate", facts(connector(status={"server": {"tls": {"notAfter": at(days=5)}}})), "warn", "expires in 5 days"),
    ("check.connector.certificate", facts(connector(status={"server": {"tls": {"notAfter": at(days=-5)}}})), "fail", "expired on 2026-11-23"),
    ("check.connector.encryption", facts(connector(tls={"mode": "None"})), "warn", "clear text"),
    ("check.connector.encryption", facts(connector(tls={"verification": "None"})), "fail", "takes any certificate"),
    ("check.connector.encryption", facts(connector(auth={"plaintext": "Allow"})), "fail", "password travel in clear text"),
    ("check.connector.port", facts(connector(port=465)), "warn", "servers expect Implicit there"),
    ("check.connector.port", facts(connector(port=587, tls={"mode": "Implicit"})), "warn", "servers expect StartTLS there"),
    ("check.connector.provider", facts(connector(host="smtp.office365.com")), "warn", "Microsoft 365: Microsoft switches password logins"),
    ("check.connector.sender", facts(connector(auth={"username": "me@other.example"})), "warn", "the login is of other.example"),
    ("check.connector.secret", facts(connector()), "fail", "there is no Secret relay in namespace shop"),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): Absence.FORBIDDEN}), "skip", "you may not read Secret relay"),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): secret(type_="Opaque")}), "fail", "SecretNotOptedIn"),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): secret(password="********")}), "fail", "MaskedPlaceholder"),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): secret(password=f" {SECRET}")}), "fail", "SecretMalformed"),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): secret(password=f"{SECRET}\n")}), "warn", "ends with a line break"),
    ("check.connector.secret", facts(connector(auth={"secretRef": {"name": "relay"}, "passwordKey": "pw"}), secrets={("shop", "relay"): secret()}),
     "fail", "has no key pw"),
    ("check.connector.ca", facts(connector(**WITH_CA)), "fail", "ConfigMap ca in namespace shop, key ca.crt: missing"),
    ("check.connector.ca", facts(connector(**WITH_CA), config_maps={("shop", "ca"): {"ca.crt": "junk"}}), "fail", "no usable PEM"),
    ("check.outbox.age", facts(message("ConnectorNotReady", 20)), "fail", "1 messages wait for longer than 15 minutes; mostly ConnectorNotReady"),
    ("check.outbox.age", facts(gaps={"EmailMessage": "forbidden"}), "skip", "forbidden"),
    ("check.outbox.failed", facts(message("RecipientsRefused", 5, "False", completionTime=at(minutes=-4))), "warn", "RecipientsRefused"),
    ("check.policy.ready", facts(policy({"observedGeneration": -1})), "warn", "has not looked"),
    ("check.policy.ready", facts(policy({"conditions": [{"type": "Ready", "status": "False", "reason": "PodsForbidden", "message": "no"}]})), "fail", "PodsForbidden"),
    ("check.policy.pods", facts(policy({"matchedPods": 0})), "warn", "matches no pod"),
    ("check.policy.connector", facts(policy(routes=[{"name": "r", "connectorRef": {"name": "x"}}])), "fail", "SmtpConnector x, which does not exist"),
    ("check.policy.recipients", facts(policy(routes=[{"name": "r", "to": ["A@example.com"], "cc": ["Me <a@example.com>"]}])), "warn", "twice"),
    ("check.policy.recipients", facts(policy(routes=[{"name": n, "to": ["a@example.com"]} for n in "xy"])), "warn", "twice"),
    ("check.silence.long", facts({"kind": "AlertSilence", "metadata": {"name": "s", "namespace": "shop", "creationTimestamp": at(days=-1)},
     "spec": {"startTime": at(days=-1), "endTime": at(days=20)}}), "warn", "for 21 days"),
    ("check.config.valid", facts(connector(), connector(host="http://x")), "fail", "spec.host: host must be"),
    ("check.config.valid", facts(connector(prot=587)), "fail", "spec.prot: there is no such field; did you mean port?"),
    ("check.config.valid", facts({"apiVersion": "watchbell.dev/v1alpha1", "kind": "SmtpConector", "metadata": {"name": "x"}}), "fail", "did you mean SmtpConnector?"),
    ("check.config.valid", facts(connector() | {"apiVersion": "watchbell.dev/v2"}), "fail", "apiVersion must be"),
    ("check.config.inlinesecret", facts({"kind": "Secret", "type": "watchbell.dev/smtp", "metadata": {"name": "relay"}, "stringData": {"password": SECRET}},
     source=Source.FILES), "warn", "in clear for: password"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "known", "status", "told"), BROKEN)
def test_a_check_finds_its_trouble_and_says_what_it_is(check, known, status, told):
    found = statuses(check, known)
    assert any(one == status and told in text for one, text in found), found


def test_every_trouble_comes_with_cures_for_each_way_and_never_with_the_secret():
    for check, known, *_ in BROKEN:
        results = examine(known, chosen(Wish(ids=(check,))))
        report = document(results, NOW)
        text = json.dumps(report) + junit(results, Severity.ERROR.rank)
        assert SECRET not in text
        for entry in report["checks"]:
            assert {one["platform"] for one in entry["remediation"]} == {"kubectl", "helm", "gitops"}
            assert entry["causes"]
            assert entry["verification"].startswith("watchbell doctor run --check")


WELL = [
    ("check.kubernetes", facts(skew_s=1.0)),
    ("check.operator.running", facts(READY_POD)),
    ("check.operator.running", facts(lease(5))),
    ("check.operator.lease", facts(lease(5))),
    ("check.operator.rights", facts()),
    ("check.operator.grant", facts(connector())),
    ("check.operator.egress", facts(POD, network_policy(DNS, SUBMISSION), connector())),
    ("check.operator.egress", facts(POD, network_policy(DNS, {"port": 400, "endPort": 600}), connector(port=465))),
    ("check.operator.egress", facts(POD, network_policy(types=("Ingress",)))),
    ("check.connector.default", facts(connector(), policy())),
    ("check.connector.default", facts(connector(kind="ClusterSmtpConnector"), policy())),
    ("check.connector.ready", facts(connector())),
    ("check.connector.fresh", facts(connector(status={"nextProbeTime": at(minutes=5)}))),
    ("check.connector.certificate", facts(connector(status={"server": {"tls": {"notAfter": at(days=90)}}}))),
    ("check.connector.encryption", facts(connector())),
    ("check.connector.port", facts(connector(port=2525))),
    ("check.connector.sender", facts(connector(auth={"username": "me@example.com"}))),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): secret()})),
    ("check.connector.secret", facts(connector(), secrets={("shop", "relay"): secret({"watchbell.dev/smtp": "true"}, "Opaque")})),
    ("check.connector.ca", facts(connector(**WITH_CA), config_maps={("shop", "ca"): {"ca.crt": CA}})),
    ("check.outbox.age", facts(message("Queued", 5), message("Suspended", 600))),
    ("check.outbox.failed", facts(message("RecipientsRefused", 5000, "False", completionTime=at(days=-3)))),
    ("check.policy", facts(connector("x"), policy(routes=[{"name": "r", "to": ["a@b.c"], "connectorRef": {"name": "x"}}]))),
    ("check.config.valid", facts(connector())),
]  # fmt: skip


@pytest.mark.parametrize(("check", "known"), WELL)
def test_what_is_well_is_called_well(check, known):
    found = statuses(check, known)
    assert found
    assert {status for status, _ in found} == {"pass"}, found


def test_a_failed_connector_shows_stage_chain_and_the_remedies_of_its_status():
    (result,) = examine(facts(connector(status=READY_FALSE)), chosen(Wish(ids=("check.connector.ready",))))
    assert ("chain", "535 5.7.8 no") in result.finding.evidence
    assert result.finding.steps == ("Check the user name",)
    entry = document((result,), NOW)["checks"][0]
    commands = [command for remedy in entry["remediation"] for command in remedy["commands"]]
    assert "kubectl -n shop get smtpconnector default -o 'jsonpath={.status.remediation}'" in commands


def test_a_check_that_breaks_is_a_finding_and_hides_no_other():
    results = examine(facts({"kind": "SmtpConnector", "metadata": {}}, connector()), CHECKS)
    assert any(result.finding.status is Status.ERROR for result in results)
    assert any(
        result.check.id == "check.kubernetes.crds" and result.finding.status is Status.PASS for result in results
    )


_LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_JSON: st.SearchStrategy[object] = st.deferred(
    lambda: _LEAF | st.lists(_JSON, max_size=3) | st.dictionaries(st.text(max_size=8), _JSON, max_size=3)
)


@settings(deadline=None)
@given(st.sampled_from(["SmtpConnector", "CollectorPolicy", "EmailMessage", "AlertSilence", "Secret"]), _JSON, _JSON)
def test_no_object_makes_the_doctor_fall_over(kind, spec, status):
    body = {
        "apiVersion": "watchbell.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": "x", "namespace": "n"},
        "spec": spec,
        "status": status,
    }
    for source in (Source.CLUSTER, Source.FILES):
        results = examine(facts(body, source=source), CHECKS)
        assert document(results, NOW)["checks"]
        assert junit(results, 0).startswith("<?xml")


@pytest.mark.parametrize(
    ("wish", "ids"),
    [
        (Wish(ids=("connector.ca",)), {"check.connector.ca"}),
        (Wish(ids=("check.policy",), tags=("recipients",)), {"check.policy.recipients"}),
        (Wish(categories=("upgrade",)), {"check.kubernetes.crds"}),
        (Wish(least=Severity.CRITICAL), {"check.kubernetes.crds", "check.operator.running"}),
    ],
)
def test_checks_are_chosen_by_id_group_category_tag_and_severity(wish, ids):
    assert {check.id for check in chosen(wish)} == ids


def test_quickly_means_without_mail_servers():
    quick = {check.id for check in chosen(Wish(is_quick=True))}
    left_out = {check.id for check in CHECKS} - quick
    stages = {check.id for check in CHECKS if check.id.startswith("check.integration.smtp.")}
    assert left_out == stages | {"check.network.revocation"}


def test_a_certificate_that_ends_soon_and_an_authority_out_of_reach_are_said():
    shown = TlsFacts("TLSv1.3", "X", "CN=relay", "CN=ca", at(days=5), "ab")
    report = ProbeReport((StageReport(StageName.TLS, StageResult.PASSED),), None, ServerFacts(tls=shown))
    probed = Probed(
        "relay",
        Relay("relay.example.com", 587),
        report,
        (("http://ocsp.example.com", False), ("http://crl.example.com", True)),
    )
    assert statuses("check.integration.smtp.tls", facts(probes=(probed,))) == [
        ("warn", "the certificate of CN=relay expires on 2026-12-03: it must be renewed before")
    ]
    assert [status for status, _ in statuses("check.network.revocation", facts(probes=(probed,)))] == ["info", "pass"]


@pytest.mark.parametrize(
    ("text", "near"),
    [("check.conector.ready", "check.connector.ready"), ("integration.smpt", "check.integration.smtp")],
)
def test_an_unknown_check_is_told_with_the_nearest_one(text, near):
    with pytest.raises(UnknownCheckError, match=f"there is no check {text}; did you mean {near}"):
        full_id(text)


def test_the_catalogue_is_sound():
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))
    known = {*ids, *groups()}
    for check in CHECKS:
        assert check.id.startswith("check.")
        assert set(check.related) <= known, check.id
        assert check.looks_at.endswith(".")
        assert check.why.endswith(".")


def test_the_exit_code_follows_the_worst_finding():
    def weight(check: str, known: Facts) -> int:
        return worst(examine(known, chosen(Wish(ids=(check,)))))

    assert weight("check.kubernetes.crds", facts(crds={})) == Severity.CRITICAL.rank
    assert weight("check.kubernetes.crds", facts(crds=dict.fromkeys(PLURALS, "0"))) == Severity.WARN.rank
    assert weight("check.connector.ready", facts(connector())) == -1
