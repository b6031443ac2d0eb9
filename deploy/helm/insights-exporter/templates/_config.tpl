{{/*
exporter.yaml: .Values.config, with what the chart knows. A key that the user sets is never replaced, except by the
demo.
*/}}
{{- define "insights-exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $added := dict "server" (dict "host" "0.0.0.0") "coder" dict "agent_stats" dict "privacy" dict "otlp" dict }}
{{- $settings := include "insights-exporter.secretSettings" . | fromJson }}
{{- range $file, $_ := include "insights-exporter.secretFiles" . | fromJson }}
{{- $place := index $settings $file }}
{{- $_ := set (index $added (index $place 0)) (index $place 1) (printf "/etc/insights-exporter/secrets/%s" $file) }}
{{- end }}
{{- if include "insights-exporter.ownWebConfig" . }}
{{- $_ := set $added.server "web_config_file" "/etc/insights-exporter/web.yaml" }}
{{- end }}
{{- if .Values.coderCa.existingConfigMap }}
{{- $_ := set $added.coder "ca_file" "/etc/insights-exporter/coder-ca/ca.crt" }}
{{- end }}
{{- if and (or .Values.persistence.enabled .Values.persistence.existingClaim)
  (ne (dig "agent_stats" "source" "none" $config) "none") }}
{{- $_ := set $added.agent_stats "state_file" "/var/lib/insights-exporter/agent-stats.json" }}
{{- end }}
{{- $config = merge $config $added }}
{{- if .Values.demo.enabled }}
{{- $demo := printf "%s-demo" (include "insights-exporter.fullname" .) }}
{{- $config = mergeOverwrite $config (dict
  "coder" (dict "url" (printf "http://%s:3000" $demo))
  "agent_stats" (dict "source" "coderd_metrics" "metrics_url" (printf "http://%s:2112/metrics" $demo))) }}
{{- end }}
{{- range $section, $keys := $config }}
{{- if not $keys }}
{{- $_ := unset $config $section }}
{{- end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Stop with a message that names the key if the values contradict each other. */}}
{{- define "insights-exporter.validate" -}}
{{- $files := include "insights-exporter.secretFiles" . | fromJson }}
{{- $coder := default dict .Values.config.coder }}
{{- if not .Values.demo.enabled }}
{{- if not $coder.url }}
{{- fail "config.coder.url is required: set the URL of the Coder deployment, for example https://coder.example.com, or set demo.enabled=true." }}
{{- end }}
{{- if not (or (hasKey $files "coder-token") $coder.token_file $coder.token_env) }}
{{- fail "secrets.coderToken is required: set secrets.coderToken.existingSecret to a Secret with the token of Coder." }}
{{- end }}
{{- end }}
{{- range $name, $secret := .Values.secrets }}
{{- if and $secret.existingSecret $secret.value }}
{{- fail (printf "secrets.%s: set either existingSecret or value, not both." $name) }}
{{- end }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "podMonitor.enabled: serviceMonitor.enabled is set as well; both would scrape every pod twice." }}
{{- end }}
{{- if and .Values.persistence.existingClaim (gt (int .Values.replicaCount) 1) }}
{{- fail "persistence.existingClaim: replicas cannot share one state file; set replicaCount=1, or persistence.enabled=true without existingClaim." }}
{{- end }}
{{- if and .Values.tls.enabled (not (or .Values.tls.existingSecret (hasKey $files "web.yaml") (dig "server" "web_config_file" "" .Values.config))) }}
{{- fail "tls.enabled: set tls.existingSecret to a Secret of type kubernetes.io/tls, or secrets.webConfig to a web configuration file." }}
{{- end }}
{{- if eq (int (include "insights-exporter.port" .)) 0 }}
{{- fail "config.server.port: a pod needs a fixed port from 1 to 65535, not 0." }}
{{- end }}
{{- if .Values.pushOnly }}
{{- if not (dig "otlp" "enabled" false .Values.config) }}
{{- fail "pushOnly: set config.otlp.enabled=true and config.otlp.endpoint; otherwise nothing leaves the exporter." }}
{{- end }}
{{- if or .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "pushOnly: serviceMonitor.enabled and podMonitor.enabled need the port that pushOnly does not open." }}
{{- end }}
{{- end }}
{{- $source := dig "agent_stats" "source" "none" .Values.config }}
{{- if and (eq $source "postgres") (not .Values.demo.enabled) (not (or (hasKey $files "database-dsn") (dig "agent_stats" "dsn_file" "" .Values.config) (dig "agent_stats" "dsn_env" "" .Values.config))) }}
{{- fail "secrets.databaseDsn is required: config.agent_stats.source is postgres; set secrets.databaseDsn.existingSecret." }}
{{- end }}
{{- if and (eq (dig "privacy" "users" "named" .Values.config) "hashed") (not (or (hasKey $files "hash-key") (dig "privacy" "hash_key_file" "" .Values.config) (dig "privacy" "hash_key_env" "" .Values.config))) }}
{{- fail "secrets.hashKey is required: config.privacy.users is hashed; set secrets.hashKey.existingSecret." }}
{{- end }}
{{- if and .Values.tokenRotation.enabled (or .Values.demo.enabled (not (hasKey $files "coder-token"))) }}
{{- fail "tokenRotation.enabled: the token must be in a Secret; set secrets.coderToken.existingSecret." }}
{{- end }}
{{- $known := include "insights-exporter.alertNames" $ | fromJsonArray }}
{{- range $name, $_ := $.Values.prometheusRule.disabled }}
{{- if not (has $name $known) }}
{{- fail (printf "prometheusRule.disabled.%s: no alert has this name; docs/alerts.md lists them." $name) }}
{{- end }}
{{- end }}
{{- range $name, $_ := $.Values.prometheusRule.severities }}
{{- if not (has $name $known) }}
{{- fail (printf "prometheusRule.severities.%s: no alert has this name; docs/alerts.md lists them." $name) }}
{{- end }}
{{- end }}
{{- range $name, $_ := .Values.dashboards.disabled }}
{{- if not ($.Files.Get (printf "files/dashboards/%s.json" $name)) }}
{{- fail (printf "dashboards.disabled.%s: no dashboard has this name." $name) }}
{{- end }}
{{- end }}
{{- end }}
