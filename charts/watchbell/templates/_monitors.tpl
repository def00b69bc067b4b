{{/* Whether a monitor is to be made; "true" or nothing. Takes a dict of `root`, `kind` and `value`, the key below `metrics`. */}}
{{- define "watchbell.isMonitored" -}}
{{- $monitor := index .root.Values.metrics .value -}}
{{- if $monitor.enabled -}}
{{- if or (eq $monitor.renderMode "alwaysRender") (.root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind)) -}}
true
{{- else if eq $monitor.renderMode "failIfMissing" -}}
{{- fail (printf "metrics.%s.enabled is true, but the cluster does not know the kind %s of monitoring.coreos.com/v1: install the Prometheus operator, or set metrics.%s.renderMode=skipIfMissing" .value .kind .value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "watchbell.monitorMetadata" }}
metadata:
  name: {{ include "watchbell.fullname" .root }}
  namespace: {{ include "watchbell.namespace" .root }}
  labels:
    {{- include "watchbell.labels" .root | nindent 4 }}
    {{- with .monitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .monitor.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "watchbell.scrape" -}}
- port: metrics
  path: /metrics
  honorLabels: {{ .honorLabels }}
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
