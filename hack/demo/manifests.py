"""What the demo applies: the objects that a platform engineer would write, as YAML."""

import textwrap

NAMESPACE = "observability"
HOME = "watchbell-system"
LOGIN = "alerts@example.com"
TO = "oncall@example.com"
COLLECTOR = "otel-gateway"


def namespaces() -> str:
    """The operator's namespace and the collectors'."""
    return "".join(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n---\n" for name in (HOME, NAMESPACE))


def relay_secret(namespace: str, password: str) -> str:
    """The login, opted in and pinned to its host."""
    return _yaml(f"""
        apiVersion: v1
        kind: Secret
        type: watchbell.dev/smtp
        metadata:
          name: relay
          namespace: {namespace}
          annotations: {{watchbell.dev/allowed-hosts: localhost}}
        stringData:
          username: {LOGIN}
          password: {password}
        """)


def authority(namespace: str, ca_pem: str) -> str:
    """The relay's private CA."""
    pem = textwrap.indent(ca_pem.strip(), " " * 4)
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: relay-ca, namespace: {namespace}}}\ndata:\n  ca.crt: |\n{pem}\n---\n"


def cluster_connector(port: int) -> str:
    """The platform team's connector, for every namespace."""
    return _yaml(f"""
        apiVersion: watchbell.dev/v1alpha1
        kind: ClusterSmtpConnector
        metadata: {{name: watchbell-demo}}
        spec:
          displayName: Platform mail
          host: localhost
          port: {port}
          tls: {{mode: StartTLS, caConfigMapRef: {{name: relay-ca}}}}
          auth: {{secretRef: {{name: relay}}}}
          from: {{address: platform@example.com, name: Platform}}
          allowedNamespaces: {{from: All}}
        """)


def connector(port: int) -> str:
    """A team's own connector."""
    return _yaml(f"""
        apiVersion: watchbell.dev/v1alpha1
        kind: SmtpConnector
        metadata: {{name: alerts, namespace: {NAMESPACE}}}
        spec:
          displayName: Collector alerts
          host: localhost
          port: {port}
          tls: {{mode: StartTLS, caConfigMapRef: {{name: relay-ca}}}}
          auth: {{secretRef: {{name: relay}}}}
          from: {{address: {LOGIN}, name: Collector alerts}}
        """)


def policy() -> str:
    """Which pods, what is wrong, whom to tell."""
    return _yaml(f"""
        apiVersion: watchbell.dev/v1alpha1
        kind: CollectorPolicy
        metadata: {{name: collectors, namespace: {NAMESPACE}}}
        spec:
          selector: {{matchLabels: {{app.kubernetes.io/component: collector}}}}
          crash: {{kinds: [CrashLoopBackOff, ContainerError, OOMKilled], logTailLines: 20}}
          grouping: {{waitSeconds: 0}}
          routes:
            - name: oncall
              connectorRef: {{name: alerts}}
              to: [{TO}]
        """)


def broken_collector(image: str) -> str:
    """A real Deployment whose collector ends with exit code 1; for a cluster that has nodes."""
    return _yaml(f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {COLLECTOR}, namespace: {NAMESPACE}}}
        spec:
          selector: {{matchLabels: {{app: {COLLECTOR}}}}}
          template:
            metadata: {{labels: {{app: {COLLECTOR}, app.kubernetes.io/component: collector}}}}
            spec:
              containers:
                - name: otc-container
                  image: {image}
                  command: [sh, -c, "echo 'Error: failed to get config: cannot unmarshal the configuration'; exit 1"]
        """)


def smtp_test() -> str:
    """The "Test connection" button, for the reader to press."""
    return _yaml(f"""
        apiVersion: watchbell.dev/v1alpha1
        kind: SmtpTest
        metadata: {{generateName: try-}}
        spec:
          connectorRef: {{name: alerts}}
          to: [{TO}]
        """)


def _yaml(text: str) -> str:
    return f"{textwrap.dedent(text).strip()}\n---\n"
