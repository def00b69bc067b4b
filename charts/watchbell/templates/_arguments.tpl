{{/* The command line. What other values decide comes first, then `config`, each key as the flag of that name. */}}
{{- define "watchbell.arguments" -}}
- run
- {{ printf "--cluster-resource-namespace=%s" (include "watchbell.home" .) | quote }}
{{- with .Values.watch.namespaces }}
- {{ printf "--watch-namespaces=%s" (join "," .) | quote }}
{{- end }}
- {{ printf "--secret-access=%s" .Values.rbac.secretAccess | quote }}
- {{ printf "--leader-elect=%t" .Values.leaderElection.enabled | quote }}
{{- if .Values.leaderElection.enabled }}
- {{ printf "--lease-seconds=%d" (int .Values.leaderElection.leaseSeconds) | quote }}
{{- end }}
- {{ printf "--metrics-bind-address=:%d" (int .Values.metrics.port) | quote }}
- {{ printf "--health-bind-address=:%d" (int .Values.health.port) | quote }}
{{- range $key, $value := omit .Values.config "clusterResourceNamespace" }}
{{- if not (kindIs "invalid" $value) }}
- {{ printf "--%s=%s" (kebabcase $key) (include "watchbell.flagValue" $value) | quote }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Numbers come as floats, which would print large ones as 1e+06. */}}
{{- define "watchbell.flagValue" -}}
{{- if kindIs "slice" . -}}
{{- $parts := list -}}
{{- range . -}}{{- $parts = append $parts (include "watchbell.flagValue" .) -}}{{- end -}}
{{- join "," $parts -}}
{{- else if kindIs "float64" . -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* The ports that connectors may use, as the flag has them. */}}
{{- define "watchbell.smtpPorts" -}}
{{- $ports := default (list 25 465 587 2465 2525 2587) .Values.config.egressAllowPort -}}
{{- range $ports }}
{{- $text := include "watchbell.flagValue" . }}
{{- $ends := splitList "-" $text }}
- protocol: TCP
  port: {{ first $ends | int }}
{{- if gt (len $ends) 1 }}
  endPort: {{ last $ends | int }}
{{- end }}
{{- end }}
{{- end -}}
