"""The CRDs as templates of the chart: under `templates/`, so that `helm upgrade` upgrades them, and kept when the chart is uninstalled."""

from typing import Any

import yaml

_HEAD = """{{{{- /* Made from crds/ by `make generate`. Do not edit. */}}}}
{{{{- if .Values.crds.enabled }}}}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {name}
  labels:
    {{{{- include "watchbell.labels" . | nindent 4 }}}}
  annotations:
    {{{{- if .Values.crds.keep }}}}
    helm.sh/resource-policy: keep
    {{{{- end }}}}
    {{{{- with .Values.crds.annotations }}}}
    {{{{- toYaml . | nindent 4 }}}}
    {{{{- end }}}}
"""


def crd_template(crd: dict[str, Any]) -> str:
    """One CRD as a template. Braces in its texts stay braces."""
    annotations = yaml.safe_dump(crd["metadata"]["annotations"], width=150)
    spec = yaml.safe_dump({"spec": crd["spec"]}, width=150, allow_unicode=False)
    own = "".join(f"    {line}\n" for line in annotations.splitlines())
    return _HEAD.format(name=crd["metadata"]["name"]) + _escaped(own + spec) + "{{- end }}\n"


def _escaped(text: str) -> str:
    return text.replace("{{", '{{ "{{" }}')
