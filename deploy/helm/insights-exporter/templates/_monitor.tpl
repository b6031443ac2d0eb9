{{/* Endpoint of a ServiceMonitor or PodMonitor. Arguments: root, monitor. */}}
{{- define "insights-exporter.endpoint" -}}
{{- $root := .root }}
{{- $monitor := .monitor -}}
port: http
path: /metrics
scheme: {{ ternary "https" "http" $root.Values.tls.enabled }}
interval: {{ $monitor.interval }}
scrapeTimeout: {{ $monitor.scrapeTimeout }}
honorLabels: {{ $monitor.honorLabels }}
{{- with $monitor.proxyUrl }}
proxyUrl: {{ . }}
{{- end }}
{{- with $monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $bearer := get (include "insights-exporter.secretFiles" $root | fromJson) "bearer-token" }}
{{- if $monitor.authorization }}
authorization:
  {{- toYaml $monitor.authorization | nindent 2 }}
{{- else if and $bearer (not $monitor.basicAuth) }}
authorization:
  type: Bearer
  credentials:
    name: {{ $bearer.secret }}
    key: {{ $bearer.key }}
{{- end }}
{{- if $monitor.tlsConfig }}
tlsConfig:
  {{- toYaml $monitor.tlsConfig | nindent 2 }}
{{- else if and $root.Values.tls.enabled $root.Values.tls.existingSecret $root.Values.tls.ca }}
tlsConfig:
  serverName: {{ include "insights-exporter.fullname" $root }}.{{ include "insights-exporter.namespace" $root }}.svc
  ca:
    secret:
      name: {{ $root.Values.tls.existingSecret }}
      key: ca.crt
{{- end }}
relabelings:
  - targetLabel: job
    replacement: {{ $root.Values.prometheusOperator.jobName }}
  {{- with $monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with $monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
