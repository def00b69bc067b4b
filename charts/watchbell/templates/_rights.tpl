{{/* Rules from files/rights.yaml. Takes a dict of `root` and `scopes`; writes a list of rules. */}}
{{- define "watchbell.rules" -}}
{{- $root := .root -}}
{{- $scopes := .scopes -}}
{{- range (fromYaml ($root.Files.Get "files/rights.yaml")).rights }}
{{- $wanted := true }}
{{- with .when }}
{{- $path := splitList "." . }}
{{- $wanted = index $root.Values (first $path) (last $path) }}
{{- end }}
{{- if and (has .scope $scopes) $wanted }}
- apiGroups: {{ toJson .groups }}
  resources: {{ toJson .resources }}
  {{- with .names }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: {{ toJson .verbs }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Rules for Secrets in a namespace whose Secrets may be read. */}}
{{- define "watchbell.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: {{ ternary (list "get" "list" "watch") (list "get") (eq .Values.rbac.secretAccess "Watch") | toJson }}
{{- if .Values.rbac.accountCodes }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
{{- end }}
{{- end -}}

{{/* A role with its binding. Takes a dict of `root`, `name`, `namespace` (empty for the cluster) and `rules` (text). */}}
{{- define "watchbell.roleAndBinding" -}}
{{- $kind := ternary "Role" "ClusterRole" (not (empty .namespace)) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "watchbell.labels" .root | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
{{ include "watchbell.binding" (dict "root" .root "name" .name "namespace" .namespace "role" .name "kind" $kind) }}
{{- end -}}

{{/* Binds the operator. Takes a dict of `root`, `name`, `namespace`, `role` and `kind` (of the role). */}}
{{- define "watchbell.binding" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (not (empty .namespace)) }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "watchbell.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .role }}
subjects:
  - kind: ServiceAccount
    name: {{ include "watchbell.serviceAccount" .root }}
    namespace: {{ include "watchbell.namespace" .root }}
{{- end -}}
