"""The flags of the verbs that find out what is wrong and help to mend it: probe, doctor, status, test, grant, convert, report, completion.

As `options`, read for every command line, so it imports nothing that takes time.
"""

import argparse
from typing import TYPE_CHECKING

from watchbell.cli.options import add_access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watchbell.cli.options import Verbs

COLOR_WORDS = ("auto", "always", "never")
TLS_WORDS = ("starttls", "implicit", "none")
MECHANISM_WORDS = ("auto", "plain", "login", "crammd5", "external")
SEVERITY_WORDS = ("info", "warn", "error", "critical")
CATEGORY_WORDS = ("connectivity", "security", "configuration", "rbac", "delivery", "collectors", "upgrade")
DOCTOR_EXAMPLES = """\
examples:
  watchbell doctor
  watchbell doctor run --check check.integration.smtp
  watchbell doctor run -n shop --quick -o junit
  watchbell doctor run -f manifests/
  watchbell doctor run -f appsettings.json
"""
LEVEL_WORDS = ("connect", "authenticate", "deliver")
TEST_EXAMPLES = """\
examples:
  watchbell test default --to oncall@example.com --wait
  watchbell test clustersmtpconnector/relay -n shop --level connect --wait
"""
GRANT_EXAMPLES = """\
examples:
  watchbell grant relay -n shop | kubectl apply -f -
"""
FORMAT_WORDS = ("javamail", "settings", "alertmanager", "grafana", "django")
CONVERT_EXAMPLES = """\
examples:
  watchbell convert javamail mail.properties -n shop --from alerts@example.com
  watchbell convert settings appsettings.json --name relay
  watchbell convert alertmanager alertmanager.yml --with-secret | kubectl apply -n shop -f -
"""
SHELL_WORDS = ("bash", "zsh", "fish")
COMPLETION_EXAMPLES = """\
examples:
  source <(watchbell completion bash)
  watchbell completion zsh > "${fpath[1]}/_watchbell"
  watchbell completion fish > ~/.config/fish/completions/watchbell.fish
"""
PROBE_EXAMPLES = """\
examples:
  watchbell probe smtp.example.com
  watchbell probe smtp.example.com:465 --user alerts@example.com
  watchbell probe relay.internal:25 --tls none --from alerts@example.com --to oncall@example.com --transcript
  printf %s "$PASSWORD" | watchbell probe smtp.example.com:587 --user alerts@example.com --password-stdin
"""


def add_probe(verbs: "Verbs") -> None:
    """`probe HOST[:PORT]`."""
    text = "look at a mail server stage by stage from here, without Kubernetes; nothing is sent unless --to is given"
    probe = _plain(verbs, "probe", text, PROBE_EXAMPLES)
    probe.add_argument(
        "target", metavar="HOST[:PORT]", help="the server; port 587, with --tls implicit 465, with --tls none 25"
    )
    probe.add_argument(
        "--tls", choices=TLS_WORDS, metavar="MODE", help="starttls (default), implicit (default on port 465) or none"
    )
    probe.add_argument("--user", metavar="NAME", help="log in as this user; the password is asked for")
    probe.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    probe.add_argument(
        "--mechanism",
        choices=MECHANISM_WORDS,
        default="auto",
        metavar="NAME",
        help="auto (default), plain, login, crammd5 or external",
    )
    probe.add_argument(
        "--allow-plaintext-login", action="store_true", help="send the password even if the connection is in clear text"
    )
    probe.add_argument("--from", dest="sender", metavar="ADDRESS", help="ask whether mail may come from this address")
    probe.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="send a test mail to this address; give it again for more",
    )
    probe.add_argument("--ca-file", metavar="FILE", help="trust these PEM certificates beside the system's")
    probe.add_argument("--client-cert", metavar="FILE", help="a client certificate (PEM), with --client-key")
    probe.add_argument("--client-key", metavar="FILE", help="its private key (PEM)")
    probe.add_argument("--server-name", metavar="NAME", help="the name that the certificate must bear (default HOST)")
    probe.add_argument("--insecure", action="store_true", help="go on with a certificate that cannot be verified")
    probe.add_argument("--hello", metavar="NAME", help="the name given with EHLO (default this machine's)")
    probe.add_argument("--transcript", action="store_true", help="show what was said; logins are left out")
    probe.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="SECONDS", help="the time for the whole probe (default 120)"
    )
    probe.add_argument("-o", "--output", choices=("json",), metavar="FORM", help="text, or: json")
    _add_color(probe)


def add_doctor(verbs: "Verbs") -> None:
    """`doctor [run]|list|explain`."""
    text = "find out what is wrong with the way of a mail, why, and what to do: run, list, explain"
    group = verbs.add_parser("doctor", help=text, description=f"{text[0].upper()}{text[1:]}.")
    actions = group.add_subparsers(dest="action", required=True, metavar="VERB")
    text = "run the checks against the cluster, files (-f) or plain settings; nothing is changed and nothing is sent"
    run = _plain(actions, "run", text, DOCTOR_EXAMPLES)
    add_access(run)
    run.add_argument("-A", "--all-namespaces", action="store_true", help="look at all namespaces (default, if you may)")
    _add_choice(run)
    run.add_argument("--quick", action="store_true", help="only what the API server can tell: dial no mail server")
    run.add_argument("--login", action="store_true", help="try logins too; rejected ones count at the server")
    run.add_argument(
        "-f", "--file", action="append", default=[], metavar="FILE",
        help="look at manifests or settings (JSON, .env) in this file or folder (- = standard input) and at no cluster; give it again for more",
    )  # fmt: skip
    run.add_argument(
        "--env",
        action="store_true",
        help="look at the settings in the environment: Smtp__Host, Email__Smtp__Host, Notify__Email__Host",
    )
    run.add_argument(
        "--fail-on",
        choices=(*SEVERITY_WORDS, "never"),
        default="error",
        metavar="SEVERITY",
        help="exit code 1 from this severity on (default error)",
    )
    run.add_argument(
        "--platform",
        choices=("kubectl", "helm", "gitops"),
        default="kubectl",
        metavar="WAY",
        help="cures by kubectl (default), helm or gitops",
    )
    _add_operator(run)
    run.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="SECONDS", help="the time for everything (default 120)"
    )
    run.add_argument("-q", "--quiet", action="store_true", help="only what somebody should look at")
    run.add_argument(
        "-o", "--output", choices=("json", "yaml", "junit"), metavar="FORM", help="text, or: json, yaml, junit"
    )
    _add_color(run)
    text = "show the checks that there are"
    listing = _plain(actions, "list", text)
    _add_choice(listing)
    listing.add_argument("--no-headers", action="store_true", help="without the line of titles")
    listing.add_argument("-o", "--output", choices=("json", "yaml"), metavar="FORM", help="table, or: json, yaml")
    explain = _plain(actions, "explain", "say what a check looks at, why, and what to do when it fails")
    explain.add_argument(
        "id", metavar="ID", help="a check such as check.connector.ready, or a group such as check.integration.smtp"
    )
    _add_color(explain)


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check",
        action="append",
        default=[],
        metavar="ID",
        help="only this check, or all below it; give it again for more",
    )
    parser.add_argument(
        "--category",
        action="append",
        default=[],
        choices=CATEGORY_WORDS,
        metavar="NAME",
        help=f"only of this category: {', '.join(CATEGORY_WORDS)}",
    )
    parser.add_argument("--tag", action="append", default=[], metavar="NAME", help="only with this tag")
    parser.add_argument(
        "--severity",
        choices=SEVERITY_WORDS,
        default="info",
        metavar="SEVERITY",
        help=f"only from this severity on: {', '.join(SEVERITY_WORDS)}",
    )


def add_status(verbs: "Verbs") -> None:
    """`status`."""
    text = "show on one screen how it stands: operator, connectors, policies, open incidents, outbox"
    status = _plain(verbs, "status", text)
    add_access(status)
    status.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    status.add_argument("-o", "--output", choices=("json", "yaml"), metavar="FORM", help="text, or: json, yaml")
    _add_operator(status)
    _add_color(status)


def add_test(verbs: "Verbs") -> None:
    """`test NAME`."""
    text = "let the operator try a connector, and send a test mail (creates an SmtpTest)"
    test = _plain(verbs, "test", text, TEST_EXAMPLES)
    add_access(test)
    test.add_argument(
        "name", metavar="[KIND/]NAME", help="the connector: NAME, smtpconnector/NAME or clustersmtpconnector/NAME"
    )
    test.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="send the test mail to this address; give it again for up to five",
    )
    test.add_argument(
        "--level",
        choices=LEVEL_WORDS,
        metavar="LEVEL",
        help="connect, authenticate or deliver (default with --to; else authenticate)",
    )
    test.add_argument(
        "--wait", action="store_true", help="wait for the result and show each stage; exit code 1 if it failed"
    )
    test.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="SECONDS", help="how long --wait waits (default 120)"
    )
    test.add_argument(
        "-o", "--output", choices=("json", "yaml", "name"), metavar="FORM", help="text, or: json, yaml, name"
    )
    _add_color(test)


def add_grant(verbs: "Verbs") -> None:
    """`grant NAME`."""
    text = "print the Role and RoleBinding that let the operator read one Secret; apply them yourself"
    grant = _plain(verbs, "grant", text, GRANT_EXAMPLES)
    add_access(grant)
    grant.add_argument("name", metavar="SECRET", help="name of the Secret")
    grant.add_argument(
        "--watch", action="store_true", help="let it watch the Secret too, for an operator with --secret-access Watch"
    )
    grant.add_argument("-o", "--output", choices=("yaml", "json"), metavar="FORM", help="form: yaml (default), json")
    _add_operator(grant)


def add_convert(verbs: "Verbs") -> None:
    """`convert FORMAT FILE`."""
    text = "turn the SMTP settings of another program into a SmtpConnector and its Secret"
    convert = _plain(verbs, "convert", text, CONVERT_EXAMPLES)
    convert.add_argument("format", choices=FORMAT_WORDS, metavar="FORMAT", help=", ".join(FORMAT_WORDS))
    convert.add_argument("file", metavar="FILE", help="the file (- = standard input)")
    convert.add_argument("-n", "--namespace", metavar="NAME", help="put this namespace into the objects")
    convert.add_argument(
        "--name", default="default", metavar="NAME", help="name of the connector and the Secret (default default)"
    )
    convert.add_argument(
        "--from",
        dest="sender",
        metavar="ADDRESS",
        help="the From address, if the settings have none or another is wanted",
    )
    convert.add_argument("--with-secret", action="store_true", help="print the password too; do not commit it")
    convert.add_argument("--strict", action="store_true", help="exit code 1 if a key was refused")
    convert.add_argument("-o", "--output", choices=("yaml", "json"), metavar="FORM", help="form: yaml (default), json")


def add_completion(verbs: "Verbs") -> None:
    """`completion SHELL`."""
    text = "print the script by which a shell completes verbs and flags"
    completion = _plain(verbs, "completion", text, COMPLETION_EXAMPLES)
    completion.add_argument("shell", choices=SHELL_WORDS, metavar="SHELL", help=", ".join(SHELL_WORDS))


def add_report(verbs: "Verbs") -> None:
    """`report`."""
    text = "write everything that support needs into one zip file; passwords, addresses and contents are masked"
    report = _plain(verbs, "report", text)
    add_access(report)
    report.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    report.add_argument(
        "-f",
        "--file",
        default="watchbell-report.zip",
        metavar="FILE",
        help="the file to write (default watchbell-report.zip); it must not exist",
    )
    report.add_argument(
        "--log-lines",
        type=_count,
        default=1000,
        metavar="COUNT",
        help="the last lines of the operator's log (default 1000)",
    )
    _add_operator(report)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 100000, not {text!r}")
    return int(text)


def _add_operator(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--operator-namespace",
        default="watchbell-system",
        metavar="NAME",
        help="where the operator runs (default watchbell-system)",
    )
    parser.add_argument(
        "--operator-account", default="watchbell", metavar="NAME", help="its service account (default watchbell)"
    )


def with_default_action(arguments: "Sequence[str]") -> list[str]:
    """`watchbell doctor --quick` is `watchbell doctor run --quick`."""
    words = list(arguments)
    if words[:1] == ["doctor"] and (len(words) == 1 or (words[1].startswith("-") and words[1] not in {"-h", "--help"})):
        words.insert(1, "run")
    return words


def _plain(verbs: "Verbs", name: str, text: str, examples: str = "") -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    if examples:
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = examples
    return parser


def _add_color(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--color",
        choices=COLOR_WORDS,
        default="auto",
        metavar="WHEN",
        help="auto (default), always or never; NO_COLOR is heeded",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be seconds from 1 to 3600, not {text!r}")
    return seconds
