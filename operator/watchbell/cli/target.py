"""`HOST[:PORT]` and `--tls` as people type them, made into what a probe needs (pure). Before: the flags. After: `probe`."""

from ipaddress import IPv6Address

from watchbell.api.enums import TlsMode

TLS_WORDS = {"starttls": TlsMode.START_TLS, "implicit": TlsMode.IMPLICIT, "none": TlsMode.NONE}
USUAL_PORTS = {TlsMode.START_TLS: 587, TlsMode.IMPLICIT: 465, TlsMode.NONE: 25}
IMPLICIT_PORTS = frozenset({465, 2465})


def read_target(text: str) -> tuple[str, int | None]:
    """Host and port, None where no port is given: `smtp.example.com:587`, `192.0.2.7`, `[2001:db8::7]:465`, `2001:db8::7`.

    Raises:
        ValueError: what it must look like, in one sentence.
    """
    if "://" in text:
        raise ValueError(f"HOST must be a server's name or address, not a URL: {text.split('://', 1)[1].strip('/')}")
    if "@" in text:
        raise ValueError(
            "HOST must be a server such as smtp.example.com, not a mail address; the login goes into --user"
        )
    host, port = _split(text.strip())
    if not host or any(char.isspace() or not char.isprintable() or char == "/" for char in host):
        raise ValueError(f"HOST must be a server's name or address, optionally with :PORT, not {text!r}")
    return host, _port(port) if port else None


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        return (host, rest.removeprefix(":")) if bracket and (not rest or rest.startswith(":")) else ("", "")
    if text.count(":") > 1:
        try:
            return str(IPv6Address(text)), ""
        except ValueError:
            return "", ""
    host, _, port = text.partition(":")
    return host, port


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def mode_of(word: str | None, port: int | None) -> TlsMode:
    """The TLS mode: what was said, else Implicit on its own ports and StartTLS everywhere else; never none by itself."""
    if word is not None:
        return TLS_WORDS[word]
    return TlsMode.IMPLICIT if port in IMPLICIT_PORTS else TlsMode.START_TLS
