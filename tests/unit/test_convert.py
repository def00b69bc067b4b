"""Imports of foreign settings: what becomes of each key, that none is lost without a word, and that the result is the same relay."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.cli.convert import READERS
from watchbell.cli.diagnosisoptions import FORMAT_WORDS
from watchbell.convert import alertmanager, django, grafana, javamail, objects
from watchbell.convert import settings as plain
from watchbell.convert.draft import Draft, UnreadableError, Verdict
from watchbell.convert.properties import read_properties
from watchbell.doctor.files import manifests
from watchbell.doctor.relays import relays
from watchbell.smtp.model import Mechanism, Relay, TlsMode

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PASSWORD = "c4nary-p4ssw0rd!"
JAVA = "mail.smtp.host=smtp.example.com\nmail.smtp.from=alerts@example.com\n"


def relay_of(draft: Draft, *, with_password: bool = True) -> Relay:
    """The way round: draft → YAML → manifest → the relay that the operator would dial."""
    draft.sender = draft.sender or "alerts@example.com"
    connector = objects.connector(draft, "relay", "shop")
    assert isinstance(connector, dict), connector
    secret = objects.secret(draft, "relay", "shop", with_password=with_password)
    bodies = tuple(body for body in (secret, connector) if body)
    text = objects.text_of(bodies, tuple(draft.notes), "test")
    known = manifests([("made.yaml", text)], "shop", "home", NOW)
    found, gaps = relays(known, has_login=True)
    assert not gaps, gaps
    assert len(found) == 1
    return found[0].relay


def told(draft: Draft) -> dict[str, str]:
    return {note.key: str(note.verdict) for note in draft.notes}


# --- JavaMail: every row of the table

ROWS = [
    ("mail.transport.protocol=smtps", {"mode": TlsMode.IMPLICIT}, None, "smtps"),
    ("mail.smtp.port=2525", {"port": 2525}, None, "smtp"),
    ("mail.smtp.port=smtp", {}, "refused", "smtp"),
    ("mail.smtp.localhost=relay.example.com", {"hello_name": "relay.example.com"}, None, "smtp"),
    ("mail.smtp.localhost=pod-1", {"hello_name": ""}, "refused", "smtp"),
    ("mail.smtp.user=me@example.com", {"username": "me@example.com", "logs_in": True}, None, "smtp"),
    ("mail.smtp.auth=false", {"logs_in": False}, None, "smtp"),
    ("mail.smtp.auth=true", {"logs_in": True}, "changed", "smtp"),
    ("mail.smtp.auth.mechanisms=CRAM-MD5", {"mechanism": Mechanism.CRAM_MD5}, None, "smtp"),
    ("mail.smtp.auth.mechanisms=LOGIN PLAIN", {"mechanism": Mechanism.AUTO}, "changed", "smtp"),
    ("mail.smtp.auth.mechanisms=DIGEST-MD5 NTLM PLAIN", {"mechanism": Mechanism.PLAIN}, "refused", "smtp"),
    ("mail.smtp.sasl.mechanisms=XOAUTH2", {"mechanism": Mechanism.AUTO}, "refused", "smtp"),
    ("mail.smtp.auth.plain.disable=true", {"mechanism": Mechanism.LOGIN}, None, "smtp"),
    ("mail.smtp.auth.xoauth2.disable=false", {"mechanism": Mechanism.AUTO}, None, "smtp"),
    ("mail.smtp.sasl.enable=true", {}, "ignored", "smtp"),
    ("mail.smtp.sasl.authorizationid=x", {}, "refused", "smtp"),
    ("mail.smtp.submitter=x", {}, "refused", "smtp"),
    ("mail.smtp.auth.ntlm.domain=CORP", {}, "refused", "smtp"),
    ("mail.smtp.auth.digest-md5.disable=true", {}, "refused", "smtp"),
    ("mail.smtp.sasl.realm=x", {}, "refused", "smtp"),
    ("mail.smtp.sasl.usecanonicalhostname=true", {}, "refused", "smtp"),
    ("mail.smtp.ssl.enable=true", {"mode": TlsMode.IMPLICIT, "port": 465}, None, "smtp"),
    ("mail.smtp.starttls.enable=true", {"mode": TlsMode.START_TLS, "port": 25}, "changed", "smtp"),
    ("mail.smtp.starttls.required=true", {"mode": TlsMode.START_TLS}, None, "smtp"),
    ("mail.smtp.ssl.checkserveridentity=false", {"is_unverified": False}, "refused", "smtp"),
    ("mail.smtp.ssl.checkserveridentity=true", {}, None, "smtp"),
    ("mail.smtp.ssl.trust=*", {"is_unverified": False}, "refused", "smtp"),
    ("mail.smtp.ssl.protocols=TLSv1.3", {}, None, "smtp"),
    ("mail.smtp.ssl.protocols=TLSv1 TLSv1.2", {}, "refused", "smtp"),
    ("mail.smtp.ssl.ciphersuites=X", {}, "refused", "smtp"),
    ("mail.smtp.connectiontimeout=10000", {"timeout_s": 10}, None, "smtp"),
    ("mail.smtp.connectiontimeout=1500", {"timeout_s": 2}, "changed", "smtp"),
    ("mail.smtp.connectiontimeout=900000", {"timeout_s": 60}, "changed", "smtp"),
    ("mail.smtp.timeout=5000", {}, "ignored", "smtp"),
    ("mail.smtp.writetimeout=5000", {}, "ignored", "smtp"),
    ("mail.smtp.localaddress=10.0.0.1", {}, "refused", "smtp"),
    ("mail.smtp.localport=1234", {}, "refused", "smtp"),
    ("mail.smtp.ehlo=false", {}, "refused", "smtp"),
    *(
        (f"mail.smtp.{key}=true", {}, "ignored", "smtp")
        for key in (
            "quitwait",
            "quitonsessionreject",
            "userset",
            "noop.strict",
            "reportsuccess",
            "sendpartial",
            "allow8bitmime",
        )
    ),
    ("mail.smtp.chunksize=1024", {}, "ignored", "smtp"),
    ("mail.smtp.dsn.notify=NEVER", {}, "ignored", "smtp"),
    ("mail.smtp.dsn.ret=HDRS", {}, "ignored", "smtp"),
    ("mail.smtp.mailextension=X", {}, "refused", "smtp"),
    ("mail.smtp.proxy.host=p", {}, "refused", "smtp"),
    ("mail.smtp.proxy.password=p", {}, "refused", "smtp"),
    ("mail.smtp.socks.host=p", {}, "refused", "smtp"),
    ("mail.smtp.socketFactory.class=javax.net.ssl.SSLSocketFactory", {"mode": TlsMode.IMPLICIT}, "changed", "smtp"),
    ("mail.smtp.socketFactory.port=465", {"port": 465}, None, "smtp"),
    ("mail.smtp.ssl.socketFactory.class=x", {}, "refused", "smtp"),
    ("mail.smtp.hostnameverifier.class=x", {}, "refused", "smtp"),
    ("mail.smtp.executor.class=x", {}, "refused", "smtp"),
    (f"mail.smtp.password={PASSWORD}", {"password": None}, "refused", "smtp"),
    (f"mail.password={PASSWORD}", {"password": None}, "refused", "smtp"),
    ("mail.debug=true", {}, "ignored", "smtp"),
    ("mail.debug.auth=true", {}, "refused", "smtp"),
    ("mail.imap.host=x", {}, "ignored", "smtp"),
    ("other=1", {}, "ignored", "smtp"),
    ("mail.smtp.nonsense=1", {}, "refused", "smtp"),
    ("mail.smtps.port=465", {}, "ignored", "smtp"),
]


@pytest.mark.parametrize(("line", "wanted", "verdict", "protocol"), ROWS)
def test_every_javamail_key_is_taken_or_told_with_its_reason(line, wanted, verdict, protocol):
    draft = javamail.drafted(JAVA.replace("mail.smtp.", f"mail.{protocol}.") + line)
    for name, value in wanted.items():
        assert getattr(draft, name) == value
    key = line.partition("=")[0]
    assert told(draft).get(key) == verdict
    assert PASSWORD not in " ".join(map(str, draft.notes))


def test_the_default_of_the_email_server_connector_is_gmail_with_tls_at_once():
    text = "mail.smtp.host=smtp.gmail.com\nmail.smtp.port=465\nmail.smtp.auth=true\nmail.smtp.ssl.enable=true\nmail.debug=false\n"
    relay = relay_of(javamail.drafted(text), with_password=False)
    assert (relay.host, relay.port, relay.tls.mode) == ("smtp.gmail.com", 465, TlsMode.IMPLICIT)
    assert relay.auth is not None


def test_starttls_is_never_left_to_chance():
    draft = javamail.drafted(JAVA + "mail.smtp.starttls.enable=true\nmail.smtp.port=587")
    assert "JavaMail would go on in clear text" in str(draft.notes[0])
    assert relay_of(draft).tls.mode is TlsMode.START_TLS


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=b", {"a": "b"}),
        ("a : b", {"a": "b"}),
        ("a b", {"a": "b"}),
        ("# no\n! no\n\n  a=b", {"a": "b"}),
        ("a=b\\\n  c", {"a": "bc"}),
        ("a\\=b=c", {"a=b": "c"}),
        ("a=\\u00e4\\tx", {"a": "ä\tx"}),
        ("a=1\na=2", {"a": "2"}),
        ("a", {"a": ""}),
        ("a=b\\\\", {"a": "b\\"}),
    ],
)  # fmt: skip
def test_properties_are_read_as_java_reads_them(text, pairs):
    assert read_properties(text) == pairs


# --- the forms and files of applications


@pytest.mark.parametrize(
    ("text", "endpoint", "mode", "user"),
    [
        ('{"Smtp": {"Host": "a.example", "Port": 2587, "UseSsl": true}}', "a.example:2587", TlsMode.START_TLS, None),
        (
            '{"Email": {"Smtp": {"Host": "b.example"}}, "Notify": {"Email": {"Host": "c.example"}}}',
            "b.example:587",
            TlsMode.START_TLS,
            None,
        ),
        ('{"Notify": {"Email": {"Host": "c.example", "Port": "465"}}}', "c.example:465", TlsMode.IMPLICIT, None),
        (
            '{"host": "r.example", "port": 25, "fromEmail": "a@r.example", "senderName": "Main", "useTls": false}',
            "r.example:25",
            TlsMode.NONE,
            None,
        ),
        (
            '{"smtp": {"host": "r.example", "port": 587, "username": "u", "password": "'
            + PASSWORD
            + '", "tls": true}}',
            "r.example:587",
            TlsMode.START_TLS,
            "u",
        ),
        (
            '{"SMTP Host": "g.example", "SMTP Port": 587, "SMTP Domain": "CORP", "SMTP Username": "u", "SMTP Password": "'
            + PASSWORD
            + '", "Enable secure connection": true}',
            "g.example:587",
            TlsMode.START_TLS,
            "CORP\\u",
        ),
        ("SMTP__HOST=e.example\nSMTP__PORT=587\nSMTP__USESSL=true\n", "e.example:587", TlsMode.START_TLS, None),
        ("# old\nexport SMTP_HOST='e.example' # relay\nSMTP_PORT=25\n", "e.example:25", TlsMode.NONE, None),
    ],
)
def test_settings_of_applications_become_the_same_relay(text, endpoint, mode, user):
    pairs = plain.read_json(text) if text.startswith("{") else plain.read_env(text)
    relay = relay_of(plain.drafted(pairs))
    assert (relay.endpoint, relay.tls.mode) == (endpoint, mode)
    assert (relay.auth.username if relay.auth else None) == user
    assert relay.auth is None or relay.auth.password.reveal() == PASSWORD


def test_a_mask_is_not_taken_for_a_password():
    draft = plain.drafted({"Smtp:Host": "a.example", "Smtp:Username": "u", "Smtp:Password": "********"})
    assert draft.password is None
    assert told(draft)["Smtp:Password"] == "refused"


@pytest.mark.parametrize(
    ("reader", "text", "words"),
    [
        (READERS["settings"], "{}", "there is no host"),
        (READERS["settings"], "[1]", "line 1 is not NAME=value"),
        (READERS["settings"], "{", "it is not JSON"),
        (READERS["settings"], "Smtp__Host", "line 1 is not NAME=value"),
        (javamail.drafted, "mail.smtp.port=25", "there is no host: give mail.smtp.host"),
        (javamail.drafted, "mail.transport.protocol=imap", "must be smtp or smtps"),
        (javamail.drafted, "a=\\u12", "line 1 has a \\u without four"),
        (alertmanager.drafted, "a: [", "it is not YAML"),
        (alertmanager.drafted, "global: {}", "there is no smarthost"),
        (alertmanager.drafted, "- 1", "it must be Alertmanager's configuration"),
        (grafana.drafted, "[server]\n", "there is no section [smtp]"),
        (grafana.drafted, "[[x\n", "is not an ini file"),
        (django.drafted, "DEBUG = True", "there is no EMAIL_ setting"),
        (django.drafted, "EMAIL_USE_TLS = True\nEMAIL_USE_SSL = True", "both set"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_the_cure(reader, text, words):
    with pytest.raises(UnreadableError) as error:
        reader(text)
    assert words in str(error.value)


# --- Alertmanager, Grafana, Django


def test_alertmanagers_section_is_taken_over():
    text = yaml.safe_dump(
        {
            "global": {
                "smtp_smarthost": "smtp.example.com:587", "smtp_from": "am@example.com", "smtp_hello": "am.example.com",
                "smtp_auth_username": "am@example.com", "smtp_auth_password": PASSWORD, "smtp_auth_identity": "x",
                "smtp_tls_config": {"insecure_skip_verify": True, "server_name": "relay.example.com", "min_version": "TLS13"},
                "resolve_timeout": "5m",
            },
            "receivers": [{"name": "ops", "email_configs": [{"to": "ops@example.com"}]}],
        }
    )  # fmt: skip
    draft = alertmanager.drafted(text)
    assert told(draft) == {
        "smtp_auth_password": "changed", "smtp_auth_identity": "refused", "smtp_tls_config.insecure_skip_verify": "refused",
        "receivers[].email_configs": "ignored",
    }  # fmt: skip
    relay = relay_of(draft)
    assert (relay.endpoint, relay.tls.mode, relay.tls.server_name, relay.tls.min_version) == (
        "smtp.example.com:587",
        TlsMode.START_TLS,
        "relay.example.com",
        "TLS13",
    )
    assert (relay.hello_name, relay.mail_from, relay.auth.password.reveal()) == (
        "am.example.com",
        "am@example.com",
        PASSWORD,
    )


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({"smtp_smarthost": "r:465"}, TlsMode.IMPLICIT),
        ({"smtp_smarthost": "r:25", "smtp_require_tls": False}, TlsMode.NONE),
        ({"smtp_smarthost": "r:25"}, TlsMode.START_TLS),
    ],
)
def test_alertmanagers_encryption_is_understood(given, mode):
    assert alertmanager.drafted(yaml.safe_dump({"global": given})).mode is mode


GRAFANA = f"""app_mode = production
[smtp]
enabled = true
host = smtp.example.com:587
user = grafana@example.com
# If the password contains # or ; you have to wrap it with triple quotes.
password = \"\"\"{PASSWORD};#\"\"\"
;skip_verify = false
from_address = grafana@example.com
from_name = Grafana
startTLS_policy = OpportunisticStartTLS
[emails]
templates_pattern = emails/*.html
"""


def test_grafanas_section_is_taken_over():
    draft = grafana.drafted(GRAFANA)
    assert told(draft) == {"enabled": "ignored", "password": "changed", "startTLS_policy": "changed"}
    relay = relay_of(draft)
    assert (relay.endpoint, relay.tls.mode, relay.auth.password.reveal()) == (
        "smtp.example.com:587",
        TlsMode.START_TLS,
        f"{PASSWORD};#",
    )


@pytest.mark.parametrize(
    ("text", "mode", "host"),
    [
        ("GF_SMTP_HOST=r.example:465\nGF_SMTP_SKIP_VERIFY=true\n", TlsMode.IMPLICIT, "r.example"),
        ("[smtp]\nhost = r.example:25\nstartTLS_policy = NoStartTLS\n", TlsMode.NONE, "r.example"),
        ("[smtp]\nenabled = true\n", TlsMode.START_TLS, "localhost"),
    ],
)
def test_grafanas_encryption_is_understood(text, mode, host):
    draft = grafana.drafted(text)
    assert (draft.mode, draft.host) == (mode, host)


DJANGO = f"""import os
DEBUG = False
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = "smtp.example.com"
EMAIL_PORT = 587
EMAIL_HOST_USER = "web@example.com"
EMAIL_HOST_PASSWORD = "{PASSWORD}"
EMAIL_USE_TLS: bool = True
EMAIL_TIMEOUT = 8
EMAIL_SUBJECT_PREFIX = "[web] "
DEFAULT_FROM_EMAIL = "Web shop <shop@example.com>"
SERVER_EMAIL = "root@example.com"
raise SystemExit("settings are never run")
"""


def test_djangos_settings_are_read_and_never_run():
    draft = django.drafted(DJANGO)
    assert told(draft) == {
        "EMAIL_HOST_PASSWORD": "changed",
        "EMAIL_SUBJECT_PREFIX": "ignored",
        "SERVER_EMAIL": "ignored",
    }
    relay = relay_of(draft)
    assert (relay.endpoint, relay.tls.mode, relay.mail_from) == (
        "smtp.example.com:587",
        TlsMode.START_TLS,
        "shop@example.com",
    )
    assert (draft.sender_name, relay.timeouts.connect_each_s) == ("Web shop", 8)


@pytest.mark.parametrize(
    ("text", "mode", "verdict"),
    [
        (
            "EMAIL_HOST = 'r'\nEMAIL_PORT = 465\nEMAIL_USE_SSL = True\nEMAIL_HOST_PASSWORD = os.environ['X']",
            TlsMode.IMPLICIT,
            "refused",
        ),
        ("EMAIL_HOST = 'r'\nEMAIL_BACKEND = 'django.core.mail.backends.console.EmailBackend'", TlsMode.NONE, "refused"),
        ("EMAIL_HOST=r.example\nEMAIL_USE_TLS=True\n", TlsMode.START_TLS, None),
    ],
)
def test_djangos_encryption_and_what_is_computed_are_understood(text, mode, verdict):
    draft = django.drafted(text)
    assert draft.mode is mode
    assert verdict is None or verdict in told(draft).values()


# --- every reader


@pytest.mark.parametrize("name", FORMAT_WORDS)
@settings(deadline=None, max_examples=40)
@given(text=st.text(max_size=120) | st.text(alphabet="mail.smtp=:\n\\u{}[]\"'#; EMAIL_", max_size=120))
def test_any_text_is_a_draft_or_one_sentence(name, text):
    try:
        draft: Draft | str = READERS[name](text)
    except UnreadableError as error:
        draft = str(error)
    assert draft
    assert isinstance(draft, str) or objects.connector(draft, "x", None)


def test_every_format_of_the_command_line_has_a_reader():
    assert tuple(READERS) == FORMAT_WORDS


def convert(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "watchbell", "convert", *words],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_password_is_printed_only_when_asked_for(tmp_path: Path):
    path = tmp_path / "settings.py"
    path.write_text(DJANGO)
    said = convert("django", str(path), "-n", "shop", "--name", "relay")
    assert said.returncode == 0, said.stderr
    assert PASSWORD not in said.stdout + said.stderr
    secret, connector = yaml.safe_load_all(said.stdout)
    assert secret["stringData"] == {"username": "web@example.com", "password": objects.PLACEHOLDER}
    assert secret["metadata"]["annotations"] == {"watchbell.dev/allowed-hosts": "smtp.example.com"}
    assert connector["spec"]["auth"] == {"secretRef": {"name": "relay"}}
    assert "# ignored: EMAIL_SUBJECT_PREFIX: the words of a mail belong to its template" in said.stdout
    assert "watchbell: ignored: SERVER_EMAIL:" in said.stderr
    with_secret = convert("django", str(path), "--with-secret", "-o", "json")
    assert json.loads(with_secret.stdout)["items"][0]["stringData"]["password"] == PASSWORD
    assert PASSWORD not in with_secret.stderr


@pytest.mark.parametrize(
    ("words", "typed", "code", "words_told"),
    [
        (("javamial", "-"), "", 2, "did you mean javamail?"),
        (("javamail", "nowhere"), "", 2, "nowhere cannot be read: No such file or directory"),
        (("javamail", "-"), "x=1", 2, "-: there is no host"),
        (("javamail", "-"), "mail.smtp.host=a_b c", 1, "the result is no valid SmtpConnector: spec.host"),
        (("javamail", "-"), "mail.smtp.host=a", 1, "from.address must be set"),
        (("javamail", "-", "--from", "a@b.c", "--strict"), "mail.smtp.host=a\nmail.smtp.ssl.trust=*", 1, "refused: mail.smtp.ssl.trust"),
        (("javamail", "-"), "mail.smtp.host=a\nmail.smtp.user=me@b.c", 0, "the password travels in clear text, as before"),
        (("javamail", "-"), "mail.smtp.host=a\nmail.smtp.user=me@b.c", 0, "the login me@b.c is taken"),
    ],
)  # fmt: skip
def test_the_exit_code_and_the_sentence_say_what_is_wrong(words, typed, code, words_told):
    said = convert(*words, typed=typed)
    assert said.returncode == code
    assert words_told in said.stderr


def test_a_verdict_is_one_of_three_words():
    assert set(Verdict) == {"refused", "ignored", "changed"}
