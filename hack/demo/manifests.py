"""What the demo applies: the objects that a platform engineer would write, as YAML."""

import textwrap

NAMESPACE = "observability"
HOME = "watchbell-system"
LOGIN = "alerts@example.com"
TO = "oncall@example.com"
POLICY = "collectors"
COLLECTOR = "otel-gateway"
CONTAINER = "otc-container"
IMAGE = "otel/opentelemetry-collector-contrib:0.138.0"
MENDED_IMAGE = "otel/opentelemetry-collector-contrib:0.139.0"
DRIFTED_IMAGE = "otel/opentelemetry-collector-contrib:0.110.0"


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
    """Which pods, what is wrong, whom to tell. The times are short, so that nobody has to wait; unset they suit a cluster that people run."""
    return _yaml(f"""
        apiVersion: watchbell.dev/v1alpha1
        kind: CollectorPolicy
        metadata: {{name: {POLICY}, namespace: {NAMESPACE}}}
        spec:
          selector: {{matchLabels: {{app.kubernetes.io/component: collector}}}}
          crash: {{logTailLines: 20}}
          drift: {{pendingSeconds: 1}}
          grouping: {{waitSeconds: 0, periodSeconds: 1, resolveAfterSeconds: 2}}
          routes:
            - name: oncall
              connectorRef: {{name: alerts}}
              to: [{TO}]
        """)


BROKEN = "echo 'Error: failed to get config: cannot unmarshal the configuration'; exit 1"
MENDED = "trap 'exit 0' TERM; echo 'Everything is ready. Begin running and processing data.'; while :; do sleep 1; done"


def collector(image: str, script: str) -> str:
    """A real Deployment whose collector is a shell script; for a cluster that has nodes."""
    return _yaml(f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {COLLECTOR}, namespace: {NAMESPACE}}}
        spec:
          selector: {{matchLabels: {{app: {COLLECTOR}}}}}
          template:
            metadata: {{labels: {{app: {COLLECTOR}, app.kubernetes.io/component: collector, team: telemetry}}}}
            spec:
              containers:
                - name: {CONTAINER}
                  image: {image}
                  command: [sh, -c, "{script}"]
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
