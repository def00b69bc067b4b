# ruff: noqa: E501 - sentences and commands are kept whole, so that they can be searched for
"""Checks of what connectors refer to: Secrets, who may read them, and the CAs (pure). Values are judged and never repeated."""

from collections.abc import Iterator
from datetime import timedelta

from watchbell.connectors.credentials import Refusal, SecretView, check_opt_in, read_value
from watchbell.doctor.facts import Absence, Body, Facts, Source, name_of, names_of, part, spec_of
from watchbell.doctor.model import Category, Check, Finding, Severity, Status, change, high, low, medium
from watchbell.smtp.certificate_bytes import links_of_pem

EXPIRES_SOON_DAYS = 30


def _secret(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        name = part(spec_of(body), "auth", "secretRef", "name")
        if not name:
            continue
        namespace = facts.secrets_namespace(body)
        secret = facts.secrets.get((namespace, str(name)))
        match secret:
            case SecretView():
                yield from _content(facts, body, secret)
            case Absence.FORBIDDEN:
                message = f"you may not read Secret {name} in namespace {namespace}; whether the operator may, check.operator.grant tells"
                yield Finding(Status.SKIP, message, name_of(body))
            case _ if facts.source is Source.FILES:
                yield Finding(
                    Status.INFO,
                    f"Secret {name} is not among the files; it must be in namespace {namespace}",
                    name_of(body),
                )
            case _:
                message = f"there is no Secret {name} in namespace {namespace}"
                yield Finding(
                    Status.FAIL, message, name_of(body), names=names_of(facts, body) | {"NAMESPACE": namespace}
                )


def _content(facts: Facts, body: Body, secret: SecretView) -> Iterator[Finding]:
    """Opt-in, host pin, keys, mask, white space and double encoding, as the operator judges them."""
    spec = spec_of(body)
    names = names_of(facts, body) | {"NAMESPACE": secret.namespace}
    evidence = (("Secret", f"{secret.namespace}/{secret.name}"), ("keys", ", ".join(sorted(secret.data)) or "none"))
    refusals = [check_opt_in(secret, str(spec.get("host") or ""))]
    has_newline = False
    for key in _needed(spec, secret):
        value = read_value(secret, key)
        if isinstance(value, Refusal):
            refusals.append(value)
        else:
            has_newline |= value.had_newline
    found = [refusal for refusal in refusals if refusal is not None]
    for refusal in found:
        yield Finding(Status.FAIL, f"{refusal.reason}: {refusal.message}", name_of(body), evidence, names=names)
    if not found and has_newline:
        message = "a value ends with a line break, which is left off: write it with printf %s instead of echo"
        yield Finding(Status.WARN, message, name_of(body), evidence, names=names)
    elif not found:
        yield Finding(Status.PASS, "the Secret opts in, and its values can be credentials", name_of(body), evidence)


def _needed(spec: Body, secret: SecretView) -> Iterator[str]:
    """The single-line keys that this kind of login reads."""
    auth = spec.get("auth") or {}
    if not auth.get("username"):
        ses_key = "aws-access-key-id" if auth.get("ses") and "username" not in secret.data else "username"
        yield str(auth.get("usernameKey") or ses_key)
    grant = part(auth, "oauth2", "grant")
    if grant == "RefreshToken":
        yield "refresh-token"
    elif grant == "ClientCredentials" and "client.crt" not in secret.data:
        yield "client-secret"
    elif not grant and auth.get("mechanism") != "External":
        yield str(auth.get("passwordKey") or ("aws-secret-access-key" if auth.get("ses") else "password"))


def _authority(facts: Facts) -> Iterator[Finding]:
    for body in facts.connectors:
        tls = spec_of(body).get("tls") or {}
        kind, field = next((pair for pair in _AUTHORITIES if tls.get(pair[1])), ("", ""))
        if not kind:
            continue
        ref = tls[field]
        namespace, name, key = facts.secrets_namespace(body), str(ref.get("name")), str(ref.get("key") or "ca.crt")
        names = names_of(facts, body) | {"NAMESPACE": namespace}
        text = _pem(facts, kind, (namespace, name), key)
        if isinstance(text, Absence):
            status = (
                Status.SKIP
                if text is Absence.FORBIDDEN
                else Status.INFO
                if facts.source is Source.FILES
                else Status.FAIL
            )
            message = f"{kind} {name} in namespace {namespace}, key {key}: {text}"
            yield Finding(status, message, name_of(body), names=names)
        else:
            yield _judged(facts, body, text, f"{kind} {namespace}/{name}[{key}]")


_AUTHORITIES = (("ConfigMap", "caConfigMapRef"), ("Secret", "caSecretRef"))


def _pem(facts: Facts, kind: str, where: tuple[str, str], key: str) -> str | Absence:
    if kind == "ConfigMap":
        data = facts.config_maps.get(where)
        if data is None or isinstance(data, Absence):
            return data or Absence.MISSING
        found = data.get(key)
        return Absence.MISSING if found is None else found
    secret = facts.secrets.get(where, Absence.MISSING)
    if isinstance(secret, Absence):
        return secret
    return secret.data[key].decode("utf-8", "replace") if key in secret.data else Absence.MISSING


def _judged(facts: Facts, body: Body, text: str, where: str) -> Finding:
    links = links_of_pem(text)
    names = names_of(facts, body)
    if links is None:
        return Finding(Status.FAIL, f"{where} holds no usable PEM certificate", name_of(body), names=names)
    first = min(links, key=lambda link: link.not_after)
    evidence = tuple(
        (f"certificate {n}", f"{link.subject}, until {link.not_after:%Y-%m-%d}") for n, link in enumerate(links)
    )
    if first.not_after <= facts.now:
        return Finding(
            Status.FAIL,
            f"{where}: {first.subject} expired on {first.not_after:%Y-%m-%d}",
            name_of(body),
            evidence,
            names=names,
        )
    if first.not_after < facts.now + timedelta(days=EXPIRES_SOON_DAYS):
        return Finding(
            Status.WARN,
            f"{where}: {first.subject} expires on {first.not_after:%Y-%m-%d}",
            name_of(body),
            evidence,
            names=names,
        )
    return Finding(Status.PASS, f"{where} holds {len(links)} valid certificate(s)", name_of(body), evidence)


CHECKS = (
    Check(
        id="check.connector.secret",
        title="The Secret opts in and holds usable credentials",
        category=Category.SECURITY,
        severity=Severity.ERROR,
        tags=("secret", "credentials", "connector"),
        looks_at="That the Secret exists, says that watchbell may use it, is not pinned to other hosts, has the keys, and that a value is neither empty "
        "nor a mask (********), nor encoded twice, nor broken over lines. No value is shown.",
        why="Without usable credentials no login is tried, and the last good ones are used until the operator restarts.",
        causes=(
            high("The Secret lacks the opt-in: type watchbell.dev/smtp or the label watchbell.dev/smtp=true."),
            medium("The value was written with echo (a line break) or put base64 into stringData (encoded twice)."),
            medium("A form saved its mask over the password."),
            low("The Secret is in another namespace."),
        ),
        remedies=change(
            "Write the Secret anew, with the opt-in and without a line break. Keep passwords out of values files and Git: use SealedSecrets, SOPS or "
            "External Secrets.",
            "kubectl -n $NAMESPACE label secret $SECRET watchbell.dev/smtp=true",
            "kubectl -n $NAMESPACE create secret generic $SECRET --type=watchbell.dev/smtp --from-literal=username=USER --from-file=password=/dev/stdin",
        ),
        judge=_secret,
        related=("check.operator.grant", "check.integration.smtp.authenticate"),
    ),
    Check(
        id="check.connector.ca",
        title="The private CA can be read and has not expired",
        category=Category.SECURITY,
        severity=Severity.ERROR,
        tags=("tls", "certificate", "connector"),
        looks_at="The PEM certificates that spec.tls.caConfigMapRef or caSecretRef names: present, readable, not expired; warns a month before.",
        why="With a broken or expired CA the server's certificate is not trusted and no mail goes out.",
        causes=(high("The CA was renewed and the ConfigMap was not."), medium("The file was cut, or holds the key instead."), low("Another key.")),
        remedies=change(
            "Put the current CA certificates (PEM) into the ConfigMap; old and new may stand side by side.",
            "kubectl -n $NAMESPACE create configmap smtp-ca --from-file=ca.crt --dry-run=client -o yaml | kubectl apply -f -",
        ),
        judge=_authority,
        related=("check.integration.smtp.tls",),
    ),
)  # fmt: skip
