"""Which types of file may go with a mail: a closed list, so that a program can never travel under a type of its own.

The API refuses others when the message is written; `mail.attachment` looks at them again, and `mail.magic` whether the content is of that type.
"""

TEXT_TYPES = (
    "plain",
    "csv",
    "tab-separated-values",
    "html",
    "markdown",
    "calendar",
    "vcard",
    "xml",
    "yaml",
    "x-log",
    "x-diff",
)
IMAGE_TYPES = ("png", "jpeg", "gif", "webp")
"""No SVG: it is a document with scripts."""
APPLICATION_TYPES = (
    "octet-stream",
    "pdf",
    "json",
    "xml",
    "yaml",
    "x-yaml",
    "x-ndjson",
    "rtf",
    "ics",
    "pgp-signature",
    "pgp-encrypted",
    "x-x509-ca-cert",
    "x-pem-file",
    "zip",
    "gzip",
    "zstd",
    "x-tar",
    "x-bzip2",
    "x-xz",
    "x-7z-compressed",
    "vnd.apache.parquet",
    "vnd.sqlite3",
    "msword",
    "vnd.ms-excel",
    "vnd.ms-powerpoint",
    "vnd.openxmlformats-officedocument.wordprocessingml.document",
    "vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "vnd.openxmlformats-officedocument.presentationml.presentation",
    "vnd.oasis.opendocument.text",
    "vnd.oasis.opendocument.spreadsheet",
    "vnd.oasis.opendocument.presentation",
)

MEDIA_TYPES = frozenset(
    f"{top}/{sub}"
    for top, subs in (("text", TEXT_TYPES), ("image", IMAGE_TYPES), ("application", APPLICATION_TYPES))
    for sub in subs
)
INLINE_TYPES = frozenset(f"image/{sub}" for sub in IMAGE_TYPES)


def _one_of(names: tuple[str, ...]) -> str:
    return "|".join(name.replace(".", r"\.") for name in names)


JSON_API = r"[a-z0-9.-]{1,60}\+(?:json|xml)"
"""`application/vnd.api+json` and its like: the suffix says what they are (RFC 6839)."""
PATTERN = (
    rf"(?i:text/(?:{_one_of(TEXT_TYPES)})|image/(?:{_one_of(IMAGE_TYPES)})|"
    rf"application/(?:{_one_of(APPLICATION_TYPES)}|{JSON_API}))"
)
"""All of them as one regular expression, in whatever case."""
