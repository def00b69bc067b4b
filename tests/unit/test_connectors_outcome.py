from datetime import UTC, datetime

import pytest

from watchbell.api.reasons import Reason
from watchbell.connectors.credentials import Refusal
from watchbell.connectors.outcome import Subject, probed, refused, server_entry, stage_entries, unprobed
from watchbell.connectors.schedule import Memory
from watchbell.smtp.model import (
    Fault,
    Level,
    ProbeReport,
    RetryClass,
    ServerFacts,
    StageName,
    StageReport,
    StageResult,
    TlsFacts,
    TlsMode,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SUBJECT = Subject("smtp.example.com:587", TlsMode.START_TLS, verifies=True, has_login=True, level=Level.AUTHENTICATE)
TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", "CN=smtp.example.com", "CN=ca", "2027-01-01T00:00:00Z", "ab" * 32)
SERVER = ServerFacts(("SIZE 1000",), ("PLAIN",), 1000, TLS, "192.0.2.7")
CONNECTED = StageReport(StageName.CONNECT, StageResult.PASSED, 3)


def fault(stage, reason, *, permanent):
    return Fault(stage, reason, "it failed", RetryClass.A, is_permanent=permanent, remedies=("do this", "or that"))


def by_type(conditions):
    return {condition.type: (condition.status, condition.reason) for condition in conditions}


def judged(problem, memory=None):
    report = ProbeReport((CONNECTED,), problem, SERVER)
    return by_type(probed(SUBJECT, report, memory or Memory(last_login=None if problem else NOW, fault=problem)))


def test_a_proven_connector_has_every_condition_true_and_neither_reconciling_nor_stalled():
    assert judged(None, Memory(last_login=NOW, is_proven=True)) == {
        "Accepted": ("True", Reason.ACCEPTED),
        "ResolvedRefs": ("True", Reason.RESOLVED_REFS),
        "Reachable": ("True", Reason.CONNECTED),
        "TLSVerified": ("True", Reason.VERIFIED),
        "Authenticated": ("True", Reason.AUTHENTICATED),
        "Ready": ("True", Reason.PROVEN),
    }


@pytest.mark.parametrize(
    ("stage", "reason", "permanent", "condition", "progress"),
    [
        (StageName.CONNECT, Reason.CONNECTION_REFUSED, False, "Reachable", "Reconciling"),
        (StageName.RESOLVE, Reason.HOST_NOT_FOUND, True, "Reachable", "Reconciling"),
        (StageName.GREETING, Reason.GREETING_TIMED_OUT, False, "Reachable", "Reconciling"),
        (StageName.TLS, Reason.CERTIFICATE_UNTRUSTED, True, "TLSVerified", "Stalled"),
        (StageName.START_TLS, Reason.STARTTLS_UNAVAILABLE, False, "TLSVerified", "Reconciling"),
        (StageName.AUTHENTICATE, Reason.CREDENTIALS_REJECTED, True, "Authenticated", "Stalled"),
        (StageName.AUTHENTICATE, Reason.AUTH_TEMPORARILY_UNAVAILABLE, False, "Authenticated", "Reconciling"),
        (StageName.TOKEN, Reason.OAUTH_CLIENT_REJECTED, True, "Authenticated", "Stalled"),
    ],
)
def test_what_may_mend_itself_is_reconciling_and_what_waits_for_a_person_is_stalled(
    stage, reason, permanent, condition, progress
):
    found = judged(fault(stage, reason, permanent=permanent))
    assert found[condition] == ("False", reason)
    assert found["Ready"] == ("False", reason)
    assert ("Reconciling" in found, "Stalled" in found) == (progress == "Reconciling", progress == "Stalled")


def test_an_address_outside_of_the_egress_policy_is_not_accepted():
    found = judged(fault(StageName.POLICY, Reason.DESTINATION_NOT_ALLOWED, permanent=True))
    assert found["Accepted"] == ("False", Reason.HOST_NOT_ALLOWED)
    assert "Stalled" in found


@pytest.mark.parametrize(
    ("reason", "told"),
    [(Reason.HOST_NOT_ALLOWED, "HostNotAllowed"), (Reason.PORT_NOT_ALLOWED, "PortNotAllowed")],
)
def test_a_token_endpoint_outside_of_the_egress_policy_is_not_accepted(reason, told):
    conditions = judged(fault(StageName.TOKEN, reason, permanent=True))
    assert conditions["Accepted"] == ("False", told)
    assert conditions["Stalled"] == ("True", told)


@pytest.mark.parametrize("reason", [Reason.INVALID_CA_BUNDLE, Reason.INVALID_CLIENT_CERTIFICATE])
def test_a_certificate_of_no_use_is_a_reference_that_is_not_resolved_and_says_nothing_of_the_server(reason):
    conditions = judged(fault(StageName.POLICY, reason, permanent=True))
    assert conditions["ResolvedRefs"] == ("False", reason)
    assert conditions["Ready"] == ("False", reason)
    assert conditions["Stalled"] == ("True", reason)
    assert conditions["Reachable"][0] != "False"


def test_an_established_connector_says_that_it_failed_and_stays_ready_below_the_threshold():
    problem = fault(StageName.CONNECT, Reason.CONNECTION_REFUSED, permanent=False)
    found = judged(problem, Memory(is_proven=True, failures=1, fault=problem, last_login=NOW))
    assert (found["Ready"], found["Reachable"][0]) == (("True", Reason.PROVEN), "False")
    assert not {"Reconciling", "Stalled"} & set(found)


def test_a_missing_secret_is_reconciling_since_it_often_comes_later():
    found = by_type(refused(Refusal("ResolvedRefs", Reason.SECRET_NOT_FOUND, "no such Secret")))
    assert found["ResolvedRefs"] == ("False", Reason.SECRET_NOT_FOUND)
    assert found["Reconciling"] == ("True", Reason.WAITING_FOR_SECRET)
    assert found["Ready"] == ("False", Reason.SECRET_NOT_FOUND)


def test_a_wrong_spec_is_stalled_but_a_missing_parent_may_still_come():
    wrong = by_type(refused(Refusal("Accepted", Reason.INVALID_SPEC, "spec.host: must be set")))
    orphan = by_type(refused(Refusal("Accepted", Reason.PARENT_NOT_FOUND, "none")))
    assert (wrong["Accepted"], wrong["Stalled"]) == (("False", Reason.INVALID_SPEC), ("True", Reason.INVALID_SPEC))
    assert orphan["Reconciling"] == ("True", Reason.RETRYING)


def test_a_masked_secret_leaves_a_connector_ready_that_has_a_good_credential():
    found = by_type(
        refused(Refusal("ResolvedRefs", Reason.MASKED_PLACEHOLDER, "masked"), still_proven="the last one stays")
    )
    assert (found["Ready"], found["ResolvedRefs"]) == (("True", Reason.PROVEN), ("False", Reason.MASKED_PLACEHOLDER))


@pytest.mark.parametrize(("reason", "status"), [(Reason.SUSPENDED, "False"), (Reason.PROBE_DISABLED, "True")])
def test_a_connector_that_is_not_probed_says_why(reason, status):
    assert by_type(unprobed(SUBJECT, reason))["Ready"] == (status, reason)


def test_clear_text_and_unverified_tls_are_told_apart_from_verified():
    report = ProbeReport((CONNECTED,), None, SERVER)
    plain = Subject("h:25", TlsMode.NONE, verifies=True, has_login=False, level=Level.AUTHENTICATE)
    unverified = Subject("h:587", TlsMode.START_TLS, verifies=False, has_login=False, level=Level.AUTHENTICATE)
    assert by_type(probed(plain, report, Memory()))["TLSVerified"] == ("True", Reason.TLS_DISABLED)
    assert by_type(probed(unverified, report, Memory()))["TLSVerified"] == ("False", Reason.TLS_NOT_VERIFIED)
    assert by_type(probed(plain, report, Memory()))["Authenticated"] == ("True", Reason.AUTHENTICATION_NOT_REQUIRED)


def test_stage_entries_leave_out_what_is_absent_and_bound_the_rest():
    entries = stage_entries(
        (
            StageReport(
                StageName.CONNECT,
                StageResult.FAILED,
                5,
                Reason.CONNECTION_REFUSED,
                message="m" * 900,
                chain=("c" * 2000,) * 12,
            ),
        )
    )
    assert [sorted(entry) for entry in entries] == [
        ["chain", "durationMilliseconds", "message", "name", "reason", "result"]
    ]
    assert (len(entries[0]["message"]), len(entries[0]["chain"]), len(entries[0]["chain"][0])) == (512, 8, 1024)


def test_the_server_entry_holds_the_certificate():
    assert server_entry(SERVER)["tls"]["sha256"] == "ab" * 32
    assert server_entry(ServerFacts()) == {"capabilities": []}
