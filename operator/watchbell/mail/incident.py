"""What all mails about one incident share: its names, subject, title, links, details and the small print.

Before: `facts`. After: `crash` and `drift` put their own story between these.
"""

import shlex
from dataclasses import dataclass

from watchbell.mail.document import Block, Facts, Links, Paragraph, Tone, count, moment, span
from watchbell.mail.facts import CrashFacts
from watchbell.mail.kinds import About, KindWords
from watchbell.mail.links import web_address
from watchbell.mail.redaction import redact
from watchbell.mail.untrusted import name, visible

TONES = {"Critical": Tone.CRITICAL, "Warning": Tone.WARNING, "Info": Tone.INFO}
_DIGEST_MARK = "sha256:"


@dataclass(frozen=True, slots=True)
class Names:
    """The names of an incident, fit to be shown. `namespace` is where the policy and the incident are, `where` where the pods are."""

    cluster: str
    namespace: str
    where: str
    owner_kind: str
    owner: str
    container: str

    @property
    def workload(self) -> str:
        """`prod/otel-gateway`."""
        return f"{self.where}/{self.owner}" if self.where else self.owner

    @property
    def context(self) -> str:
        """The words after the status."""
        return f"on cluster {self.cluster}" if self.cluster else ""

    @property
    def owner_words(self) -> str:
        """`Deployment otel-gateway`."""
        return f"{self.owner_kind} {self.owner}".strip()


def names_of(facts: CrashFacts) -> Names:
    """The names of an incident."""
    return Names(
        cluster=visible(facts.cluster, 80),
        namespace=name(facts.namespace),
        where=name(facts.workload_namespace or facts.namespace),
        owner_kind=visible(facts.owner_kind, 63),
        owner=name(facts.owner_name),
        container=name(facts.container),
    )


def subject(names: Names, kind: KindWords) -> str:
    """The same for every mail of an incident, whatever becomes of it."""
    on = f" on {names.cluster}" if names.cluster else ""
    if kind.about is About.NODE:
        return visible(f"Node {names.owner} {kind.phrase} with collectors of {names.namespace}{on}", 240)
    return visible(f"Collector {names.workload} {kind.phrase}{on}", 240)


def title(names: Names, kind: KindWords) -> str:
    """The first line of the mail itself."""
    about = f"Node {names.owner}" if kind.about is About.NODE else names.workload
    return f"{about}{kind.link}{kind.phrase}"


def preheader(names: Names, text: str) -> str:
    """What an inbox shows after the subject; the cluster first, since that is cut last."""
    return f"{names.cluster}: {text}" if names.cluster else text


def lasted(facts: CrashFacts) -> str:
    """How long it has gone on, or went on until nothing failed any more."""
    well = facts.well_since
    # Clocks of nodes and of the API server differ: nothing was well before it began.
    end = well if well is not None and well > facts.start_time else facts.now
    seconds = (end - facts.start_time).total_seconds()
    return span(seconds) if seconds >= 1 else "less than a second"


def total_pods(facts: CrashFacts) -> int:
    """How many pods are affected in all."""
    return max(facts.affected_count, len(facts.pods))


def restarts(facts: CrashFacts) -> int:
    """The restarts of the pods that are known."""
    return sum(pod.restarts for pod in facts.pods)


def sentence(text: str, limit: int = 300) -> str:
    """Somebody's text as one sentence: redacted, on one line, with a full stop."""
    shown = visible(redact(text[: limit * 8]), limit).strip()
    return shown if not shown or shown.endswith((".", "!", "?", "…", ":")) else f"{shown}."


def subject_rows(facts: CrashFacts, names: Names) -> tuple[tuple[str, str], ...]:
    """What it is about; the first rows of every mail's table."""
    is_node = facts.owner_kind == "Node"
    return (
        ("Cluster", names.cluster),
        ("Namespace", names.where),
        ("Node" if is_node else "Owner", names.owner if is_node else names.owner_words),
        ("Container", names.container),
        ("Image", name(facts.image)),
        ("Image digest", _image_digest(facts.image_id)),
    )


def counted_rows(facts: CrashFacts) -> tuple[tuple[str, str], ...]:
    """How often; the rows of every mail's table that count."""
    return (
        ("Restarts", str(restarts(facts)) if facts.container else ""),
        ("Flapping", f"{count(facts.flaps, 'time')} well and failing again" if facts.flaps else ""),
        ("Acknowledged by", visible(facts.acknowledged_by, 120)),
    )


def _image_digest(image_id: str) -> str:
    """The digest alone: the rest of an image identifier is the runtime's way of writing the image's name once more."""
    start = image_id.rfind(_DIGEST_MARK)
    return name(image_id[start:] if start >= 0 else image_id)


def links(dashboard_url: str, runbook_url: str) -> tuple[Block, ...]:
    """The addresses of the policy; only http and https."""
    offered = (("Dashboard", web_address(dashboard_url)), ("Runbook", web_address(runbook_url)))
    rows = tuple((label, address) for label, address in offered if address)
    return (Links(rows),) if rows else ()


def about_mail(template_failure: str) -> tuple[Block, ...]:
    """That the user's template could not be used; nothing when it was not asked for, or worked."""
    if not template_failure:
        return ()
    why = sentence(template_failure)
    return (
        Paragraph(
            "About this mail", (f"Your template failed: {why} So this is the built-in one; nothing is missing.",)
        ),
    )


def incident_command(facts: CrashFacts, names: Names) -> tuple[str, str]:
    """The last command of every mail."""
    quoted = shlex.quote(name(facts.incident))
    return (
        "All that watchbell knows of this incident",
        f"kubectl -n {shlex.quote(names.namespace)} get collectorincident {quoted} -o yaml",
    )


def history(facts: CrashFacts, names: Names, since: str = "Ready since") -> Facts:
    """The table of a mail that ends an incident."""
    rows = (
        *subject_rows(facts, names),
        ("Began", moment(facts.start_time)),
        (since, "" if facts.are_pods_gone else moment(facts.well_since)),
        ("Resolved", moment(facts.now)),
        ("Lasted", lasted(facts)),
        *counted_rows(facts),
    )
    return Facts("How it went", rows)


def origin(facts: CrashFacts, names: Names) -> str:
    """Who sent this and why."""
    return f"Sent by watchbell for CollectorPolicy {names.namespace}/{name(facts.policy)}, incident {name(facts.incident)}."
