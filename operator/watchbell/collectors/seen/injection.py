"""What admission webhooks are known to put into pods (pure).

Before: `shape` reads a container and has what was appended to the template's env taken off again. After: `drift` and `baseline` leave out what no
template says because a webhook put it there. Knows names only, no policy and no pod.

Sources: Istio's injection-template.yaml, Linkerd's proxy injector, the Vault agent injector, the OpenTelemetry operator (its packages
internal/instrumentation and sidecar), Dapr's injector, and the identity webhooks of EKS, Azure and Google.
"""

import re

CONTAINERS = frozenset(
    {
        "istio-proxy",
        "istio-init",
        "istio-validation",
        "enable-core-dump",
        "linkerd-proxy",
        "linkerd-init",
        "linkerd-network-validator",
        "linkerd-debug",
        "vault-agent",
        "vault-agent-init",
        "otc-container",
        "daprd",
        "cloud-sql-proxy",
        "azwi-proxy",
        "azwi-proxy-init",
        "gke-gcsfuse-sidecar",
        "aws-network-policy-agent",
    }
)
"""Containers and init containers, by their whole names."""
CONTAINER_PREFIXES = ("opentelemetry-auto-instrumentation",)
"""The OpenTelemetry operator's init containers: `…`, `…-java`, `…-nodejs`, `…-python` and so on."""
ENV_PREFIXES = (
    "OTEL_",
    "ISTIO_META_",
    "DAPR_",
    "AWS_ROLE_",
    "AWS_WEB_IDENTITY_",
    "AWS_STS_",
    "AWS_CONTAINER_",
    "AZURE_",
    "CORECLR_",
    "DOTNET_",
)
ENV_NAMES = frozenset(
    {
        "APP_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "JAVA_TOOL_OPTIONS",
        "LD_PRELOAD",
        "NODE_OPTIONS",
        "PYTHONPATH",
        "RUBYOPT",
        "VAULT_ADDR",
        "VAULT_CACERT",
    }
)

_APPENDED = {
    "JAVA_TOOL_OPTIONS": re.compile(r" ?-javaagent:/otel-auto-instrumentation-java[\w.-]*/javaagent\.jar"),
    "NODE_OPTIONS": re.compile(r" ?--require /otel-auto-instrumentation-nodejs[\w.-]*/autoinstrumentation\.js"),
    "PYTHONPATH": re.compile(
        r":?/otel-auto-instrumentation-python[\w.-]*(?:/opentelemetry/instrumentation/auto_instrumentation)?(?=:|$)"
    ),
    "RUBYOPT": re.compile(r" ?-r ?/otel-auto-instrumentation-ruby[\w./-]*"),
    "LD_PRELOAD": re.compile(r":?/otel-auto-instrumentation-[\w./-]*\.so"),
    "DOTNET_STARTUP_HOOKS": re.compile(r":?/otel-auto-instrumentation-dotnet[\w./-]*\.dll"),
    "DOTNET_ADDITIONAL_DEPS": re.compile(r":?/otel-auto-instrumentation-dotnet[\w./-]*"),
    "DOTNET_SHARED_STORE": re.compile(r":?/otel-auto-instrumentation-dotnet[\w./-]*"),
    "OTEL_RESOURCE_ATTRIBUTES": re.compile(r",?(?:k8s\.[\w.]+|service\.(?:instance\.id|namespace|version))=[^,]*"),
}
_WRAPPERS = (("/vault/vault-env",), ("/op/bin/op", "run", "--"))
"""Programs that a webhook (bank-vaults, 1Password) puts before the container's own command to fill its env with secrets."""


def is_injected_container(name: str) -> bool:
    """Whether a webhook is known to add a container of this name."""
    return name in CONTAINERS or name.startswith(CONTAINER_PREFIXES)


def is_injected_env(name: str) -> bool:
    """Whether a webhook is known to add an env variable of this name to containers of others."""
    return name in ENV_NAMES or name.startswith(ENV_PREFIXES)


def without_appended(name: str, value: str) -> str:
    """The value as the template says it: what a webhook is known to append to a variable of this name is taken off."""
    pattern = _APPENDED.get(name)
    return pattern.sub("", value).lstrip(":,") if pattern is not None else value


def unwrapped(command: tuple[str, ...], args: tuple[str, ...]) -> tuple[str, ...] | None:
    """Command and arguments behind a known wrapper, as one line; None when there is no wrapper."""
    for wrapper in _WRAPPERS:
        if command[: len(wrapper)] == wrapper:
            return (*command[len(wrapper) :], *args)
    return None
