{{/* Values that contradict each other end in one sentence, before anything is in the cluster. What a single value must be stands in the schema. */}}
{{- define "watchbell.checks" -}}
{{- $v := .Values -}}
{{- if and (gt (int $v.replicas) 1) (not $v.leaderElection.enabled) -}}
{{- fail (printf "replicas is %d, but leaderElection.enabled is false: without a leader each of them would send every mail; set leaderElection.enabled=true or replicas=1" (int $v.replicas)) -}}
{{- end -}}
{{- if and $v.rbac.secretNamespaces (ne $v.rbac.secretAccess "Namespaced") -}}
{{- fail (printf "rbac.secretNamespaces is given, but rbac.secretAccess is %s, which reads Secrets in every namespace that is served: set rbac.secretAccess=Namespaced or leave rbac.secretNamespaces out" $v.rbac.secretAccess) -}}
{{- end -}}
{{- range $namespace := $v.rbac.secretNamespaces -}}
{{- if and $v.watch.namespaces (not (has $namespace (append $v.watch.namespaces (include "watchbell.home" $)))) -}}
{{- fail (printf "rbac.secretNamespaces names %s, but watch.namespaces does not: Secrets are only read in namespaces that are served" $namespace) -}}
{{- end -}}
{{- end -}}
{{- if eq (int $v.metrics.port) (int $v.health.port) -}}
{{- fail (printf "metrics.port and health.port are both %d: give each its own" (int $v.metrics.port)) -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled $v.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled are both true: every metric would be scraped twice; choose one" -}}
{{- end -}}
{{- if and $v.metrics.serviceMonitor.enabled (not $v.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled: a ServiceMonitor finds a Service; switch that on, or use metrics.podMonitor" -}}
{{- end -}}
{{- if and $v.networkPolicy.egress $v.networkPolicy.extraEgress -}}
{{- fail "networkPolicy.egress replaces the chart's rules, so networkPolicy.extraEgress would add to nothing: put everything into networkPolicy.egress" -}}
{{- end -}}
{{- if and $v.helmTest.smtpTest.enabled $v.watch.namespaces (not (has (include "watchbell.namespace" .) $v.watch.namespaces)) -}}
{{- fail (printf "helmTest.smtpTest is made in namespace %s, which watch.namespaces does not name: nobody would answer it" (include "watchbell.namespace" .)) -}}
{{- end -}}
{{- if and $v.admissionPolicies.secureTransport $v.config.allowInsecureTls -}}
{{- fail "admissionPolicies.secureTransport refuses what config.allowInsecureTls allows: choose one" -}}
{{- end -}}
{{- end -}}
