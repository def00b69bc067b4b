"""Redaction: a corpus of secrets that must go, one of harmless lines that must stay, and a bound on its cost."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchbell.mail.redaction import MASK, MAX_CHARACTERS, redact

# Put together here so that no scanner takes this file for a leak.
GITHUB = "ghp_" + "aB3dE5" * 6
JWT = (
    "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ" + ".eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ" + ".c2lnbmF0dXJlLXNpZ25hdHVyZQ"
)
AWS_ID = "AKIA" + "IOSFODNN7EXAMPLE"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"
SLACK = "xoxb-" + "123456789012-abcdefABCDEF"

# (line, what must not be left of it)
SECRETS = [
    ("password=hunter2", "hunter2"),
    ("DB_PASSWORD: hunter2", "hunter2"),
    ("PGPASSWORD=hunter2 psql", "hunter2"),
    ('{"password":"hun ter2","user":"bob"}', "ter2"),
    (r"{\"password\":\"hunter2\",\"user\":\"bob\"}", "hunter2"),
    ("client_secret = 'hunter2'", "hunter2"),
    ("clientSecret: hunter2", "hunter2"),
    ("passwords: [hunter2, hunter3]", "hunter3"),
    ("password := hunter2", "hunter2"),
    ("password => hunter2", "hunter2"),
    ('"api-key": "hunter2"', "hunter2"),
    ("headers[x-api-key]=hunter2 next", "hunter2"),
    ("x-honeycomb-team: hunter2", "hunter2"),
    ("dd-api-key=hunter2", "hunter2"),
    ("--token hunter2 --verbose", "hunter2"),
    ("--db-password=hunter2", "hunter2"),
    ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
    ("authorization=Bearer abc", "abc"),
    ('"authorization":"Bearer abc def"', "def"),
    ("got header Bearer abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnop"),
    ("Proxy-Authorization: Digest hunter2", "hunter2"),
    ("Cookie: session=hunter2; theme=dark", "hunter2"),
    ("Set-Cookie: session=hunter2", "hunter2"),
    ("sent Basic dXNlcjpodW50ZXIy to server", "dXNlcjpodW50ZXIy"),
    ("postgres://bob:hunter2@db:5432/app", "hunter2"),
    ("parse postgres://bob:hunt@er2@db:5432/app", "er2"),
    ("amqp://:hunter2@mq/", "hunter2"),
    ("https://0123456789abcdef0123@sentry.example/1", "0123456789abcdef"),
    ("https://api.example/x?key=hunter2&y=1", "hunter2"),
    ("https://acc.blob.core.windows.net/c?sv=1&sig=hunter2%3D", "hunter2"),
    ("https://s3/x?X-Amz-Signature=hunter2&X-Amz-Date=1", "hunter2"),
    ("https://hooks.slack.com/services/T0/B0/hunter2", "hunter2"),
    (f"token is {GITHUB}", GITHUB),
    ("github_pat_" + "11ABCDEFG0" * 3, "11ABCDEFG0"),
    ("glpat-" + "abcDEF123456_-xyz789", "abcDEF123456"),
    (f"using {SLACK}", "abcdefABCDEF"),
    (f"key id {AWS_ID} denied", AWS_ID),
    (f"aws_secret_access_key = {AWS_SECRET}", AWS_SECRET),
    (f"secretAccessKey: {AWS_SECRET}", AWS_SECRET),
    ("AIza" + "SyA1234567890abcdefghijklmnopqrstuv", "SyA1234567890"),
    ("ya29." + "a0AfH6SMBx1234567890abcdef", "a0AfH6SMBx"),
    ("GOCSPX-" + "abcdefghij1234567890", "abcdefghij1234567890"),
    ("sk-" + "proj-abcdefghijklmnop1234", "abcdefghijklmnop1234"),
    ("sk_live_" + "abcdefghijklmnop1234", "abcdefghijklmnop1234"),
    ("SG." + "abcdefghijklmnopqrst" + ".abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrst"),
    ("glsa_" + "abcdefghijklmnopqrst_12345678", "abcdefghijklmnopqrst"),
    ("hvs." + "abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"),
    ("npm_" + "abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnop"),
    (f"serviceaccount {JWT} expired", "eyJzdWIi"),
    ("AccountKey=abcdEFGH1234==;EndpointSuffix=core", "abcdEFGH1234"),
    ("SharedAccessKey=abcdEFGH1234=", "abcdEFGH1234"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\ndef\n-----END RSA PRIVATE KEY-----", "MIIEabc"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz\ncut off here", "b3BlbnNz"),
    ("tail of a block\nMIIEabc\n-----END EC PRIVATE KEY-----\nafter", "MIIEabc"),
    ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc123\n-----END PGP PRIVATE KEY BLOCK-----", "abc123"),
    (r"key: -----BEGIN PRIVATE KEY-----\nMIIEabc\n-----END PRIVATE KEY-----\n", "MIIEabc"),
    ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj", "MIIEvQIB"),
    ("AGE-SECRET-KEY-1" + "QQPQZRFR7ZZ2WCVX2PV7Q9XQKZ3JZ4E3J7Y5W4LZ0D8T8P2V5N7SQ", "QQPQZRFR"),
]

HARMLESS = [
    '2026-11-20T14:02:11.123Z\terror\tgraph/graph.go:439\tFailed to start\t{"error": "dial tcp: lookup tempo: no such host", "id": "otlp/tempo"}',
    "Error: cannot start pipelines: listen tcp 0.0.0.0:4317: bind: address already in use",
    'secret "otel-certs" not found',
    "secretName: otel-certs",
    "tokenURL=https://login.example/oauth2/token",
    "password_file: /etc/otel/password",
    "unable to use basic authentication for exporter",
    "https://grafana.example:3000/d/abc?from=now-1h&to=now",
    "pulling image ghcr.io/open-telemetry/collector@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "panic: runtime error: invalid memory address or nil pointer dereference",
    "goroutine 1 [running]:\nmain.main()\n\t/src/main.go:12 +0x1d",
    "password authentication failed for user bob",
    "mail to ops@example.org refused",
    "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7",
    "keytool error -----BEGIN CERTIFICATE----- not found",
    "max_tokens_count: 5, task-runner-basic ok, risk-free",
]


@pytest.mark.parametrize(("line", "secret"), SECRETS, ids=[line[:40] for line, _ in SECRETS])
def test_a_secret_does_not_leave(line: str, secret: str) -> None:
    assert secret in line
    for text in (line, f"before {line}", f"first\n{line}\nlast"):
        redacted = redact(text)
        assert secret not in redacted
        assert "[redacted" in redacted


@pytest.mark.parametrize("line", HARMLESS, ids=[line[:40] for line in HARMLESS])
def test_what_explains_a_crash_stays(line: str) -> None:
    assert redact(line) == line


def test_the_user_and_the_host_of_a_url_stay() -> None:
    assert redact("postgres://bob:hunter2@db:5432/app") == f"postgres://bob:{MASK}@db:5432/app"


def test_the_quotes_of_json_stay_whole() -> None:
    assert redact('{"password":"x","user":"bob"}') == f'{{"password":"{MASK}","user":"bob"}}'


@given(st.text(max_size=300), st.sampled_from(SECRETS), st.text(max_size=300))
def test_redacting_never_fails_and_redacting_twice_brings_nothing_back(
    before: str, secret: tuple[str, str], after: str
) -> None:
    once = redact(f"{before}\n{secret[0]}\n{after}")
    assert isinstance(redact(once), str)
    assert len(redact(once)) <= len(once) + 20 * (len(before) + len(after) + 20)


def test_more_than_a_mebibyte_keeps_its_end_from_the_start_of_a_line() -> None:
    text = "password=hunter2 and words\n" * 60_000 + "the end"
    redacted = redact(text)
    assert len(redacted) < MAX_CHARACTERS * 1.2
    assert redacted.endswith("the end")
    assert "hunter2" not in redacted
    assert "characters left out" in redacted.splitlines()[0]


HOSTILE = [
    "password ",
    "eyJ",
    "eyJaaaaaaaaa.",
    "://",
    "://a:",
    "a",
    "A",
    "aA1",
    "-----BEGIN PRIVATE KEY-----",
    "-----END ",
    "-----BEGIN ",
    "authorization",
    "cookie",
    "basic aaaaaaaaa ",
    "--",
    "--a-",
    "--password ",
    "secret_",
    'password="',
    "token\\\\\\",
    "bearer aaaaaaaaaaaaaaaa",
    " ",
    "\n",
    "sk-",
    "AKIA",
    "key-",
    "xox-",
    "a.webhook.office.com",
    "tokensecretpassword",
    "@",
    "://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:",
    "?key=",
    "password:[",
    "passwordpassword:",
    "a" * 59 + " ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_mebibyte_made_to_be_slow_is_redacted_in_linear_time(unit: str) -> None:
    text = (unit * (MAX_CHARACTERS // len(unit) + 1))[:MAX_CHARACTERS]
    started = time.process_time()
    redact(text)
    assert time.process_time() - started < 3  # a run that is not linear takes minutes
