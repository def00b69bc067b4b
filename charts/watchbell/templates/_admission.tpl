{{/* A ValidatingAdmissionPolicy and its binding. Takes a dict of `root`, `name`, `on` (group, version, resources), `expression`, `message` and perhaps
     `condition`, without which every object of these resources is judged. It fails closed: a policy that cannot be judged refuses. */}}
{{- define "watchbell.admission" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ .name }}
  labels:
    {{- include "watchbell.labels" .root | nindent 4 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [{{ .on.group | quote }}]
        apiVersions: [{{ .on.version }}]
        operations: [CREATE, UPDATE]
        resources: {{ toJson .on.resources }}
        scope: "*"
  {{- with .condition }}
  matchConditions:
    - name: is-for-watchbell
      expression: {{ . | quote }}
  {{- end }}
  validations:
    - expression: {{ .expression | quote }}
      message: {{ .message | quote }}
      reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "watchbell.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  {{- with .root.Values.admissionPolicies.namespaceSelector }}
  matchResources:
    namespaceSelector:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end -}}
