"""The kinds of text and number that several kinds of object share, each with its bounds.

Every string has a maximum length, every list a maximum number of items, every integer a minimum and a maximum: objects stay bounded, and CEL
stays cheap.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from watchbell.api.markers import Matches, NoneOf

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*\.?"
_IPV6 = r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.[0-9]{1,3}){0,3}"
# C0, DEL, C1, the line and paragraph separators and the characters that turn the direction of text: none may reach a header or a screen.
HIDDEN = r"\x00-\x1f\x7f-\x9f" + "\u2028-\u202e\u2066-\u2069"
_LOCAL = rf"[^\s@<>()\[\]\\,;:\"{HIDDEN}]{{1,64}}"
_DOMAIN = rf"[^\s@<>()\[\]\\,;:\"_{HIDDEN}]{{1,253}}"
_ADDRESS = f"{_LOCAL}@{_DOMAIN}"

Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(
        r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*",
        "name must be a Kubernetes object name: lower-case letters, digits, '-' and '.'",
    ),
]
RouteName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Matches(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", "name must be lower-case letters, digits and '-'"),
]
SecretKey = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(r"[-._a-zA-Z0-9]+", "key must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'"),
]
Host = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(
        f"{_HOST}|{_IPV6}",
        "host must be a host name or an IP address, without scheme, port, path or brackets (international names as xn--...)",
    ),
]
ServerName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(f"{_HOST}|{_IPV6}", "serverName must be a host name or an IP address"),
]
HelloName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(
        rf"{_LABEL}(?:\.{_LABEL})+|\[[0-9.]{{7,15}}\]|\[IPv6:[0-9A-Fa-f:.]{{2,45}}\]",
        "helloName must be a full host name with a dot, or an address in brackets such as [192.0.2.1]",
    ),
    NoneOf(("localhost.localdomain",), "helloName may not be localhost.localdomain: many servers refuse it"),
]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Domain = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(_DOMAIN, "domain must be a mail domain such as example.com, without '@'"),
]
Selector = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Matches(
        r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*",
        "selector must be the name before ._domainkey in DNS: letters, digits, '-' and '.'",
    ),
]
HttpsUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024),
    Matches(
        r"https://[^\s/?#@\\]+(?:[/?][^\s#\\]*)?", "tokenURL must be an https URL without user information and fragment"
    ),
]


def _line(field: str) -> Matches:
    return Matches(
        f"[^{HIDDEN}]*",
        f"{field} may not contain line breaks, control characters or characters that turn the direction of text",
    )


def _mailbox(field: str) -> Matches:
    return Matches(
        rf"{_ADDRESS}|[^<>{HIDDEN}]{{0,130}}<{_ADDRESS}>",
        f"{field} must be an address such as ops@example.com or Ops <ops@example.com>",
    )


DisplayName = Annotated[str, StringConstraints(max_length=128), _line("displayName")]
SenderName = Annotated[str, StringConstraints(max_length=128), _line("name")]
Username = Annotated[str, StringConstraints(min_length=1, max_length=320), _line("username")]
LoginDomain = Annotated[
    str,
    StringConstraints(min_length=1, max_length=253),
    Matches(r"[^\s\\/@\x00-\x1f\x7f]+", "domain must be a Windows domain without '\\', '/' and '@'"),
]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=320), _line("clientID")]
Scope = Annotated[
    str,
    StringConstraints(min_length=1, max_length=512),
    Matches(r"[!#-\[\]-~]+", "scopes must be OAuth2 scopes without spaces and quotes (RFC 6749 section 3.3)"),
]
Region = Annotated[
    str,
    StringConstraints(min_length=1, max_length=32),
    Matches(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]+", "region must be an AWS region such as eu-central-1"),
]
HeaderName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Matches(
        r"(?i:X-[A-Za-z0-9-]+|List-(?:Help|Unsubscribe|Subscribe|Post|Owner|Archive)|Feedback-ID|Importance)",
        "headers may only set X-..., List-Help, List-Unsubscribe, List-Subscribe, List-Post, List-Owner, List-Archive, Feedback-ID and "
        "Importance: the name is reserved",
    ),
    NoneOf(("x-auto-response-suppress",), "headers may not set X-Auto-Response-Suppress: watchbell sets it itself"),
]
HeaderValue = Annotated[str, StringConstraints(min_length=1, max_length=512), _line("value")]
Address = Annotated[
    str,
    StringConstraints(min_length=3, max_length=320),
    Matches(_ADDRESS, "address must be a plain address such as alerts@example.com"),
]
AllowedAddress = Annotated[
    str,
    StringConstraints(min_length=3, max_length=320),
    Matches(
        _ADDRESS,
        "allowedFromAddresses must hold addresses such as alerts@example.com, or *@example.com for a whole domain",
    ),
]
To = Annotated[str, StringConstraints(min_length=3, max_length=460), _mailbox("to")]
Cc = Annotated[str, StringConstraints(min_length=3, max_length=460), _mailbox("cc")]
Bcc = Annotated[str, StringConstraints(min_length=3, max_length=460), _mailbox("bcc")]
ReplyTo = Annotated[str, StringConstraints(min_length=3, max_length=460), _mailbox("replyTo")]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=512), _line("subject")]
ContainerName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63),
    Matches(
        r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", "containers must be named as in the pod: lower-case letters, digits and '-'"
    ),
]

# What the operator writes; bounded, but not checked further.
Word = Annotated[str, StringConstraints(max_length=253)]
Text = Annotated[str, StringConstraints(max_length=512)]
Paragraph = Annotated[str, StringConstraints(max_length=1024)]
Count = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
ReplyCode = Annotated[int, Field(strict=True, ge=0, le=599)]
