"""A document as plain text: the first part of a mail, complete on its own.

Before: `document`. After: `message`. Read in a terminal, on a watch, by a ticket system: no line is wrapped here, commands stay copyable.
"""

from watchbell.mail.document import Block, Change, Changes, Commands, Document, Facts, Items, Links, Listing, Paragraph

_RULE = "-" * 60


def write(document: Document) -> str:
    """The text part; every block under its heading, indented by two."""
    lines = [f"{document.status.upper()}: {document.title}"]
    if document.context:
        lines.append(document.context)
    lines += ["", document.summary]
    for block in document.blocks:
        lines += ["", *_block(block)]
    lines += ["", _RULE, document.origin, ""]
    return "\n".join(lines)


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(title, sentences):
            return [title, *(f"  {sentence}" for sentence in sentences)]
        case Facts(title, rows):
            filled = [row for row in rows if row[1]]
            width = max((len(label) for label, _ in filled), default=0) + 2
            return [title, *(f"  {label:<{width}}{value}" for label, value in filled)]
        case Items():
            return _items(block)
        case Changes():
            return _changes(block)
        case Listing(title, lines, note):
            return [title, *(f"  | {line}" for line in lines), *([f"  {note}"] if note else [])]
        case Commands(title, rows):
            return [title, *(line for why, command in rows for line in (f"  # {why}", f"  {command}"))]
        case Links(rows):
            return [f"{label}: {address}" for label, address in rows]


def _items(block: Items) -> list[str]:
    lines = [block.title]
    for row in block.rows:
        rest = ", ".join(part for part in (row.state, row.when) if part)
        if row.name:
            place = f" ({row.place})" if row.place else ""
            lines.append(f"  - {row.name}{place}{': ' + rest if rest else ''}")
        else:
            lines.append(f"    and ({row.place}){': ' + rest if rest else ''}")
        if row.note:
            lines.append(f"      {row.note}")
    return [*lines, *_more(block.more)]


def _changes(block: Changes) -> list[str]:
    lines = [block.title]
    for row in block.rows:
        lines += [f"  {row.path}", f"    {row.what}", *_values(row), ""]
    return [*lines[:-1], *_more(block.more)] if block.rows else [*lines, *_more(block.more)]


def _values(row: Change) -> tuple[str, str]:
    expected, actual = ("".join(span.text for span in spans) for spans in (row.expected, row.actual))
    return f"    - expected: {expected}", f"    + actual:   {actual}"


def _more(number: int) -> tuple[str, ...]:
    return (f"  and {number} more",) if number else ()
