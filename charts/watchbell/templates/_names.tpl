{{/* Names and labels. Nothing here is random or looked up in the cluster: the same values give the same objects. */}}

{{- define "watchbell.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 49 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 49 characters, so that every suffix of this chart stays within 63. */}}
{{- define "watchbell.fullname" -}}
{{- $name := include "watchbell.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 49 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 49 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 49 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "watchbell.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* The operator's own namespace, for the program: Secrets of ClusterSmtpConnectors, journal, Lease. */}}
{{- define "watchbell.home" -}}
{{- default (include "watchbell.namespace" .) .Values.config.clusterResourceNamespace -}}
{{- end -}}

{{- define "watchbell.selectorLabels" -}}
app.kubernetes.io/name: {{ include "watchbell.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "watchbell.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "watchbell.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: watchbell
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with merge (dict) .Values.commonLabels (default dict .Values.global.commonLabels) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Made or only named. */}}
{{- define "watchbell.serviceAccount" -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}

{{- define "watchbell.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- $name := ternary .Values.image.repository (printf "%s/%s" $registry .Values.image.repository) (empty $registry) -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "watchbell.pullSecrets" -}}
{{- with concat .Values.imagePullSecrets (default list .Values.global.imagePullSecrets) }}
imagePullSecrets:
{{- range . }}
  - name: {{ ternary . (get . "name") (kindIs "string" .) }}
{{- end }}
{{- end }}
{{- end -}}
