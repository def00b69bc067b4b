"""JavaMail's properties (`mail.smtp.*`, `mail.smtps.*`) as a draft (pure). Meanings as Angus Mail documents them (`org.eclipse.angus.mail.smtp`).

Every key is taken, or told with the reason: refused where it would weaken or cannot work here, ignored where nothing is missing without it.
"""

from collections.abc import Callable, Mapping

from watchbell.api.enums import Mechanism, TlsMode, TlsVersion
from watchbell.convert.draft import Draft, UnreadableError, flag
from watchbell.convert.properties import read_properties

MIN_TIMEOUT_S, MAX_TIMEOUT_S = 1, 60
_MECHANISMS = {
    "PLAIN": Mechanism.PLAIN,
    "LOGIN": Mechanism.LOGIN,
    "CRAM-MD5": Mechanism.CRAM_MD5,
    "EXTERNAL": Mechanism.EXTERNAL,
    "XOAUTH2": Mechanism.XOAUTH2,
    "OAUTHBEARER": Mechanism.OAUTHBEARER,
}
_REFUSED = {
    "submitter": "there is no AUTH= parameter (RFC 4954) here",
    "sasl.realm": "DIGEST-MD5 and GSSAPI are not supported",
    "sasl.usecanonicalhostname": "DIGEST-MD5 and GSSAPI are not supported",
    "auth.digest-md5.disable": "DIGEST-MD5 is not supported (RFC 6331 made it historic)",
    "sasl.authorizationid": "a login acts for itself only",
    "ssl.ciphersuites": "ciphers follow the system's policy",
    "localaddress": "the network of the pod decides",
    "localport": "the network of the pod decides",
    "mailextension": "it puts raw text into MAIL FROM",
    "password": "a password in properties ends up in Git: it belongs into the Secret",
    "hostnameverifier": "Java classes cannot run here",
    "sasl.mechanisms.oauth2.oauthtoken": "tokens come from spec.auth.oauth2",
}
_REFUSED_BELOW = {
    "auth.ntlm.": "NTLM is not supported: enable Basic authentication over TLS on the receive connector, or OAuth2",
    "proxy.": "connections go straight to the server; allow the way, or use a relay inside",
    "socks.": "connections go straight to the server; allow the way, or use a relay inside",
    "executor.": "Java classes cannot run here",
    "ssl.socketfactory": "Java classes cannot run here",
    "hostnameverifier.": "Java classes cannot run here",
}
_IGNORED = {
    "sasl.enable": "the mechanism is chosen from what the server offers",
    "quitwait": "QUIT is never waited for longer than some seconds",
    "quitonsessionreject": "a refused session is closed at once",
    "userset": "the session is kept alive in its own way",
    "noop.strict": "the session is kept alive in its own way",
    "reportsuccess": "each recipient has a result of his own",
    "sendpartial": "a mail always goes to the recipients that are accepted, and each has a result of his own",
    "allow8bitmime": "mails are built in 7 bit, which every server takes",
    "chunksize": "a mail is handed over in one DATA",
    "dsn.notify": "delivery reports are not asked for",
    "dsn.ret": "delivery reports are not asked for",
    "timeout": "each stage has a time-out of its own (RFC 5321 section 4.5.3.2)",
    "writetimeout": "each stage has a time-out of its own (RFC 5321 section 4.5.3.2)",
    "class": "Java classes cannot run here, and none is needed",
}
_DISABLING = {"plain": "PLAIN", "login": "LOGIN", "xoauth2": "XOAUTH2"}
Pairs = Mapping[str, str]


def drafted(text: str) -> Draft:
    """The draft of a properties file. Raises UnreadableError: no host, or it is no such file."""
    pairs = read_properties(text)
    draft = Draft()
    protocol = pairs.get("mail.transport.protocol", _likely(pairs)).strip().lower()
    if protocol not in {"smtp", "smtps"}:
        raise UnreadableError(f"mail.transport.protocol must be smtp or smtps, not {protocol[:40]!r}")
    own = {
        key.removeprefix(f"mail.{protocol}.").lower(): (key, value)
        for key, value in pairs.items()
        if key.startswith(f"mail.{protocol}.")
    }
    _tell_strangers(draft, pairs, protocol)
    _take_common(draft, pairs, own)
    for name, (key, value) in own.items():
        _take(draft, name, key, value)
    _decide_tls(draft, own, is_implicit=protocol == "smtps")
    _decide_login(draft, own)
    if not draft.host:
        raise UnreadableError(f"there is no host: give mail.{protocol}.host")
    draft.port = draft.port or (465 if draft.mode is TlsMode.IMPLICIT else 25)
    return draft


def _likely(pairs: Pairs) -> str:
    is_smtps = any(key.startswith("mail.smtps.") for key in pairs) and not any(
        key.startswith("mail.smtp.") for key in pairs
    )
    return "smtps" if is_smtps else "smtp"


def _tell_strangers(draft: Draft, pairs: Pairs, protocol: str) -> None:
    """Keys of the other protocol and of the session."""
    other = "mail.smtps." if protocol == "smtp" else "mail.smtp."
    for key, value in pairs.items():
        if key.startswith(other):
            draft.ignore(key, f"mail.transport.protocol is {protocol}, so JavaMail does not read it")
        elif key in {"mail.password", "mail.smtp.password", "mail.smtps.password"}:
            continue
        elif key == "mail.debug" and flag(value):
            draft.ignore(key, "see the redacted dialogue with `watchbell probe --transcript` or in an SmtpTest")
        elif key == "mail.debug.auth" and flag(value):
            draft.refuse(key, "logins are never written down")
        elif not key.startswith(("mail.smtp.", "mail.smtps.")) and key not in _COMMON:
            draft.ignore(
                key, "it has nothing to do with sending" if not key.startswith("mail.") else "it is no key of SMTP"
            )


_COMMON = frozenset(
    {"mail.host", "mail.user", "mail.from", "mail.transport.protocol", "mail.debug", "mail.debug.auth", "mail.password"}
)


def _take_common(draft: Draft, pairs: Pairs, own: Mapping[str, tuple[str, str]]) -> None:
    draft.host = pairs.get("mail.host", "").strip()
    draft.username = pairs.get("mail.user", "").strip()
    draft.sender = pairs.get("mail.from", "").strip()
    if pairs.get("mail.password"):
        draft.refuse("mail.password", _REFUSED["password"])
    draft.has_login = flag(own["auth"][1]) if "auth" in own else None


def _take(draft: Draft, name: str, key: str, value: str) -> None:
    if name in _TAKERS:
        _TAKERS[name](draft, key, value.strip())
    elif name in _REFUSED:
        draft.refuse(key, _REFUSED[name])
    elif name in _IGNORED:
        draft.ignore(key, _IGNORED[name])
    elif name.startswith("socketfactory."):
        _take_socket_factory(draft, name, key, value)
    elif below := next((reason for prefix, reason in _REFUSED_BELOW.items() if name.startswith(prefix)), ""):
        draft.refuse(key, below)
    elif name not in _DECIDED:
        draft.refuse(key, "JavaMail knows no such key for SMTP, or watchbell does not")


_DECIDED = frozenset(
    {"auth", "ssl.enable", "starttls.enable", "starttls.required", "auth.mechanisms", "sasl.mechanisms"}
    | {f"auth.{name}.disable" for name in _DISABLING}
)


def _take_socket_factory(draft: Draft, name: str, key: str, value: str) -> None:
    """The old way to say "TLS from the first byte"."""
    if name == "socketfactory.class" and value.strip().endswith("SSLSocketFactory"):
        draft.mode = TlsMode.IMPLICIT
        draft.change(key, "it stands for TLS from the first byte: spec.tls.mode: Implicit")
    elif name == "socketfactory.port":
        draft.set_port(key, value)
    elif name == "socketfactory.fallback":
        draft.ignore(key, "a connection is encrypted or fails; there is no fallback")
    else:
        draft.refuse(key, "Java classes cannot run here")


def _host(draft: Draft, _: str, value: str) -> None:
    draft.host = value


def _user(draft: Draft, _: str, value: str) -> None:
    draft.username = value


def _from(draft: Draft, _: str, value: str) -> None:
    draft.sender = value.strip("<>")


def _hello(draft: Draft, key: str, value: str) -> None:
    if "." in value:
        draft.hello_name = value
    else:
        draft.refuse(key, "servers refuse a name without a dot; give a full host name")


def _timeout(draft: Draft, key: str, value: str) -> None:
    if not value.isdecimal():
        draft.refuse(key, f"must be milliseconds, not {value[:40]!r}")
        return
    wanted = -(-int(value) // 1000)
    draft.timeout_s = min(max(wanted, MIN_TIMEOUT_S), MAX_TIMEOUT_S)
    if draft.timeout_s * 1000 != int(value):
        draft.change(key, f"{draft.timeout_s} s: whole seconds from {MIN_TIMEOUT_S} to {MAX_TIMEOUT_S}")


def _identity(draft: Draft, key: str, value: str) -> None:
    if not flag(value):
        draft.refuse(
            key, "the certificate's name is always checked; give the name that it bears in spec.tls.serverName"
        )


def _trust(draft: Draft, key: str, value: str) -> None:
    if value:
        draft.refuse(key, "certificates are verified: trust a private CA with spec.tls.caConfigMapRef instead")


def _protocols(draft: Draft, key: str, value: str) -> None:
    names = set(value.replace(",", " ").split())
    old = sorted(name for name in names if name not in {"TLSv1.2", "TLSv1.3"})
    if old:
        draft.refuse(key, f"{', '.join(old)}: TLS 1.2 is the oldest that is spoken (RFC 8996)")
    if names == {"TLSv1.3"}:
        draft.min_version = TlsVersion.TLS13


def _ehlo(draft: Draft, key: str, value: str) -> None:
    if flag(value) is False:
        draft.refuse(key, "TLS and logins need EHLO")


_TAKERS: Mapping[str, Callable[[Draft, str, str], None]] = {
    "host": _host,
    "port": Draft.set_port,
    "user": _user,
    "from": _from,
    "localhost": _hello,
    "connectiontimeout": _timeout,
    "ssl.checkserveridentity": _identity,
    "ssl.trust": _trust,
    "ssl.protocols": _protocols,
    "ehlo": _ehlo,
}


def _decide_tls(draft: Draft, own: Mapping[str, tuple[str, str]], *, is_implicit: bool) -> None:
    """JavaMail's STARTTLS falls back to clear text unless `starttls.required`; ours never does."""
    wishes = {
        name: flag(own[name][1]) for name in ("ssl.enable", "starttls.enable", "starttls.required") if name in own
    }
    for name, wish in wishes.items():
        if wish is None:
            draft.refuse(own[name][0], f"must be true or false, not {own[name][1][:40]!r}")
    wants_start_tls = wishes.get("starttls.enable") or wishes.get("starttls.required")
    if is_implicit or wishes.get("ssl.enable") or draft.mode is TlsMode.IMPLICIT:
        draft.mode = TlsMode.IMPLICIT
        for name in ("starttls.enable", "starttls.required"):
            if wishes.get(name):
                draft.ignore(own[name][0], "the connection is encrypted from the first byte already")
    elif wants_start_tls:
        draft.mode = TlsMode.START_TLS
        if not wishes.get("starttls.required"):
            draft.change(
                own["starttls.enable"][0],
                "STARTTLS is required here: JavaMail would go on in clear text where it is not offered",
            )
    else:
        draft.mode = TlsMode.NONE
        draft.change(
            "mail.smtp.starttls.enable",
            "it is not set, so there is no encryption, as before; better set it",
        )


def _decide_login(draft: Draft, own: Mapping[str, tuple[str, str]]) -> None:
    if draft.has_login is False and draft.username:
        draft.ignore("user", "auth is false: nobody logs in")
    if draft.has_login and not draft.username:
        draft.change(own["auth"][0], "the user name is not in the properties: put it into the Secret")
    key: str | None = next((name for name in ("auth.mechanisms", "sasl.mechanisms") if name in own), None)
    disabled = {
        word for name, word in _DISABLING.items() if flag(own.get(f"auth.{name}.disable", ("", ""))[1] or "false")
    }
    wanted = own[key][1].replace(",", " ").upper().split() if key else []
    if not wanted and disabled >= {"PLAIN"} and "LOGIN" not in disabled:
        wanted = ["LOGIN"]
    known = [name for name in wanted if name in _MECHANISMS and name not in disabled]
    strange = [name for name in wanted if name not in _MECHANISMS]
    if strange and key:
        draft.refuse(own[key][0], f"{', '.join(strange)}: not supported; there are {', '.join(_MECHANISMS)}")
    if not known:
        return
    where = own[key][0] if key is not None else "auth.plain.disable"
    if _MECHANISMS[known[0]] in {Mechanism.XOAUTH2, Mechanism.OAUTHBEARER}:
        draft.refuse(where, f"{known[0]} needs spec.auth.oauth2: where tokens come from is not in the properties")
    elif len(known) == 1:
        draft.mechanism = _MECHANISMS[known[0]]
    else:
        draft.change(where, f"of {', '.join(known)} the best that the server offers is used")
