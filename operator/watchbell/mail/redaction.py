"""Secrets taken out of log text before it leaves the process.

Before: log lines of a pod, written by anybody. After: the crash mail. It would rather hide a harmless word than show a password, but keeps what
explains a crash: names, paths, hosts, codes. Every expression runs in linear time: it starts at a fixed word or at the start of a run, and its
repetitions are bounded or possessive, so that nothing is read again and again.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

MASK = "[redacted]"
MAX_CHARACTERS = 1024 * 1024

_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class _Rule:
    """`pattern` runs only when one of `needles` (lower case) is in the lower-cased text: a search for a fixed word costs next to nothing."""

    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]


def _rule(needles: str, pattern: str, replacement: str | Callable[[re.Match[str]], str] = MASK) -> _Rule:
    return _Rule(tuple(needles.split()), re.compile(pattern), replacement)


_KEYWORDS = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|credential|x-honeycomb-team|"
    r"(?:api|access|private|shared|account|license|ingest|encryption|signing)[_-]?key"
)
# What follows a keyword and makes it the name of a thing that is no secret: where a secret is, not what it is.
_HARMLESS = r"(?![_-]?(?i:name|ref|file|path|url|uri|type|expir|count|id\b|mount|store|size|length|ttl))"


def _mask_value(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2] or ''}{MASK}"


def _mask_base64(match: re.Match[str]) -> str:
    """A long run that mixes cases and digits; digests are lower case, and paths rarely hold all three for so long."""
    run = match[0]
    return MASK if _DIGIT.search(run) and run != run.lower() and run != run.upper() else run


_TOKEN_SHAPES = (
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}",  # AWS access key identifiers
    r"AIza[\w-]{35}|ya29\.[\w-]{20,256}|GOCSPX-[\w-]{20,64}",  # Google API keys, access tokens, client secrets
    r"gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_\w{20,255}",
    r"gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[\w.-]{16,255}",
    r"xox[abeoprs]-[\w-]{10,255}|xapp-[\w-]{10,255}",
    r"sk-[\w-]{20,255}|[sr]k_(?:live|test)_\w{16,255}|whsec_[\w+/=]{16,255}",
    r"SG\.[\w-]{16,64}\.[\w-]{16,64}|key-[0-9a-f]{32}",
    r"npm_\w{30,64}|pypi-[\w-]{30,255}|hf_\w{30,64}|do[opr]_v1_[0-9a-f]{32,128}",
    r"gl(?:sa|c)_[\w+/=]{20,255}|dt0[a-z]\d\d\.[A-Z0-9]{20,32}\.[A-Z0-9]{40,80}|NRAK-[A-Z0-9]{20,40}|hvs\.[\w-]{20,255}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{50,70}",
)
_SHAPE_NEEDLES = (
    "akia asia aroa aida aiza ya29. gocspx- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ gl xox xapp- sk- k_live_ k_test_ whsec_ sg. key- npm_ pypi- hf_ "
    "_v1_ dt0 nrak- hvs. age-secret"
)

_RULES = (
    # A block cut off at either end is still a key: everything up to the end, or from the beginning, goes.
    _rule(
        "private",
        r"(?s)-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
        "[redacted private key]",
    ),
    _rule("private", r"(?s)\A.*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", "[redacted private key]"),
    _rule("eyj", r"(?<![\w-])eyJ[\w-]{8,8192}+\.[\w-]{4,16384}+(?:\.[\w-]{0,8192}+){0,3}"),
    _rule(
        "authorization cookie",
        r"(?i)((?:proxy-)?authorization|(?:set-)?cookie)(\\{0,3}[\"']?[ \t]{0,8}[:=][ \t]{0,8})[^\r\n]++",
        rf"\1\2{MASK}",
    ),
    _rule("bearer", r"(?i)\b(bearer[ \t]{1,8})[A-Za-z0-9._~+/-]{16,}+=*+", rf"\1{MASK}"),
    _rule("basic", r"\b([Bb]asic[ \t]{1,8})(?=[A-Za-z+/]{0,64}[0-9=])[A-Za-z0-9+/]{12,}+=*+", rf"\1{MASK}"),
    # user:password@ of a URL; the user stays, it helps to find the account. Without a colon the one word is most often a token.
    _rule("://", r"(?<=://)([^\s/@:\"'<>]{0,128}:)[^\s/\"'<>]{1,512}@", rf"\1{MASK}@"),
    _rule("://", r"(?<=://)[^\s/@:?#\"'<>]{16,512}+@", rf"{MASK}@"),
    _rule(
        "hooks.slack.com webhook.office.com discord.com/api/webhooks",
        r"(?i)((?:hooks\.slack\.com|[\w-]{0,63}\.webhook\.office\.com|discord\.com/api/webhooks)/)[^\s\"']++",
        rf"\1{MASK}",
    ),
    _rule(
        "sig= key= code= signature= x-amz- x-goog-",
        r"(?i)([?&](?:sig|key|code|signature|x-amz-(?:signature|credential|security-token)|x-goog-signature)=)[^\s&\"']++",
        rf"\1{MASK}",
    ),
    _rule(
        "pass pwd secret token key credential x-honeycomb-team",
        rf"(?i)((?:{_KEYWORDS})s?+{_HARMLESS}[\w.-]{{0,40}}+(?:\\{{0,3}}[\"'\]])?[ \t]{{0,8}}(?:=>|:=|[:=])[ \t]{{0,8}})"
        rf"(?:(\\{{0,3}}[\"'])(?:(?!\2)[^\r\n]){{0,4096}}+|\[[^\]\r\n]{{0,1024}}+\]?|[^\s,;&\"'}}\])\[]++)",
        _mask_value,
    ),
    _rule(
        "--",
        rf"(?i)((?<![\w-])--[\w-]{{0,40}}(?:password|passwd|secret|token|api-key){_HARMLESS}[ \t]{{1,8}})[^\s-]\S*+",
        rf"\1{MASK}",
    ),
    _rule(_SHAPE_NEEDLES, rf"(?<![A-Za-z0-9])(?:{'|'.join(_TOKEN_SHAPES)})"),
    # The middle of a key or of a Secret's data.
    _rule("", r"[A-Za-z0-9+/]{60,}+={0,2}", _mask_base64),
)


def redact(text: str) -> str:
    """The text with keys, tokens, passwords, logins in URLs, private keys and JWTs as `[redacted]`. Of more than 1 MiB the last part is kept."""
    if len(text) > MAX_CHARACTERS:
        text = _tail(text)
    lowered = text.lower()
    for rule in _RULES:
        if any(needle in lowered for needle in rule.needles) or not rule.needles:
            text = rule.pattern.sub(rule.replacement, text)
    return text


def _tail(text: str) -> str:
    """The last part, begun at a line's start: half a secret has no shape to be known by."""
    kept = text[-MAX_CHARACTERS:]
    start = kept.find("\n", 0, 65536) + 1
    return f"[{len(text) - len(kept) + (start or 8192)} characters left out]\n{kept[start or 8192 :]}"
