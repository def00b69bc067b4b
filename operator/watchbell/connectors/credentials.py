"""What a Secret says, checked before any of it goes to a server. Pure: the Secret's bytes come in, values or a named refusal go out.

A Secret must opt in, may pin itself to hosts, and its values must be able to be credentials: what people really paste (a line break at the end,
base64 of base64, the mask of a panel) gets a reason of its own and the command that mends it. No message ever holds a value.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from watchbell.api.names import ANNOTATION_ALLOWED_HOSTS, ANNOTATION_VERBATIM, LABEL_DKIM_KEY, LABEL_OPT_IN, SECRET_TYPE
from watchbell.api.reasons import Reason
from watchbell.api.sensitive import Sensitive

MAX_VALUE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connector cannot be used as it stands: the condition that turns False, its reason, and a message that holds the cure."""

    condition: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class SecretView:
    """A Secret as it was read; `data` is decoded from the API's base64."""

    namespace: str
    name: str
    resource_version: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    data: Mapping[str, bytes]

    def __repr__(self) -> str:
        """Name and version only: the data never shows."""
        return f"SecretView({self.namespace}/{self.name}@{self.resource_version})"


@dataclass(frozen=True, slots=True)
class Value:
    """One usable value; `had_newline` tells that one line break was left off."""

    secret: Sensitive
    had_newline: bool = False


def secret_view(body: Mapping[str, object]) -> SecretView:
    """A Secret of the API server (`v1`, data in base64) as a view. Values that are not base64 cannot come from an API server."""
    metadata = body["metadata"]
    data = body.get("data") or {}
    if not isinstance(metadata, Mapping) or not isinstance(data, Mapping):
        raise TypeError("a Secret has maps as metadata and data")
    return SecretView(
        namespace=str(metadata["namespace"]),
        name=str(metadata["name"]),
        resource_version=str(metadata.get("resourceVersion", "")),
        type=str(body.get("type", "")),
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        data={str(key): base64.b64decode(str(value)) for key, value in data.items()},
    )


def refs_refusal(reason: Reason, message: str) -> Refusal:
    """A refusal of condition ResolvedRefs."""
    return Refusal("ResolvedRefs", reason, message)


def check_opt_in(secret: SecretView, host: str) -> Refusal | None:
    """None if the Secret says that watchbell may send it to `host`.

    Without this, whoever writes connectors could read Secrets by pointing them at a server of his own.
    """
    if secret.type != SECRET_TYPE and secret.labels.get(LABEL_OPT_IN) != "true":
        return refs_refusal(
            Reason.SECRET_NOT_OPTED_IN,
            f"Secret {secret.name} does not say that watchbell may use it. Opt in: "
            f"kubectl -n {secret.namespace} label secret {secret.name} {LABEL_OPT_IN}=true",
        )
    pinned = secret.annotations.get(ANNOTATION_ALLOWED_HOSTS)
    if pinned is None or _normal(host) in {_normal(entry) for entry in pinned.split(",")}:
        return None
    return Refusal(
        "Accepted",
        Reason.HOST_NOT_ALLOWED,
        f"Secret {secret.name} is pinned to other hosts than {host}. To allow it: kubectl -n {secret.namespace} annotate --overwrite "
        f"secret {secret.name} {ANNOTATION_ALLOWED_HOSTS}={host}",
    )


def check_signs(secret: SecretView) -> Refusal | None:
    """None if the Secret says that mail may be signed with it.

    A label of its own: with that of logins, whoever writes connectors could have the key sent to a server of his own as a password.
    """
    if secret.labels.get(LABEL_DKIM_KEY) == "true":
        return None
    return refs_refusal(
        Reason.SECRET_NOT_OPTED_IN,
        f"spec.dkim.secretRef: Secret {secret.name} does not say that mail may be signed with it. Opt in: "
        f"kubectl -n {secret.namespace} label secret {secret.name} {LABEL_DKIM_KEY}=true",
    )


def _normal(host: str) -> str:
    return host.strip().lower().rstrip(".")


def read_value(secret: SecretView, key: str) -> Value | Refusal:
    """One credential of a Secret: a single line of text."""
    text = read_text(secret, key)
    if isinstance(text, Refusal):
        return text
    line = text.removesuffix("\n").removesuffix("\r")
    mend = _mend(secret, key)
    if line and not line.strip("*"):
        return refs_refusal(
            Reason.MASKED_PLACEHOLDER,
            f"Key {key} of Secret {secret.name} holds only asterisks: a mask was saved over the real value. Nothing was sent. {mend}",
        )
    if not line or line != line.strip() or any(ord(char) < 32 or ord(char) == 127 for char in line):
        return refs_refusal(
            Reason.SECRET_MALFORMED,
            f"Key {key} of Secret {secret.name} is empty, begins or ends with white space, or holds control characters. {mend}",
        )
    if secret.annotations.get(ANNOTATION_VERBATIM) != "true" and _is_encoded_twice(line):
        return refs_refusal(
            Reason.SECRET_DOUBLE_ENCODED,
            f"Key {key} of Secret {secret.name} is base64 of a readable text, so it was encoded twice (`data` is base64 already; use `stringData`). "
            f"{mend} If it really is the value: kubectl -n {secret.namespace} annotate secret {secret.name} {ANNOTATION_VERBATIM}=true",
        )
    return Value(Sensitive(line), had_newline=line != text)


def read_text(secret: SecretView, key: str) -> str | Refusal:
    """A value of many lines, such as a PEM block or a JSON document, as it stands."""
    raw = secret.data.get(key)
    if raw is None:
        present = ", ".join(sorted(secret.data)) or "none"
        return refs_refusal(
            Reason.SECRET_KEY_MISSING,
            f"Secret {secret.name} has no key {key} (keys: {present}). {_mend(secret, key)}",
        )
    if len(raw) > MAX_VALUE_BYTES:
        return refs_refusal(
            Reason.SECRET_MALFORMED, f"Key {key} of Secret {secret.name} is longer than {MAX_VALUE_BYTES} bytes."
        )
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return refs_refusal(
            Reason.SECRET_MALFORMED, f"Key {key} of Secret {secret.name} is not UTF-8 text. {_mend(secret, key)}"
        )


def _mend(secret: SecretView, key: str) -> str:
    patch = f'{{"stringData":{{"{key}":"..."}}}}'
    return f"Mend it: kubectl -n {secret.namespace} patch secret {secret.name} -p '{patch}'"


def _is_encoded_twice(line: str) -> bool:
    """Base64 whose content is readable text.

    A random password of 12 characters decodes to 9 random bytes, all printable once in 7,500; padding or more length make it clearer still.
    """
    if len(line) < 12 or len(line) % 4:
        return False
    try:
        inner = base64.b64decode(line, validate=True).decode("ascii").removesuffix("\n")
    except ValueError:
        # Of either step, or a character beyond ASCII, which no base64 has.
        return False
    return inner.isprintable() and (line.endswith("=") or len(inner) >= 12)
