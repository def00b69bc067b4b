"""The built-in mails about several incidents: what was due together, what a budget held back, and what a silence held back.

Before: the plan of mails says which incidents share one. After: `message`. The severity of the worst stays in subject and colour, every incident is
in the table (at most 50, at most 100 KB in all), and every pod in the CSV that is attached.
"""

import shlex
from collections.abc import Sequence

from watchbell.mail import page, plain
from watchbell.mail.attachment import Attachment
from watchbell.mail.digest_rows import RANKS, over, standing, worst_of
from watchbell.mail.digest_table import Table, digest_csv, table
from watchbell.mail.document import (
    Block,
    Commands,
    Document,
    Facts,
    Items,
    Paragraph,
    Rendered,
    Tone,
    count,
    moment,
    span,
)
from watchbell.mail.facts import DigestEntry, DigestFacts, DigestReason, SilenceFacts
from watchbell.mail.incident import TONES, about_mail, links, sentence
from watchbell.mail.untrusted import name, visible

__all__ = [
    "DigestEntry",
    "DigestFacts",
    "DigestReason",
    "SilenceFacts",
    "digest_csv",
    "render_digest",
    "render_silence_ended",
]

CSV_NAME = "incidents.csv"


def render_digest(facts: DigestFacts) -> Rendered:
    """One mail for many incidents; 50 of them in less than 5 ms (`test_mail_cost.py`)."""
    if facts.reason is DigestReason.SILENCE_ENDED:
        return render_silence_ended(facts)
    rows = table(facts)
    firing, ended = _split(facts.entries)
    severity = _severity(facts, firing)
    tables = _tables(facts, firing, ended, "Resolved")
    document = Document(
        tone=TONES.get(severity, Tone.WARNING) if firing else Tone.GOOD,
        status=severity if firing else "Resolved",
        context=_context(facts),
        title=_title(facts, firing),
        summary=_summary(facts, firing, ended),
        preheader=_preheader(facts, firing, ended),
        blocks=(
            *links(facts.dashboard_url, facts.runbook_url),
            *tables,
            *_rest(facts, rows, tables),
        ),
        origin=_origin(facts),
    )
    return _rendered(subject_of(facts), document, rows)


def render_silence_ended(facts: DigestFacts) -> Rendered:
    """The mail that tells what a silence held back: what still fails first, then what resolved meanwhile."""
    rows = table(facts)
    firing, ended = _split(facts.entries)
    severity = _severity(facts, firing)
    tables = _tables(facts, firing, ended, "Resolved meanwhile")
    silence = facts.silence or SilenceFacts("")
    document = Document(
        tone=TONES.get(severity, Tone.WARNING) if firing else Tone.GOOD,
        status=severity if firing else "All well",
        context=_context(facts),
        title=f"{_called(facts)} {'was taken back' if silence.was_deleted else 'has ended'}",
        summary=_held_back(firing, ended),
        preheader=_preheader(facts, firing, ended),
        blocks=(
            *links(facts.dashboard_url, facts.runbook_url),
            *tables,
            _silence(silence),
            *_rest(facts, rows, tables),
        ),
        origin=_origin(facts),
    )
    return _rendered(subject_of(facts), document, rows)


def subject_of(facts: DigestFacts) -> str:
    """The subject of the mail that `render_digest` makes."""
    firing, ended = _split(facts.entries)
    severity = _severity(facts, firing)
    if facts.reason is not DigestReason.SILENCE_ENDED:
        return _subject(facts, firing, severity)
    what = (
        f"{count(len(firing), 'incident')} still failing, {_worst(firing, severity)}"
        if firing
        else f"{count(len(ended), 'incident')} resolved meanwhile"
    )
    return visible(f"{_called(facts)} ended in {name(facts.namespace)}: {what}{_on(facts, what)}", 240)


def _called(facts: DigestFacts) -> str:
    return f"Silence {name(facts.silence.name)}" if facts.silence and facts.silence.name else "A silence"


def _rendered(subject: str, document: Document, rows: Table) -> Rendered:
    attached = (Attachment(CSV_NAME, "text/csv", rows.text),)
    return Rendered(subject, plain.write(document), page.write(document), attached)


def _split(entries: Sequence[DigestEntry]) -> tuple[tuple[DigestEntry, ...], tuple[DigestEntry, ...]]:
    """What still fails, and what is over."""
    firing = tuple(entry for entry in entries if not entry.is_over)
    return firing, tuple(entry for entry in entries if entry.is_over)


def _severity(facts: DigestFacts, firing: Sequence[DigestEntry]) -> str:
    return visible(facts.severity, 20) or worst_of(firing)


def _worst(firing: Sequence[DigestEntry], severity: str) -> str:
    return severity if len(firing) == 1 else f"worst {severity}"


def _on(facts: DigestFacts, before: str) -> str:
    """The cluster, with the comma that ends what stands between two of them."""
    return f"{',' if ',' in before else ''} on {visible(facts.cluster, 80)}" if facts.cluster else ""


def _context(facts: DigestFacts) -> str:
    cluster = visible(facts.cluster, 80)
    part = f", part {facts.part} of {facts.parts}" if facts.parts > 1 else ""
    return f"on cluster {cluster}{part}" if cluster else part.removeprefix(", ")


def _total(facts: DigestFacts) -> int:
    return max(facts.total, len(facts.entries))


def _what(facts: DigestFacts, firing: Sequence[DigestEntry], worst: str = "") -> str:
    """`12 incidents, worst Critical, 2 resolved`; `5 incidents resolved` when nothing else is told."""
    if not firing:
        return f"{count(_total(facts), 'incident')} resolved"
    ended = len(facts.entries) - len(firing)
    told = (count(_total(facts) - ended, "incident"), worst, f"{ended} resolved" if ended else "")
    return ", ".join(filter(None, told))


def _subject(facts: DigestFacts, firing: Sequence[DigestEntry], severity: str) -> str:
    """No brackets, no emoji: it is sorted and filtered by these words."""
    part = f", part {facts.part} of {facts.parts}" if facts.parts > 1 else ""
    what = _what(facts, firing, _worst(firing, severity))
    return visible(f"Collectors in {name(facts.namespace)}: {what}{_on(facts, what)}{part}", 240)


def _title(facts: DigestFacts, firing: Sequence[DigestEntry]) -> str:
    what = _what(facts, firing)
    return f"{what}{',' if ',' in what else ''} in {name(facts.namespace)}"


def _pods(entries: Sequence[DigestEntry]) -> int:
    return sum(max(entry.pods_count, len(entry.pods)) for entry in entries)


def _owners(entries: Sequence[DigestEntry]) -> int:
    return len({(entry.workload_namespace, entry.owner_kind, entry.owner_name) for entry in entries})


def _counts(entries: Sequence[DigestEntry]) -> str:
    """`3 Critical, 8 Warning`, the worst first."""
    counted: dict[str, int] = {}
    for entry in entries:
        shown = visible(entry.severity, 20)
        counted[shown] = counted.get(shown, 0) + 1
    ranked = sorted(counted.items(), key=lambda item: (RANKS.get(item[0], len(RANKS)), item[0]))
    return ", ".join([f"{number} {severity}" for severity, number in ranked[:5]])


def _reach(entries: Sequence[DigestEntry]) -> str:
    """`48 pods of 5 workloads`."""
    pods = _pods(entries)
    owners = count(_owners(entries), "workload")
    return f"{count(pods, 'pod')} of {owners}" if pods else owners


def _summary(facts: DigestFacts, firing: Sequence[DigestEntry], ended: Sequence[DigestEntry]) -> str:
    told = []
    if firing:
        told.append(f"{_reach(firing)} {'fails' if _is_one(firing) else 'fail'}: {_counts(firing)}.")
        repeated, escalated = (
            sum(entry.transition == transition for entry in firing) for transition in ("Repeated", "Escalated")
        )
        told += [f"{repeated} of them went on since an earlier mail."] if repeated else []
        told += [f"{escalated} of them became worse."] if escalated else []
    if ended:
        told.append(
            f"{count(len(ended), 'incident')} resolved."
            if firing
            else f"Nothing of {_reach(ended)} that was told before fails any more."
        )
    return " ".join([*told, _why(facts)]).strip()


def _is_one(entries: Sequence[DigestEntry]) -> bool:
    return (_pods(entries) or _owners(entries)) == 1


def _why(facts: DigestFacts) -> str:
    """Why this is one mail and not many."""
    if facts.reason is DigestReason.THROTTLED:
        budget = f" of {count(facts.messages_per_hour, 'mail')} an hour" if facts.messages_per_hour else ""
        return f"They share a mail because the policy's budget{budget} was used up; nothing was dropped."
    since = f" within {span(facts.period_seconds)}" if facts.period_seconds else " together"
    return f"They share a mail because they came{since}." if _total(facts) > 1 else ""


def _held_back(firing: Sequence[DigestEntry], ended: Sequence[DigestEntry]) -> str:
    still = (
        f"{count(len(firing), 'incident')} that it held back {'fails' if len(firing) == 1 else 'fail'} still: "
        f"{_reach(firing)}, {_counts(firing)}."
        if firing
        else "Nothing that it held back fails any more."
    )
    over_by_now = f" {count(len(ended), 'incident')} began and resolved meanwhile." if ended else ""
    return f"{still}{over_by_now} From now on this policy alerts again."


def _preheader(facts: DigestFacts, firing: Sequence[DigestEntry], ended: Sequence[DigestEntry]) -> str:
    owners = dict.fromkeys(name(entry.owner_name) for entry in (*firing, *ended))
    first = ", ".join(list(owners)[:4])
    more = f" and {len(owners) - 4} more" if len(owners) > 4 else ""
    cluster = visible(facts.cluster, 80)
    return f"{cluster + ': ' if cluster else ''}{_counts(firing) + ': ' if firing else ''}{visible(first, 200)}{more}."


def _tables(
    facts: DigestFacts, firing: Sequence[DigestEntry], ended: Sequence[DigestEntry], heading: str
) -> tuple[Items, ...]:
    shown, room = standing(firing, facts)
    return (*shown, *over(ended, facts, heading, room))


def _silence(silence: SilenceFacts) -> Block:
    rows = (
        ("Name", name(silence.name)),
        ("Comment", sentence(silence.comment, 1024)),
        ("Made by", visible(silence.created_by, 253)),
        ("Began", moment(silence.start_time)),
        ("Taken back" if silence.was_deleted else "Ended", moment(silence.end_time)),
    )
    return Facts("The silence", rows)


def _rest(facts: DigestFacts, rows: Table, tables: Sequence[Items]) -> tuple[Block, ...]:
    """What every digest ends with: the CSV, commands, links."""
    held = f"{CSV_NAME} is attached: a row for each pod, {count(rows.total, 'row')}."
    if not rows.is_whole:
        held = f"{CSV_NAME} is attached with the first {rows.rows} of {rows.total} rows: a mail cannot be larger."
    more = sum(table.more for table in tables)
    if more:
        held += f" It has the {count(more, 'incident')} for which there was no room above, too."
    where = shlex.quote(name(facts.namespace))
    commands = (
        ("All incidents of this namespace", f"kubectl -n {where} get collectorincidents"),
        (
            "Its warnings, the newest last",
            f"kubectl -n {where} get events --field-selector type=Warning --sort-by=.lastTimestamp",
        ),
    )
    return (
        Paragraph("Every pod", (held,)),
        Commands("Run next", commands),
        *about_mail(facts.template_failure),
    )


def _origin(facts: DigestFacts) -> str:
    return f"Sent by watchbell for CollectorPolicy {name(facts.namespace)}/{name(facts.policy)}."
