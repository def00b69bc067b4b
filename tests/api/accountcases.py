"""The tables of AccountRecovery."""

from typing import Any

from api.caseform import ABSENT, NAME, JsonObject, Refused, mailbox

CODES: JsonObject = {"type": "RecoveryCodes", "link": ABSENT}

_ACCOUNT = "account must be one line without space at its ends, without control characters and characters that turn the direction of text"
_URL = "baseURL must be an https URL without user information and fragment"
_PARAMETER = "tokenParameter must be letters, digits, '_' and '-', beginning with a letter"
_LINK = "link must be set with type PasswordReset, and only with it"
_TWICE = "baseURL may not set tokenParameter: the token comes there"


def _recovery(path: str, message: str, **change: Any) -> Refused:
    return Refused("AccountRecovery", change, path, message)


def _link(path: str, message: str, **link: Any) -> Refused:
    return _recovery(f"spec.link.{path}", message, link={"baseURL": "https://app.example.com/reset"} | link)


REFUSED = [
    _recovery("spec.link", _LINK, link=ABSENT),
    _recovery("spec.link", _LINK, type="RecoveryCodes"),
    *(
        _recovery("spec.account", _ACCOUNT, account=account)
        for account in ("alice\nBcc: x@example.net", " alice", "alice ", "a\u202eb", "a\x00b")
    ),
    _recovery("spec.to", mailbox("to"), to="alice"),
    _recovery("spec.to", mailbox("to"), to="a@example.com, b@example.com"),
    _recovery("spec.to", mailbox("to"), to="a@example.com\r\nBcc: b@example.com"),
    *(
        _link("baseURL", _URL, baseURL=address)
        for address in (
            "http://app.example.com/reset",
            "https://user@app.example.com/",
            "https://app.example.com/#reset",
            "https://app.example.com/a b",
            'https://app.example.com/"><b>',
            "javascript:alert(1)",
            "https://app.example.com\\@evil.example",
            "https://app.example.com/\n",
        )
    ),
    _link("tokenParameter", _PARAMETER, tokenParameter="a=b&c"),
    _link("baseURL", _TWICE, baseURL="https://app.example.com/reset?token=x"),
    _link("baseURL", _TWICE, baseURL="https://app.example.com/reset?a=1&t=x", tokenParameter="t"),
    _recovery("spec.signingKeySecretRef.name", NAME, signingKeySecretRef={"name": "other/key"}),
    _recovery("spec.connectorRef.name", NAME, connectorRef={"name": "other/main"}),
]

BOUNDS: list[tuple[str, JsonObject, str, str]] = [
    ("AccountRecovery", {"type": "Reset"}, "spec.type", "must be one of 'PasswordReset', 'RecoveryCodes'"),
    ("AccountRecovery", {"account": ""}, "spec.account", "must have at least 1 characters"),
    ("AccountRecovery", {"account": "a" * 254}, "spec.account", "must have at most 253 characters"),
    ("AccountRecovery", CODES | {"codeCount": 0}, "spec.codeCount", "must be at least 1"),
    ("AccountRecovery", CODES | {"codeCount": 21}, "spec.codeCount", "must be at most 20"),
    ("AccountRecovery", {"expirationSeconds": 59}, "spec.expirationSeconds", "must be at least 60"),
    ("AccountRecovery", {"expirationSeconds": 604_801}, "spec.expirationSeconds", "must be at most 604800"),
    ("AccountRecovery", {"signingKeySecretRef": ABSENT}, "spec.signingKeySecretRef", "must be set"),
    ("AccountRecovery", {"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished", "must be at least 0"),
]

TAKEN: list[tuple[str, JsonObject]] = [
    ("AccountRecovery", {}),
    ("AccountRecovery", CODES),
    ("AccountRecovery", {"templateRef": {"name": "reset"}}),
    ("AccountRecovery", CODES | {"codeCount": 20, "expirationSeconds": 604_800, "ttlSecondsAfterFinished": 0}),
    ("AccountRecovery", {"account": "Müller, Björn (prod)", "to": "Björn <bjoern@müller.example>"}),
    ("AccountRecovery", {"link": {"baseURL": "https://[2001:db8::1]:8443/a/b?lang=de&x=%20", "tokenParameter": "t-1"}}),
    ("AccountRecovery", {"link": {"baseURL": "https://app.example.com"}}),
    ("AccountRecovery", {"connectorRef": {"kind": "ClusterSmtpConnector", "name": "corporate"}}),
]
