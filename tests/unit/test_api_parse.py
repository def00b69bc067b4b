import time
import timeit
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cases import BOUNDS, IMMUTABLE, REFUSED, TAKEN, Refused, body_of, spec_of
from watchbell.api.connector import ClusterSmtpConnector, SmtpConnector
from watchbell.api.enums import BaselineMode, ConnectorKind, CrashKind, DriftCheck, Level, TlsMode, Verification
from watchbell.api.kinds import KINDS
from watchbell.api.meta import Problem, parse
from watchbell.api.policy import CollectorPolicy

MODELS = {kind.kind: kind.model for kind in KINDS}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_the_api_server_refuses_is_refused_by_parse_in_the_same_words(case: Refused):
    found = parse(MODELS[case.kind], body_of(case.kind, spec_of(case.kind, case.change)))
    assert isinstance(found, tuple)
    assert Problem(case.path, case.message) in found


@pytest.mark.parametrize(("kind", "change", "path", "message"), BOUNDS)
def test_a_bound_of_the_schema_is_told_in_plain_words_with_the_path(kind, change, path, message):
    found = parse(MODELS[kind], body_of(kind, spec_of(kind, change)))
    assert isinstance(found, tuple)
    [problem] = found
    assert problem == Problem(path, message)


@pytest.mark.parametrize(("kind", "change"), TAKEN)
def test_a_valid_object_becomes_its_model(kind, change):
    assert isinstance(parse(MODELS[kind], body_of(kind, spec_of(kind, change))), MODELS[kind])


def test_every_problem_is_told_at_once():
    spec = {"host": "http://x", "port": 0, "from": {"address": "nobody"}, "tls": {"mode": "Maybe"}}
    found = parse(SmtpConnector, body_of("SmtpConnector", spec))
    assert isinstance(found, tuple)
    assert [problem.path for problem in found] == ["spec.host", "spec.port", "spec.tls.mode", "spec.from.address"]


def test_a_list_of_only_wrong_items_is_not_called_empty():
    spec = spec_of("CollectorPolicy", {"routes": [{"name": "Main", "to": ["a@b.example"]}]})
    found = parse(CollectorPolicy, body_of("CollectorPolicy", spec))
    assert isinstance(found, tuple)
    assert [problem.path for problem in found] == ["spec.routes[0].name"]


def test_a_problem_reads_as_a_sentence_and_never_holds_the_value():
    spec = spec_of("SmtpConnector", {"auth": {"secretRef": {"name": "x"}, "username": "hunter2\n"}})
    found = parse(SmtpConnector, body_of("SmtpConnector", spec))
    assert isinstance(found, tuple)
    assert str(found[0]).startswith("spec.auth.username: username may not contain line breaks")
    assert "hunter2" not in str(found)


def test_a_missing_spec_is_a_problem_with_a_path():
    assert parse(SmtpConnector, {"metadata": {"name": "x"}}) == (Problem("spec", "must be set"),)


def test_a_spec_of_the_wrong_type_is_a_problem_with_a_path():
    assert parse(CollectorPolicy, {"spec": []}) == (Problem("spec", "must be an object"),)


def test_a_null_where_an_object_belongs_counts_as_absent_or_is_told():
    found = parse(SmtpConnector, body_of("SmtpConnector", spec_of("SmtpConnector", {"tls": None})))
    assert isinstance(found, SmtpConnector)
    assert found.spec.tls is None
    assert parse(CollectorPolicy, body_of("CollectorPolicy", spec_of("CollectorPolicy", {"crash": None}))) == (
        Problem("spec.crash", "must be an object"),
    )


def test_fields_of_a_newer_crd_are_ignored():
    spec = spec_of("SmtpConnector", {"fromTheFuture": {"x": 1}})
    assert isinstance(parse(SmtpConnector, body_of("SmtpConnector", spec)), SmtpConnector)


def test_a_broken_status_is_left_out_and_never_blamed_on_the_user():
    status = {"observedGeneration": 3, "endpoint": 7, "consecutiveFailures": "many", "tlsMode": "Implicit"}
    found = parse(SmtpConnector, body_of("SmtpConnector", spec_of("SmtpConnector", {})) | {"status": status})
    assert isinstance(found, SmtpConnector)
    assert found.status.observed_generation == 3
    assert found.status.tls_mode is TlsMode.IMPLICIT
    assert found.status.endpoint is None


def test_a_status_that_is_no_object_is_left_out():
    found = parse(SmtpConnector, body_of("SmtpConnector", spec_of("SmtpConnector", {})) | {"status": "Ready"})
    assert isinstance(found, SmtpConnector)
    assert found.status.conditions == ()


def test_a_broken_status_does_not_hide_a_broken_spec():
    body = body_of("SmtpConnector", spec_of("SmtpConnector", {"port": 0})) | {"status": {"endpoint": 7}}
    assert parse(SmtpConnector, body) == (Problem("spec.port", "must be at least 1"),)


def test_what_is_absent_gets_the_defaults_that_the_reference_names():
    found = parse(SmtpConnector, body_of("SmtpConnector", spec_of("SmtpConnector", {"tls": {}, "probe": {}})))
    assert isinstance(found, SmtpConnector)
    assert found.spec.tls is not None
    assert found.spec.probe is not None
    assert (found.spec.tls.mode, found.spec.tls.verification) == (TlsMode.START_TLS, Verification.FULL)
    assert (found.spec.probe.level, found.spec.probe.period_seconds) == (Level.AUTHENTICATE, 600)


def test_a_policy_of_a_selector_and_a_route_looks_for_every_kind_of_crash():
    found = parse(CollectorPolicy, body_of("CollectorPolicy", spec_of("CollectorPolicy", {})))
    assert isinstance(found, CollectorPolicy)
    assert found.spec.crash.kinds == tuple(CrashKind)
    assert found.spec.grouping.repeat_seconds == 14_400
    assert found.spec.drift.checks == tuple(DriftCheck)
    assert (found.spec.baseline.mode, found.spec.baseline.pinned) == (BaselineMode.OWNER_TEMPLATE, None)
    assert (found.spec.grouping.max_incidents_per_message, found.spec.throttle.messages_per_hour) == (50, 30)
    assert found.spec.routes[0].connector_ref is None


def test_a_connector_ref_without_kind_means_a_connector_of_the_namespace():
    spec = spec_of("CollectorPolicy", {"routes": [{"name": "a", "to": ["a@b.example"], "connectorRef": {"name": "x"}}]})
    found = parse(CollectorPolicy, body_of("CollectorPolicy", spec))
    assert isinstance(found, CollectorPolicy)
    assert found.spec.routes[0].connector_ref is not None
    assert found.spec.routes[0].connector_ref.kind is ConnectorKind.SMTP_CONNECTOR


def test_metadata_is_read():
    body = body_of("ClusterSmtpConnector", spec_of("ClusterSmtpConnector", {}))
    body["metadata"] |= {
        "uid": "u",
        "generation": 4,
        "resourceVersion": "77",
        "creationTimestamp": "2026-01-31T08:00:00Z",
        "annotations": {"watchbell.dev/requested-at": "now"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "y", "controller": True}],
        "managedFields": [{}],
    }
    found = parse(ClusterSmtpConnector, body)
    assert isinstance(found, ClusterSmtpConnector)
    assert (found.metadata.uid, found.metadata.generation, found.metadata.resource_version) == ("u", 4, "77")
    assert found.metadata.creation_timestamp == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert found.metadata.owner_references[0].controller


def test_every_kind_whose_spec_may_not_change_says_so_in_one_rule():
    immutable = {
        kind.kind
        for kind in KINDS
        if any("oldSelf" in rule.cel for rule in kind.model.model_fields["spec"].annotation.RULES)
    }
    assert immutable == set(IMMUTABLE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = {
    kind.kind: list(kind.model.model_fields["spec"].annotation.model_json_schema()["properties"]) for kind in KINDS
}


@given(data=st.data(), kind=st.sampled_from(sorted(MODELS)))
def test_no_json_whatever_makes_parse_raise(data, kind):
    spec = spec_of(kind, data.draw(st.dictionaries(st.sampled_from(FIELDS[kind]), JSON, max_size=3)))
    found = parse(MODELS[kind], body_of(kind, spec) | {"status": data.draw(JSON)})
    assert isinstance(found, MODELS[kind]) or all(problem.path.startswith("spec") for problem in found)


def test_a_thousand_connectors_are_parsed_in_a_tenth_of_a_second_of_cpu():
    change = {
        "auth": {"secretRef": {"name": "x"}},
        "tls": {"caSecretRef": {"name": "ca"}},
        "probe": {},
        "replyTo": ["a@b.c"],
    }
    body = body_of("SmtpConnector", spec_of("SmtpConnector", change))
    best_s = min(timeit.repeat(lambda: parse(SmtpConnector, body), number=1000, repeat=5, timer=time.process_time))
    assert best_s < 0.1, f"{best_s * 1000:.0f} µs each"
