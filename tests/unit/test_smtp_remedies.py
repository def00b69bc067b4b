"""Every reason has a remedy that a person can act on, and nothing that a stranger wrote can run in it."""

import re

import pytest

from watchbell.api.reasons import Reason as R  # noqa: N817 - tables are read by their columns
from watchbell.api.sensitive import Sensitive
from watchbell.smtp.context import ReplyContext
from watchbell.smtp.model import Mechanism, TlsMode
from watchbell.smtp.natures import NATURES
from watchbell.smtp.providers import DEFAULT_LIMITS, PROVIDERS, limits_of, provider_of, warnings
from watchbell.smtp.remedies import personalise, remedies
from watchbell.smtp.remedy_table import REMEDIES
from watchbell.smtp.ses import derive_password

RICH = ReplyContext(
    host="smtp.example.com",
    port=587,
    address="192.0.2.7",
    hello_name="alerts.example.com",
    username="alice",
    mail_from="alerts@example.com",
    mechanism=Mechanism.PLAIN,
    offered=("NTLM", "GSSAPI"),
    certificate_names=("mx.example.com", "*.example.net"),
    max_message_bytes=1000,
)


@pytest.mark.parametrize("reason", NATURES)
@pytest.mark.parametrize("context", [ReplyContext(), RICH], ids=["nothing known", "all known"])
def test_every_reason_that_a_fault_may_carry_has_plain_remedies(reason, context):
    told = remedies(reason, context)
    assert told
    assert all(sentence[0].isupper() or sentence.startswith("spec.") for sentence in told)
    assert not any(re.search(r"\{[a-z]+\}", sentence) for sentence in told)
    assert all(len(sentence) <= 400 and sentence.isprintable() for sentence in told)


def test_no_remedy_stands_for_a_reason_that_no_fault_carries():
    assert set(REMEDIES) == set(NATURES)


def test_remedies_speak_of_what_was_seen():
    assert any("mx.example.com, *.example.net" in sentence for sentence in remedies(R.CERTIFICATE_NAME_MISMATCH, RICH))
    assert any("NTLM, GSSAPI" in sentence for sentence in remedies(R.NO_SHARED_AUTH_MECHANISM, RICH))
    assert any("1000 bytes" in sentence for sentence in remedies(R.MESSAGE_TOO_LARGE, RICH))
    assert any(
        "-starttls smtp -connect smtp.example.com:587" in sentence for sentence in remedies(R.CERTIFICATE_EXPIRED, RICH)
    )
    implicit = ReplyContext(host="smtp.example.com", port=465, tls_mode=TlsMode.IMPLICIT)
    assert any(
        "s_client -connect smtp.example.com:465" in sentence for sentence in remedies(R.CERTIFICATE_EXPIRED, implicit)
    )


@pytest.mark.parametrize("evil", ["a;rm -rf /", "$(id)", "`id`", "x1 y2", "-oProxyCommand=id", "a\nb", "x'y", "{host}"])
def test_a_hostile_name_never_lands_in_a_command(evil):
    context = ReplyContext(host=evil, hello_name=evil, address=evil, certificate_names=(evil,))
    for reason in REMEDIES:
        assert not any(evil in sentence for sentence in remedies(reason, context))


def test_a_secret_in_the_user_name_is_not_shown():
    context = ReplyContext(username="hunter22", secrets=(Sensitive("hunter22"),))
    assert not any("hunter22" in sentence for sentence in remedies(R.WEB_LOGIN_REQUIRED, context))


def test_names_are_put_in_only_where_they_are_harmless():
    sentences = ("kubectl -n $NAMESPACE get secret $SECRET", "$OTHER")
    assert personalise(sentences, {"NAMESPACE": "prod", "SECRET": "a; id"}) == (
        "kubectl -n prod get secret $SECRET",
        "$OTHER",
    )


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.office365.com", "Microsoft 365"),
        ("SMTP.Office365.com.", "Microsoft 365"),
        ("smtp-hve.office365.com", "Microsoft 365 High Volume Email"),
        ("smtp-mail.outlook.com", "Outlook.com"),
        ("smtp.gmail.com", "Gmail"),
        ("smtp-relay.gmail.com", "Google Workspace SMTP relay"),
        ("email-smtp.eu-central-1.amazonaws.com", "Amazon SES"),
        ("smtp.sendgrid.net", "SendGrid"),
        ("smtp.mailgun.org", "Mailgun"),
        ("smtp-relay.brevo.com", "Brevo"),
        ("smtp.postmarkapp.com", "Postmark"),
        ("smtp.socketlabs.com", "SocketLabs"),
    ],
)
def test_each_known_host_belongs_to_its_provider(host, name):
    found = provider_of(host)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("host", ["evilgmail.com", "smtp.example.com", "smtp.gmail.com.example.com", ""])
def test_a_name_that_only_looks_alike_is_unknown_and_gets_careful_limits(host):
    assert provider_of(host) is None
    assert limits_of(host) == DEFAULT_LIMITS


def test_the_published_limits_are_used():
    assert limits_of("smtp.office365.com").messages_per_minute == 30
    assert limits_of("smtp.gmail.com").messages_per_day == 500
    assert limits_of("smtp.sendgrid.net").message_bytes == 31_457_280
    assert all(known.limits.recipients_per_message >= 50 for known in PROVIDERS)


def test_known_traps_are_told_before_anything_is_tried():
    assert "December 2026" in warnings("smtp.office365.com", "a@example.com", "a@example.com", has_password=True)[0]
    assert not warnings("smtp.office365.com", "a@example.com", "a@example.com", has_password=False)
    assert "app password" in warnings("smtp.gmail.com", "a@gmail.com", "a@gmail.com", has_password=True)[0]
    assert "apikey" in warnings("smtp.sendgrid.net", "alice", "a@example.com", has_password=True)[0]
    assert not warnings("smtp.sendgrid.net", "apikey", "a@example.com", has_password=True)
    assert "b@example.com" in warnings("smtp.office365.com", "a@example.com", "b@example.com", has_password=False)[0]
    assert not warnings("smtp.example.com", "a", "b@example.com", has_password=True)


def test_the_provider_is_named_first_when_a_login_fails():
    context = ReplyContext(host="email-smtp.eu-central-1.amazonaws.com", mechanism=Mechanism.PLAIN)
    assert "spec.auth.ses.region" in remedies(R.CREDENTIALS_REJECTED, context)[0]


def test_the_ses_password_is_derived_as_amazon_says():
    found = derive_password(Sensitive("some+secret+key"), "eu-central-1")
    assert found.reveal() == "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"
    assert "BMX" not in repr(found)


def test_the_secret_of_a_client_certificate_is_not_the_one_of_the_login_and_opts_in():
    told = " ".join(remedies(R.INVALID_CLIENT_CERTIFICATE, RICH))
    assert "create secret tls NAME " in told
    assert "label secret NAME watchbell.dev/smtp=true" in told
