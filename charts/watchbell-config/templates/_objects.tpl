{{- define "watchbell-config.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/part-of: watchbell
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with merge (dict) .Values.commonLabels (default dict .Values.global.commonLabels) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One object. Takes a dict of `root`, `kind`, `name` and `entry` (spec, labels, annotations, namespace). */}}
{{- define "watchbell-config.object" -}}
---
apiVersion: watchbell.dev/v1alpha1
kind: {{ .kind }}
metadata:
  name: {{ .name | quote }}
  {{- if ne .kind "ClusterSmtpConnector" }}
  namespace: {{ default .root.Release.Namespace .entry.namespace }}
  {{- end }}
  labels:
    {{- include "watchbell-config.labels" .root | nindent 4 }}
    {{- with .entry.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .entry.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- toYaml .entry.spec | nindent 2 }}
{{- end -}}
