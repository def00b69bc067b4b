"""Remedies for somebody who has a terminal and no cluster: the fields of a connector become flags of `watchbell probe` (pure).

Before: `smtp.remedies`, which speaks of specs and kubectl. After: `probe` and `doctor` on plain settings.
"""

import re
from collections.abc import Sequence

_WORDS = (
    (r"Put the issuing CA into a ConfigMap and name it: kubectl [^;]*; spec\.tls\.caConfigMapRef\.name: smtp-ca",
     "Give the issuing CA: --ca-file ca.pem"),
    (r"Trust this very certificate: save it as ca\.crt, kubectl [^;]*; spec\.tls\.caConfigMapRef\.name: smtp-ca",
     "Trust this very certificate: save it as ca.pem and give --ca-file ca.pem"),
    (r"Put PEM certificates \((.*?)\) into the key that .* names\.", r"The file of --ca-file must hold PEM certificates (\1)."),
    (r"The Secret of spec\.tls\.clientCertSecretRef needs tls\.crt and the tls\.key that belongs to it: .*",
     "The files of --client-cert and --client-key must belong together."),
    (r"Check the user name and password in the Secret of spec\.auth\.secretRef: .*", "Check the user name and the password."),
    (r"Write both anew: .*", ""),
    (r"Store the secret's Value, not its ID: .*", "Use the secret's Value, not its ID."),
    (r"Look it up from inside: .*", "Look it up: nslookup or dig with the same name"),
    (r"Try it from the same network: .*", "Try it from another network, for example a phone's, to see whether this one blocks it."),
    (r"Look for network policies: .*", "In a cluster a NetworkPolicy may forbid it; on a laptop a VPN or a firewall."),
    (r"For a Service in the cluster check .*", ""),
    (r"A headless Service without ready pods .*", ""),
    (r"Check CoreDNS: .*", "Check the resolver of this machine (resolv.conf), or that of the VPN."),
    (r"The egress network policy of \$OPERATOR_NAMESPACE must allow UDP and TCP 53.*", ""),
    (r"Ask the cluster's administrator to allow it: .*", "The address is of a kind that no mail server has."),
    (r"Loopback, link-local and metadata addresses and the API server .*", ""),
    (r"Find the address that the server sees: .*", "Find the address that the server sees: curl -s https://checkip.amazonaws.com"),
    (r"Log in once with a browser as (\S+) .*", r"Log in once with a browser as \1 and confirm that it is you; then probe again."),
    (r"Probe again: .*", ""),
    (r"See what it shows: ", "See it with another tool: "),
    (r" in the Secret of spec\.auth\.secretRef", ""),
    (r" and store it\.", "."),
    (r"The operator's", "This machine's"),
    (r"on the operator's pods", "on the pods"),
    (r"for the operator's pod", "for this machine"),
    (r"if the operator runs with --allow-insecure-tls, and ", "with --allow-plaintext-login, and "),
    (r"add spec\.auth with spec\.auth\.secretRef", "give --user"),
    (r"spec\.auth\.plaintext: Allow works only with --allow-plaintext-login", "--allow-plaintext-login works for a test"),
    (r"spec\.tls\.mode: StartTLS or Implicit", "--tls starttls or --tls implicit"),
    (r"spec\.tls\.mode: StartTLS", "--tls starttls"),
    (r"spec\.tls\.mode: Implicit", "--tls implicit"),
    (r"spec\.tls\.mode: None", "--tls none"),
    (r"spec\.port: (\d+)", r"port \1"),
    (r"remove spec\.auth\b", "leave --user away"),
    (r"Move to OAuth2: spec\.auth\.oauth2 with .*", "Move to OAuth2, which needs a connector: auth.oauth2."),
    (r"the cluster's (?=address|search)", "this machine's "),
    (r"the address that the cluster sends from", "the address that this machine sends from"),
    (r"The cluster has no route", "There is no route"),
    (r"Check routes and egress gateways of the nodes\.", "Check the routes of this machine."),
    (r"Check the nodes' clocks", "Check this machine's clock"),
    (r"Check the clocks of the nodes and", "Check the clocks of this machine and"),
    (r"of the nodes for outbound", "for outbound"),
    (r" It is sent again at most once, .*", " Look before you send it again."),
    (r", nothing to do: it is tried again\.", ", try again later."),
)  # fmt: skip
_FIELDS = {
    "spec.host": "the host",
    "spec.port": "the port",
    "spec.tls.serverName": "--server-name",
    "spec.tls.minVersion": "the oldest TLS version allowed",
    "spec.tls.clientCertSecretRef": "--client-cert and --client-key",
    "spec.tls.caConfigMapRef": "--ca-file",
    "spec.tls.caSecretRef": "--ca-file",
    "spec.tls.verification": "--insecure",
    "spec.helloName": "--hello",
    "spec.auth.mechanism": "--mechanism",
    "spec.auth.secretRef": "--user",
    "spec.auth.oauth2": "OAuth2 (a connector's auth.oauth2)",
    "spec.auth": "--user",
    "spec.from.address": "--from",
}
_COMPILED = tuple((re.compile(pattern), words) for pattern, words in _WORDS)
_FIELD = re.compile(r"spec(?:\.[A-Za-z0-9]+)+")
_RETRIES = re.compile(
    r" ?It is tried again (?:by itself|at once when the Secret changes)[^.]*\.|(?:Nothing to do at once: )?it is tried again\."
)


def in_flags(sentences: Sequence[str]) -> tuple[str, ...]:
    """The sentences that make sense without a cluster, in the words of `watchbell probe`; all that is left of them, and at least one."""
    told = [_plain(sentence) for sentence in sentences]
    kept = tuple(dict.fromkeys(sentence for sentence in told if sentence))
    return kept or (("Try again later.",) if sentences else ())


def _plain(sentence: str) -> str:
    for pattern, words in _COMPILED:
        sentence = pattern.sub(words, sentence)
    sentence = _RETRIES.sub("", sentence).strip()
    sentence = _FIELD.sub(lambda found: _field(found[0]), sentence)
    return sentence[:1].upper() + sentence[1:] if sentence and not sentence.startswith("--") else sentence


def _field(path: str) -> str:
    """The flag of the field, or of the nearest one above it that has one; else the field itself, as a connector has it."""
    name = path
    while "." in name:
        if name in _FIELDS:
            return _FIELDS[name]
        name = name.rpartition(".")[0]
    return f"a connector's {path.removeprefix('spec.')}"
