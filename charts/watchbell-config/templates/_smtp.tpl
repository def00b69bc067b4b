{{/* `smtp` in the words of other charts, as the spec of a connector. */}}
{{- define "watchbell-config.smtpSpec" -}}
{{- $smtp := .Values.smtp -}}
{{- $mode := include "watchbell-config.tlsMode" $smtp -}}
host: {{ $smtp.host | quote }}
{{- with $smtp.port }}
port: {{ int . }}
{{- end }}
{{- if ne $mode "StartTLS" }}
tls:
  mode: {{ $mode }}
{{- end }}
{{- with $smtp.existingSecret }}
auth:
  secretRef:
    name: {{ . | quote }}
  {{- if ne $smtp.usernameKey "username" }}
  usernameKey: {{ $smtp.usernameKey | quote }}
  {{- end }}
  {{- if ne $smtp.passwordKey "password" }}
  passwordKey: {{ $smtp.passwordKey | quote }}
  {{- end }}
{{- end }}
from:
  address: {{ $smtp.from | quote }}
  {{- with $smtp.fromName }}
  name: {{ . | quote }}
  {{- end }}
{{- if $smtp.cluster }}
allowedNamespaces:
  {{- toYaml $smtp.allowedNamespaces | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "watchbell-config.tlsMode" -}}
{{- $isStartTls := ternary (not .useSsl) .useStartTls (kindIs "invalid" .useStartTls) -}}
{{- if .useSsl -}}Implicit{{- else if $isStartTls -}}StartTLS{{- else -}}None{{- end -}}
{{- end -}}

{{/* Values that contradict each other end in one sentence. */}}
{{- define "watchbell-config.checks" -}}
{{- $smtp := .Values.smtp -}}
{{- $mode := include "watchbell-config.tlsMode" $smtp -}}
{{- if $smtp.host -}}
{{- if not $smtp.from -}}
{{- fail "smtp.host is given, but smtp.from is not: every mail needs an address in From" -}}
{{- end -}}
{{- if and $smtp.useSsl $smtp.useStartTls -}}
{{- fail "smtp.useSsl and smtp.useStartTls are both true: TLS begins with the first byte or with STARTTLS; choose one" -}}
{{- end -}}
{{- if and (eq $mode "Implicit") (has (int $smtp.port) (list 25 587 2587)) -}}
{{- fail (printf "smtp.useSsl is true, but port %d speaks STARTTLS: use port 465, or set smtp.useSsl=false" (int $smtp.port)) -}}
{{- end -}}
{{- if and (eq $mode "StartTLS") (has (int $smtp.port) (list 465 2465)) -}}
{{- fail (printf "port %d speaks TLS from the first byte: set smtp.useSsl=true, or use port 587" (int $smtp.port)) -}}
{{- end -}}
{{- if and (eq $mode "None") $smtp.existingSecret -}}
{{- fail "smtp.useSsl and smtp.useStartTls are both false, so the password in smtp.existingSecret would go over the wire in clear text: use TLS, or leave smtp.existingSecret out" -}}
{{- end -}}
{{- if and $smtp.cluster (not $smtp.allowedNamespaces) -}}
{{- fail "smtp.cluster is true, but smtp.allowedNamespaces does not say who may use it: for example smtp.allowedNamespaces.from=All" -}}
{{- end -}}
{{- if and (not $smtp.cluster) $smtp.allowedNamespaces -}}
{{- fail "smtp.allowedNamespaces is for a ClusterSmtpConnector: set smtp.cluster=true, or leave it out" -}}
{{- end -}}
{{- if hasKey (ternary .Values.clusterConnectors .Values.connectors $smtp.cluster) $smtp.name -}}
{{- fail (printf "smtp and %s both make the connector %s: give one of them another name" (ternary "clusterConnectors" "connectors" $smtp.cluster) $smtp.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
