{{/*
Secrets in use, as JSON: the file's name -> {secret, key}. The token of the demo counts as one.
*/}}
{{- define "insights-exporter.secretFiles" -}}
{{- $own := include "insights-exporter.fullname" . }}
{{- $files := dict }}
{{- range $name, $file := include "insights-exporter.secretNames" . | fromJson }}
{{- $secret := index $.Values.secrets $name }}
{{- if $secret.existingSecret }}
{{- $_ := set $files $file (dict "secret" $secret.existingSecret "key" $secret.key) }}
{{- else if $secret.value }}
{{- $_ := set $files $file (dict "secret" $own "key" $secret.key) }}
{{- end }}
{{- end }}
{{- if .Values.demo.enabled }}
{{- $_ := set $files "coder-token" (dict "secret" (printf "%s-demo" $own) "key" "coder-token") }}
{{- end }}
{{- toJson $files }}
{{- end }}

{{/* Keys of .Values.secrets and the names of their files. */}}
{{- define "insights-exporter.secretNames" -}}
{{- dict
  "coderToken" "coder-token"
  "databaseDsn" "database-dsn"
  "databasePassword" "database-password"
  "hashKey" "hash-key"
  "bearerToken" "bearer-token"
  "otlpHeaders" "otlp-headers"
  "webConfig" "web.yaml" | toJson }}
{{- end }}

{{/* Settings that name the file of a secret: the file's name -> [section, key]. */}}
{{- define "insights-exporter.secretSettings" -}}
{{- dict
  "coder-token" (list "coder" "token_file")
  "database-dsn" (list "agent_stats" "dsn_file")
  "database-password" (list "agent_stats" "password_file")
  "hash-key" (list "privacy" "hash_key_file")
  "bearer-token" (list "server" "bearer_token_file")
  "otlp-headers" (list "otlp" "headers_file")
  "web.yaml" (list "server" "web_config_file") | toJson }}
{{- end }}

{{/* The chart writes a web configuration file of its own: TLS without secrets.webConfig. */}}
{{- define "insights-exporter.ownWebConfig" -}}
{{- if and .Values.tls.enabled .Values.tls.existingSecret (not .Values.secrets.webConfig.existingSecret)
  (not .Values.secrets.webConfig.value) (not (dig "server" "web_config_file" "" .Values.config)) }}true{{ end }}
{{- end }}
