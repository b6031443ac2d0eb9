{{/* Fields that both CronJobs share. Arguments: root, job (its values). */}}
{{- define "insights-exporter.cronJobSpec" -}}
schedule: {{ .job.schedule | quote }}
{{- with .job.timeZone }}
{{- if semverCompare ">=1.27.0-0" $.root.Capabilities.KubeVersion.Version }}
timeZone: {{ . }}
{{- end }}
{{- end }}
concurrencyPolicy: Forbid
startingDeadlineSeconds: 3600
successfulJobsHistoryLimit: {{ .job.successfulJobsHistoryLimit }}
failedJobsHistoryLimit: {{ .job.failedJobsHistoryLimit }}
{{- end }}

{{/* Labels of a job's pods. They differ from the exporter's, so that no Service selects them. */}}
{{- define "insights-exporter.jobLabels" -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.extraLabels) (dict
  "app.kubernetes.io/name" (include "insights-exporter.name" .root)
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" .component)) }}
{{- end }}

{{/* Container of a job. Arguments: root, name, args, resources, mounts. */}}
{{- define "insights-exporter.jobContainer" -}}
name: {{ .name }}
image: {{ include "insights-exporter.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
args:
  {{- toYaml .args | nindent 2 }}
{{- with .env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- .mounts | nindent 2 }}
{{- end }}
