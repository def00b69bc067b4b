"""The tables of policies, incidents, silences, templates and attachments."""

from typing import Any

from api.caseform import ABSENT, HIDDEN, KEY, NAME, JsonObject, Refused

_POLICY = [
    *(
        Refused(
            "CollectorPolicy",
            {"selector": selector},
            "spec.selector",
            "selector must hold matchLabels or matchExpressions: an empty one would take every pod",
        )
        for selector in ({}, {"matchLabels": {}}, {"matchExpressions": []})
    ),
    Refused(
        "CollectorPolicy",
        {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
        "spec.selector.matchExpressions[0].values",
        "values must be set with operator In or NotIn",
    ),
    Refused(
        "CollectorPolicy",
        {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
        "spec.selector.matchExpressions[0].values",
        "values may not be set with operator Exists or DoesNotExist",
    ),
    Refused(
        "CollectorPolicy",
        {"routes": [{"name": "main"}]},
        "spec.routes[0].to",
        "to, cc, bcc or toFrom must name at least one recipient",
    ),
    Refused(
        "CollectorPolicy",
        {"routes": [{"name": "Main", "to": ["ops@example.com"]}]},
        "spec.routes[0].name",
        "name must be lower-case letters, digits and '-'",
    ),
    Refused(
        "CollectorPolicy",
        {"containers": {"include": ["Collector"]}},
        "spec.containers.include[0]",
        "containers must be named as in the pod: lower-case letters, digits and '-'",
    ),
]

_DASHBOARD = (
    "dashboardURLTemplate must be an http or https address; behind its host it may hold {cluster}, {namespace}, {owner}, {kind}, {pod} and "
    "{incident}, and no other braces"
)
_RUNBOOK = "runbookURL must be an http or https address without user and braces"
_DIGEST = "sha256:" + "0123456789abcdef" * 4
_PINNED_IFF = "pinned must be set with mode Pinned, and may not be set otherwise"


def _policy(path: str, message: str, **change: Any) -> Refused:
    return Refused("CollectorPolicy", change, f"spec.{path}", message)


def _pinned(path: str, message: str, **pinned: Any) -> Refused:
    return _policy(f"baseline.pinned{path}", message, baseline={"mode": "Pinned", "pinned": pinned})


def _route(path: str, message: str, **route: Any) -> Refused:
    return _policy(f"routes[0].{path}", message, routes=[{"name": "main", "to": ["ops@example.com"]} | route])


_BASELINE = [
    _policy("baseline.pinned", _PINNED_IFF, baseline={"mode": "Pinned"}),
    _policy("baseline.pinned", _PINNED_IFF, baseline={"pinned": {"replicas": {"min": 1}}}),
    _policy("baseline.pinned", _PINNED_IFF, baseline={"mode": "Captured", "pinned": {"replicas": {"min": 1}}}),
    _pinned("", "pinned must name containers, configMaps or replicas"),
    _pinned("", "pinned must name containers, configMaps or replicas", containers=[], configMaps=[]),
    _pinned(".replicas.min", "min or max must be set", replicas={}),
    _pinned(".replicas.min", "min may not be greater than max", replicas={"min": 3, "max": 2}),
    _policy("drift.replicas.min", "min may not be greater than max", drift={"replicas": {"min": 3, "max": 2}}),
    *(
        _pinned(
            ".containers[0].imageDigests[0]",
            "imageDigests must hold digests such as sha256:... with 64 hexadecimal digits",
            containers=[{"name": "collector", "imageDigests": [digest]}],
        )
        for digest in ("sha256:abc", _DIGEST.upper(), _DIGEST[7:], _DIGEST[:-1] + "g")
    ),
    _pinned(
        ".containers[0].images[0]",
        "images must hold references such as docker.io/otel/opentelemetry-collector:0.110.0",
        containers=[{"name": "collector", "images": ["otel collector"]}],
    ),
    *(
        _pinned(
            f".containers[0].{field}",
            f"{field} must be a hash as `watchbell baseline capture` prints it",
            containers=[{"name": "collector", field: "PASSWORD=hunter2"}],
        )
        for field in ("argsHash", "envHash")
    ),
    _pinned(
        ".configMaps[0].dataHash",
        "dataHash must be a hash as `watchbell baseline capture` prints it",
        configMaps=[{"name": "agent", "dataHash": "latest"}],
    ),
]

_ROUTES = [
    _route("to", "to, cc, bcc or toFrom must name at least one recipient", to=[], toFrom=[]),
    *(
        _route("toFrom[0]", "toFrom must hold either configMapKeyRef or secretKeyRef in each item", toFrom=[source])
        for source in (
            {},
            {"configMapKeyRef": {"name": "a", "key": "b"}, "secretKeyRef": {"name": "a", "key": "b"}},
        )
    ),
    _route("toFrom[0].configMapKeyRef.key", KEY, toFrom=[{"configMapKeyRef": {"name": "a", "key": "b c"}}]),
    _route("toFrom[0].secretKeyRef.name", NAME, toFrom=[{"secretKeyRef": {"name": "A", "key": "b"}}]),
    _route("templateRef.name", NAME, templateRef={"name": "other-namespace/short"}),
    *(
        _policy("links.dashboardURLTemplate", _DASHBOARD, links={"dashboardURLTemplate": url})
        for url in (
            "grafana.example.com",
            "javascript:alert(1)",
            "https://{owner}.example.com/",
            "https://grafana.example.com:{pod}/",
            "https://user:secret@grafana.example.com/",
            "https://grafana.example.com/{node}",
            "https://grafana.example.com/{pod",
            "https://grafana.example.com/}",
            'https://grafana.example.com/"onclick=x',
            "https://grafana.example.com/a b",
            "https://grafana.example.com/\nBcc: x",
        )
    ),
    *(
        _policy("links.runbookURL", _RUNBOOK, links={"runbookURL": url})
        for url in (
            "ftp://wiki.example.com",
            "https://wiki.example.com/{kind}",
            "https://u@wiki.example.com/",
            "https://",
        )
    ),
]

_KINDS = (
    "CrashLoopBackOff, OOMKilled, ContainerError, ContainerConfigError, ImagePullFailed, InitContainerFailed, Evicted, NodeLost, Unschedulable, "
    "NotReady, RestartBurst, SubprocessCrashed, RolloutStuck, Drift"
)


def _matcher(path: str, message: str, **matcher: Any) -> Refused:
    return Refused("AlertSilence", {"matchers": [matcher]}, f"spec.matchers[0].{path}", message)


_SILENCE = [
    _matcher("values", f"values must be of {_KINDS} with field Kind", field="Kind", values=["OOMKilled", "Oom*"]),
    _matcher(
        "values",
        "values must be of Critical, Warning, Info with field Severity",
        field="Severity",
        operator="NotIn",
        values=["critical"],
    ),
    *(
        Refused("AlertSilence", {"startTime": start}, "spec.endTime", "endTime must be after startTime")
        for start in ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", "2026-11-20T10:00:00-01:00")
    ),
]

_FILENAME = "filename must be a plain file name: no path, no quotes, no dot or space at its beginning"
_CONTENT_TYPE = "contentType must be one of the types that may go with a mail, such as text/csv, application/pdf or image/png, without parameters"
_ONE_SOURCE = "text, configMapKeyRef or secretKeyRef must be set, and only one of them"
_KEY = {"name": "reports", "key": "october.pdf"}
_PICTURE = {"filename": "logo.png", "contentType": "image/png", "configMapKeyRef": _KEY, "disposition": "Inline"}


def _attached(path: str, message: str, **attachment: Any) -> Refused:
    file = {"filename": "a.csv", "contentType": "text/csv", "text": "a,b\n"} | attachment
    return Refused("EmailMessage", {"attachments": [file]}, f"spec.attachments[0].{path}", message)


_SOURCES = [
    *(
        Refused(
            "EmailMessage",
            {"attachments": [{"filename": "a.pdf", "contentType": "application/pdf", **sources}]},
            "spec.attachments[0].text",
            _ONE_SOURCE,
        )
        for sources in (
            {},
            {"text": "", "configMapKeyRef": _KEY},
            {"configMapKeyRef": _KEY, "secretKeyRef": _KEY},
            {"text": "", "secretKeyRef": _KEY},
        )
    ),
    Refused(
        "EmailMessage",
        {"attachments": [_PICTURE | {"contentType": "application/pdf"}]},
        "spec.attachments[0].contentType",
        "contentType must be an image with disposition Inline",
    ),
    Refused(
        "EmailMessage",
        {"attachments": [_PICTURE | {"filename": "our logo.png"}]},
        "spec.attachments[0].filename",
        "filename must be letters, digits, '.', '_' and '-' with disposition Inline: the HTML shows it as cid:filename",
    ),
    *(
        Refused(
            "EmailMessage",
            {"body": ABSENT, "templateRef": use},
            "spec.templateRef.name",
            "name or builtin must be set, and not both",
        )
        for use in ({}, {"name": "invoice-run", "builtin": "Crash"})
    ),
]

_CONTENT = [
    *_SOURCES,
    *(
        _attached("filename", _FILENAME, filename=name)
        for name in (
            "../etc/passwd",
            "a\\b.csv",
            'a".csv',
            "a\r\nb.csv",
            ".csv",
            " a.csv",
            "a.csv ",
            "a:b",
            "a\u202ecsv.exe",
        )
    ),
    *(
        _attached("contentType", _CONTENT_TYPE, contentType=type_)
        for type_ in (
            "csv",
            "multipart/mixed",
            "message/rfc822",
            "image/svg+xml",
            "text/javascript",
            "application/x-msdownload",
            "application/x-sh",
            "text/csv; charset=latin1",
            "text/csv\r\nX: y",
            "text/",
        )
    ),
    Refused("EmailTemplate", {"text": ABSENT}, "spec.text", "text or html must be set"),
    Refused("EmailTemplate", {"subject": "a\r\nBcc: b@example.com"}, "spec.subject", f"subject {HIDDEN}"),
    *(
        Refused(
            "EmailTemplate",
            {"parameters": [{"name": name}]},
            "spec.parameters[0].name",
            "name must be a word that begins with a lower-case letter, without '-' and '.'",
        )
        for name in ("Team", "team-name", "a.b", "__class__")
    ),
    Refused(
        "EmailTemplate",
        {"parameters": [{"name": "team", "default": "telemetry", "maxLength": 3}]},
        "spec.parameters[0].default",
        "default may not be longer than maxLength",
    ),
]

REFUSED = [*_POLICY, *_BASELINE, *_ROUTES, *_SILENCE, *_CONTENT]

BOUNDS: list[tuple[str, JsonObject, str, str]] = [
    ("CollectorPolicy", {"selector": ABSENT}, "spec.selector", "must be set"),
    ("CollectorPolicy", {"selector": {"matchLabels": []}}, "spec.selector.matchLabels", "must be a map"),
    ("CollectorPolicy", {"routes": []}, "spec.routes", "must have at least 1 items"),
    (
        "CollectorPolicy",
        {"routes": [{"name": "a", "to": ["a@b.example"]}] * 2},
        "spec.routes[1]",
        "may not be a again",
    ),
    ("CollectorPolicy", {"crash": {"logTailLines": 201}}, "spec.crash.logTailLines", "must be at most 200"),
    (
        "CollectorPolicy",
        {"crash": {"kinds": ["Bored"]}},
        "spec.crash.kinds[0]",
        (
            "must be one of 'CrashLoopBackOff', 'OOMKilled', 'ContainerError', 'ContainerConfigError', 'ImagePullFailed', 'InitContainerFailed', "
            "'Evicted', 'NodeLost', 'Unschedulable', 'NotReady', 'RestartBurst', 'SubprocessCrashed', 'RolloutStuck'"
        ),
    ),
    ("CollectorPolicy", {"crash": {"restartThreshold": 1}}, "spec.crash.restartThreshold", "must be at least 2"),
    (
        "CollectorPolicy",
        {"crash": {"restartWindowSeconds": 86_401}},
        "spec.crash.restartWindowSeconds",
        "must be at most 86400",
    ),
    ("CollectorPolicy", {"crash": {"notReadySeconds": 29}}, "spec.crash.notReadySeconds", "must be at least 30"),
    (
        "CollectorPolicy",
        {"crash": {"podConditions": [{"type": "Healthy"}]}},
        "spec.crash.podConditions[0].status",
        "must be set",
    ),
    (
        "CollectorPolicy",
        {"severity": {"overrides": [{"kind": "Drift", "severity": "Info"}] * 2}},
        "spec.severity.overrides[1]",
        "may not be Drift again",
    ),
    (
        "CollectorPolicy",
        {"drift": {"checks": ["Weather"]}},
        "spec.drift.checks[0]",
        (
            "must be one of 'Image', 'ImageDigest', 'Command', 'Args', 'Env', 'ConfigMapContent', 'StaleConfig', 'ConfigHashAnnotation', 'Labels', "
            "'Resources', 'SecurityContext', 'ServiceAccount', 'Replicas', 'NodeCoverage', 'UnexpectedContainer'"
        ),
    ),
    ("CollectorPolicy", {"drift": {"pendingSeconds": 3601}}, "spec.drift.pendingSeconds", "must be at most 3600"),
    (
        "CollectorPolicy",
        {"baseline": {"captureRevision": "x" * 65}},
        "spec.baseline.captureRevision",
        "must have at most 64 characters",
    ),
    (
        "CollectorPolicy",
        {"grouping": {"maxIncidentsPerMessage": 0}},
        "spec.grouping.maxIncidentsPerMessage",
        "must be at least 1",
    ),
    ("CollectorPolicy", {"throttle": {"messagesPerHour": 0}}, "spec.throttle.messagesPerHour", "must be at least 1"),
    ("AlertSilence", {"matchers": []}, "spec.matchers", "must have at least 1 items"),
    (
        "AlertSilence",
        {"matchers": [{"field": "Pod", "values": []}]},
        "spec.matchers[0].values",
        "must have at least 1 items",
    ),
    (
        "AlertSilence",
        {"matchers": [{"field": "Label", "values": ["a"]}]},
        "spec.matchers[0].field",
        "must be one of 'Policy', 'Owner', 'Pod', 'Node', 'Kind', 'Severity'",
    ),
    ("AlertSilence", {"endTime": ABSENT}, "spec.endTime", "must be set"),
    ("AlertSilence", {"endTime": "tomorrow"}, "spec.endTime", "must be a time such as 2026-01-31T08:00:00Z"),
    ("AlertSilence", {"comment": ABSENT}, "spec.comment", "must be set"),
    ("AlertSilence", {"comment": ""}, "spec.comment", "must have at least 1 characters"),
    ("EmailTemplate", {"subject": ABSENT}, "spec.subject", "must be set"),
    (
        "EmailTemplate",
        {"parameters": [{"name": "team"}] * 2},
        "spec.parameters[1]",
        "may not be team again",
    ),
    (
        "EmailMessage",
        {"attachments": [{"filename": "a.csv", "contentType": "text/csv", "text": ""}] * 2},
        "spec.attachments[1]",
        "may not be a.csv again",
    ),
    (
        "EmailMessage",
        {"attachments": [{"filename": "a.csv", "contentType": "text/csv", "secretKeyRef": {"name": "a"}}]},
        "spec.attachments[0].secretKeyRef.key",
        "must be set",
    ),
    (
        "EmailMessage",
        {"attachments": [_PICTURE | {"disposition": "Hidden"}]},
        "spec.attachments[0].disposition",
        "must be one of 'Attachment', 'Inline'",
    ),
    ("CollectorIncident", {"fingerprint": ABSENT}, "spec.fingerprint", "must be set"),
]

TAKEN: list[tuple[str, JsonObject]] = [
    (
        "CollectorPolicy",
        {"crash": {"kinds": [], "logTailLines": 0}, "grouping": {"waitSeconds": 0, "repeatSeconds": 0}},
    ),
    (
        "CollectorPolicy",
        {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["otel", "vector"]}]}},
    ),
    ("CollectorPolicy", {"selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}),
    ("CollectorIncident", {"container": "collector"}),
    ("CollectorIncident", {"kind": "Drift"}),
    ("CollectorPolicy", {"baseline": {"mode": "Captured", "captureRevision": "v2"}, "drift": {"checks": []}}),
    ("CollectorPolicy", {"baseline": {"captureRevision": "kept for later"}}),
    ("CollectorPolicy", {"baseline": {"mode": "Pinned", "pinned": {"replicas": {"min": 0, "max": 0}}}}),
    (
        "CollectorPolicy",
        {
            "baseline": {
                "mode": "Pinned",
                "pinned": {
                    "containers": [
                        {
                            "name": "collector",
                            "images": ["registry.example.com:5000/otel@" + _DIGEST],
                            "imageDigests": [_DIGEST],
                            "argsHash": "sha256:0123456789abcdef0123456789abcdef",
                            "envHash": "0123456789abcdef",
                        }
                    ],
                    "configMaps": [{"name": "agent", "dataHash": _DIGEST}],
                },
            },
            "drift": {"labelKeys": ["app.kubernetes.io/version"], "replicas": {"max": 3}, "pendingSeconds": 0},
        },
    ),
    (
        "CollectorPolicy",
        {
            "crash": {
                "podConditions": [{"type": "example.com/Subprocesses", "status": "False"}],
                "restartThreshold": 2,
            },
            "severity": {
                "overrides": [{"kind": "Drift", "severity": "Info"}, {"kind": "OOMKilled", "severity": "Critical"}]
            },
            "grouping": {"maxIncidentsPerMessage": 1},
            "throttle": {"messagesPerHour": 100_000},
        },
    ),
    (
        "CollectorPolicy",
        {
            "routes": [
                {
                    "name": "map",
                    "toFrom": [{"configMapKeyRef": {"name": "people", "key": "to"}}],
                    "minSeverity": "Critical",
                },
                {"name": "secret", "toFrom": [{"secretKeyRef": {"name": "people", "key": "to"}}], "kinds": ["Drift"]},
                {"name": "worded", "to": ["ops@example.com"], "templateRef": {"name": "short"}},
            ]
        },
    ),
    *(
        (
            "CollectorPolicy",
            {"links": {"dashboardURLTemplate": url, "runbookURL": "HTTPS://wiki.example.com:8443/a?b=c#d"}},
        )
        for url in (
            "https://grafana.example.com",
            "http://[2001:db8::1]:3000/d/x?var-ns={namespace}&var-pod={pod}&o={owner}&k={kind}#{incident}",
            "https://{cluster}".replace("{cluster}", "grafana") + "/{cluster}{cluster}",
        )
    ),
    ("AlertSilence", {"startTime": "2026-11-20T09:00:00Z", "createdBy": "ada@example.com"}),
    ("AlertSilence", {"startTime": "2026-11-20T10:30:00+01:00"}),
    (
        "AlertSilence",
        {
            "matchers": [
                {"field": "Pod", "operator": "NotIn", "values": ["gateway-0", "agent-*"]},
                {"field": "Kind", "values": ["OOMKilled", "Drift"]},
                {"field": "Severity", "operator": "NotIn", "values": ["Critical"]},
            ]
        },
    ),
    ("EmailTemplate", {"text": ABSENT, "html": "<p>{{ incident.owner }}</p>"}),
    (
        "EmailTemplate",
        {
            "subject": "{% if incident.severity == 'Critical' %}!{% endif %} {{ incident.owner }}",
            "parameters": [{"name": "team", "default": "", "maxLength": 64}, {"name": "runbookUrl"}],
        },
    ),
    (
        "EmailMessage",
        {
            "attachments": [
                {"filename": "incidents.csv", "contentType": "text/csv", "text": "a,b\n"},
                {"filename": "Bericht vom 3. März.json", "contentType": "application/vnd.api+json", "text": ""},
                {"filename": "x", "contentType": "text/plain", "text": "x" * 10_000},
                {"filename": "october.pdf", "contentType": "Application/PDF", "configMapKeyRef": _KEY},
                {"filename": "ca.pem", "contentType": "application/x-pem-file", "secretKeyRef": _KEY},
                _PICTURE,
            ]
        },
    ),
    (
        "EmailMessage",
        {
            "body": ABSENT,
            "subject": ABSENT,
            "templateRef": {"name": "invoice-run"},
            "parameters": [{"name": "failed", "value": "3"}],
        },
    ),
]
