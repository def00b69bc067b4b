"""The flags of the verbs that find out what is wrong and help to mend it: probe, doctor, status, test, grant, convert, report, completion.

As `options`, read for every command line, so it imports nothing that takes time.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchbell.cli.options import Verbs

COLOR_WORDS = ("auto", "always", "never")
TLS_WORDS = ("starttls", "implicit", "none")
MECHANISM_WORDS = ("auto", "plain", "login", "crammd5", "external")
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
