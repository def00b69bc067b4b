"""The verbs' flags, and nothing else: this module is read for every command line, so it imports nothing that takes time.

Before: `main` makes the root parser. After: each group's own module does the work of the verb that was chosen.
"""

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction["OneSentenceParser"]  # noqa: SLF001 - argparse has no public name for it

LIST_FORMS = ("wide", "json", "yaml", "name")
OBJECT_FORMS = ("json", "yaml", "name")
SAMPLES = ("crash", "reminder", "escalation", "recovery", "drift", "node", "reset", "codes")
"""The incidents and the account mails that a template can be tried with (`mail.template_samples`)."""
FIELDS = ("policy", "owner", "pod", "node", "kind", "severity")
"""What a matcher can look at, as flags of `silence create`."""

SILENCE_EXAMPLES = """\
examples:
  watchbell silence create --owner DaemonSet/otel-agent --for 2h --comment 'upgrade of the nodes'
  watchbell silence create --node worker-7 --matcher 'Severity!=Critical' --for 1d --comment 'disk is being replaced'
  watchbell silence create --policy 'collectors-*' --until 2026-12-27T08:00:00Z --comment 'holidays' --dry-run=client
"""


class OneSentenceParser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage, which is longer than a screen, stands in `--help`."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[argparse.Namespace, list[str]]:  # type: ignore[override] # noqa: ANN401 - argparse's own signature
        """As argparse does, but an unknown flag is told here, where the flags that there are are known."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            near = _nearest(unknown[0].partition("=")[0], known) if unknown[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; did you mean {near}?" if near else ""))
        return found, unknown

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        near = _nearest(str(value), names)
        hint = f"did you mean {near}?" if near else f"choose from {', '.join(names)}"
        raise argparse.ArgumentError(action, f"invalid choice: {value!r} ({hint})")

    def error(self, message: str) -> NoReturn:
        """Ends with exit code 2."""
        self.exit(2, f"watchbell: {message}; see: {self.prog} --help\n")


def _nearest(word: str, known: Iterable[str]) -> str:
    """Imported only for a slip: the library takes ten milliseconds."""
    from watchbell.mail.nearest import nearest  # noqa: PLC0415 - see above

    return nearest(word, known)


def add_access(parser: argparse.ArgumentParser, *, has_namespace: bool = True) -> None:
    """Which cluster, as kubectl spells it."""
    parser.add_argument(
        "--kubeconfig",
        default=None,
        metavar="FILE",
        help="kubeconfig to use (default $KUBECONFIG, the pod's account, ~/.kube/config)",
    )
    parser.add_argument("--context", default=None, metavar="NAME", help="context of the kubeconfig")
    if has_namespace:
        parser.add_argument("-n", "--namespace", default=None, metavar="NAME", help="namespace (default the context's)")


def add_silence(verbs: "Verbs") -> None:
    """`silence create|expire|list`."""
    group = _group(verbs, "silence", "mute alerts for a while: create, expire, list")
    create = _verb(group, "create", "mute what matches all matchers, until a time", "print what was made in this form")
    create.formatter_class = argparse.RawDescriptionHelpFormatter
    create.epilog = SILENCE_EXAMPLES
    create.add_argument(
        "--matcher",
        action="append",
        default=[],
        metavar="FIELD=VALUES",
        help="such as 'Owner=DaemonSet/otel-agent' or 'Kind!=NodeLost,Evicted'; a trailing * stands for any rest; give it again for more",
    )
    for field in FIELDS:
        text = f"short for --matcher {field.capitalize()}=VALUES"
        create.add_argument(f"--{field}", action="append", default=[], metavar="VALUES", help=text)
    until = create.add_mutually_exclusive_group(required=True)
    until.add_argument("--for", dest="span", metavar="SPAN", help="how long: 90m, 2h, 1d12h, 1w")
    until.add_argument("--until", metavar="TIME", help="when it ends: 2026-11-21T18:00:00Z")
    create.add_argument("--start", metavar="TIME", help="when it begins (default now)")
    create.add_argument(
        "--comment", required=True, metavar="TEXT", help="why; people who wonder about the quiet read it"
    )
    create.add_argument(
        "--created-by", default=None, metavar="WHO", help="who (default the user that the cluster knows)"
    )
    create.add_argument("--name", default=None, metavar="NAME", help="name of the object (default one is made up)")
    create.add_argument("--dry-run", choices=("client",), help="print the object as YAML, for Git, and make nothing")
    expire = _verb(group, "expire", "end silences now; their end mail says what they held back", "print the result so")
    expire.add_argument("names", nargs="+", metavar="NAME", help="name of an AlertSilence")
    listing = _verb(group, "list", "show silences that mute now or will", "table, or", is_list=True)
    listing.add_argument("--expired", action="store_true", help="show those that have ended too")


def add_incident(verbs: "Verbs") -> None:
    """`incident list|ack|unack`."""
    group = _group(verbs, "incident", "see what is wrong and who was told; acknowledge it: list, ack, unack")
    listing = _verb(group, "list", "show open incidents, the worst first", "table, or", is_list=True)
    listing.add_argument("--resolved", action="store_true", help="show those that are over too")
    ack = _verb(group, "ack", "say that somebody is at it: no more repeats", "print the result so")
    ack.add_argument("names", nargs="+", metavar="NAME", help="name of a CollectorIncident")
    ack.add_argument("--by", default=None, metavar="WHO", help="who (default the user that the cluster knows)")
    unack = _verb(group, "unack", "take an acknowledgement back: repeats go on", "print the result so")
    unack.add_argument("names", nargs="+", metavar="NAME", help="name of a CollectorIncident")


def add_baseline(verbs: "Verbs") -> None:
    """`baseline capture|diff|accept`."""
    group = _group(verbs, "baseline", "what is right: capture it for Git, compare with it, accept a new one")
    capture = _verb(
        group, "capture", "print what runs now as a Pinned baseline, for Git", "form", forms=("yaml", "json")
    )
    diff = _verb(
        group, "diff", "print differences; exit code 0 none, 1 some, 2 error", "text, or", forms=("yaml", "json")
    )
    accept = _verb(
        group, "accept", "take what runs now as the baseline of a policy in mode Captured", "print the result so"
    )
    for one in (capture, diff, accept):
        one.add_argument("policy", metavar="POLICY", help="name of a CollectorPolicy")
    accept.add_argument(
        "--revision", default=None, metavar="TEXT", help="spec.baseline.captureRevision (default the time)"
    )


def add_template(verbs: "Verbs") -> None:
    """`template preview`."""
    group = _group(verbs, "template", "mails in your own words: preview")
    text = "show the mail that an EmailTemplate makes; nothing is sent"
    preview = group.add_parser("preview", help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_access(preview)
    preview.add_argument("template", metavar="FILE|NAME", help="a YAML file (- = standard input), or an EmailTemplate")
    incident = preview.add_mutually_exclusive_group()
    incident.add_argument("--incident", default=None, metavar="NAME", help="with this CollectorIncident")
    incident.add_argument(
        "--sample", choices=SAMPLES, default=SAMPLES[0], metavar="NAME", help=f"with a sample: {', '.join(SAMPLES)}"
    )
    preview.add_argument("--html", default=None, metavar="FILE", help="write the HTML part into this file")
    preview.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter; give it again for more"
    )


def add_outbox(verbs: "Verbs") -> None:
    """`outbox list|show|retry|cancel`."""
    group = _group(
        verbs, "outbox", "see what waits, what failed and why; send again, cancel: list, show, retry, cancel"
    )
    listing = _verb(group, "list", "show messages that wait, the oldest first", "table, or", is_list=True)
    which = listing.add_mutually_exclusive_group()
    which.add_argument("--failed", action="store_true", help="show those that failed instead")
    which.add_argument("--finished", action="store_true", help="show those that are finished too")
    show = _verb(group, "show", "show what became of messages, recipient by recipient", "print the object so")
    show.add_argument("names", nargs="+", metavar="NAME", help="name of an EmailMessage")
    text = "send finished messages again, as copies, to those who do not have them"
    retry = _verb(group, "retry", text, "print the copy so")
    retry.add_argument("names", nargs="+", metavar="NAME", help="name of an EmailMessage")
    retry.add_argument("--everyone", action="store_true", help="also to those for whom the server took it")
    text = "take messages back that are not finished: delete them"
    cancel = group.add_parser("cancel", help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_access(cancel)
    cancel.add_argument("names", nargs="+", metavar="NAME", help="name of an EmailMessage")
    cancel.add_argument("-y", "--yes", action="store_true", help="do not ask, even if somebody may have it")


STDIN_EXAMPLES = """\
examples:
  printf %s "$PASSWORD" | watchbell set-password relay --allow-host smtp.example.com
  watchbell set-password relay --username alerts@example.com < password.txt
"""


def add_password(verbs: "Verbs") -> None:
    """`set-password`."""
    text = "set the password in a Secret, read from standard input; only asterisks keep the old one"
    parser = verbs.add_parser("set-password", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = STDIN_EXAMPLES
    add_access(parser)
    parser.add_argument("name", metavar="NAME", help="name of the Secret; it is made if it is missing")
    parser.add_argument("--key", default="password", metavar="KEY", help="key of the Secret (default password)")
    parser.add_argument("--username", default=None, metavar="USER", help="set the key username too")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="pin the Secret to this mail server (default as it is); give it again for more",
    )
    parser.add_argument("--opt-in", action="store_true", help="let watchbell use a Secret that does not say so yet")
    parser.add_argument("--verbatim", action="store_true", help="even if it looks like the base64 of a text")
    parser.add_argument("--force", action="store_true", help="even if a Git tool, a chart or an operator manages it")


def add_account(verbs: "Verbs") -> None:
    """`verify-token` and `verify-code`."""
    text = "check the token of a reset link; exit code 0 it is good, 1 it is not"
    token = verbs.add_parser("verify-token", help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_access(token)
    token.add_argument("value", metavar="TOKEN", help="the token (- = standard input)")
    keys = token.add_mutually_exclusive_group(required=True)
    keys.add_argument("--key-file", default=None, metavar="PATH", help="the key, or a folder with a file for each key")
    keys.add_argument("--secret", default=None, metavar="NAME", help="the Secret with the signing keys")
    token.add_argument("--audience", default=None, metavar="URL", help="the application: https://app.example.com")
    token.add_argument("--issuer", default=None, metavar="TEXT", help="who signed: watchbell/NAMESPACE")
    token.add_argument("--purpose", default="password-reset", metavar="TEXT", help="what for (default password-reset)")
    text = "check a recovery code; exit code 0 it is one of them, 1 it is not"
    code = verbs.add_parser("verify-code", help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_access(code)
    code.add_argument("value", metavar="CODE", help="the code (- = standard input)")
    hashes = code.add_mutually_exclusive_group(required=True)
    hashes.add_argument("--hash-file", default=None, metavar="FILE", help="the hashes, one a line")
    hashes.add_argument("--secret", default=None, metavar="NAME", help="the Secret with the hashes")


def _group(verbs: "Verbs", name: str, text: str) -> "Verbs":
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return parser.add_subparsers(dest="action", required=True, metavar="VERB")


def _verb(
    group: "Verbs",
    name: str,
    text: str,
    form_text: str,
    *,
    is_list: bool = False,
    forms: tuple[str, ...] = OBJECT_FORMS,
) -> argparse.ArgumentParser:
    parser = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_access(parser)
    choices = LIST_FORMS if is_list else forms
    parser.add_argument("-o", "--output", choices=choices, metavar="FORM", help=f"{form_text}: {', '.join(choices)}")
    if is_list:
        parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
        parser.add_argument("--no-headers", action="store_true", help="without the line of titles")
    return parser
