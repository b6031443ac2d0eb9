{{/* Name of the chart. */}}
{{- define "insights-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of the resources: the release's name, with the chart's unless that is part of it. */}}
{{- define "insights-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "insights-exporter.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "insights-exporter.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Labels that select the exporter's pods. They must never change. */}}
{{- define "insights-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "insights-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: exporter
{{- end }}

{{/*
Metadata of a resource. Arguments: root, suffix, component, namespace, labels, annotations.
*/}}
{{- define "insights-exporter.metadata" -}}
{{- $root := .root -}}
name: {{ include "insights-exporter.fullname" $root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ default (include "insights-exporter.namespace" $root) .namespace }}
labels:
{{- $labels := dict
  "helm.sh/chart" (include "insights-exporter.chart" $root)
  "app.kubernetes.io/name" (include "insights-exporter.name" $root)
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/component" (default "exporter" .component)
  "app.kubernetes.io/part-of" "insights-exporter"
  "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- with $root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/version" . }}
{{- end }}
{{- toYaml (mergeOverwrite (deepCopy $root.Values.extraLabels) $labels (deepCopy (default dict .labels))) | nindent 2 }}
{{- with mergeOverwrite (deepCopy $root.Values.extraAnnotations) (deepCopy (default dict .annotations)) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels for the Prometheus operator's selectors. Arguments: root, labels. */}}
{{- define "insights-exporter.operatorLabels" -}}
{{- $labels := dict }}
{{- with .root.Values.prometheusOperator.release }}
{{- $_ := set $labels "release" . }}
{{- end }}
{{- toYaml (mergeOverwrite $labels (deepCopy .labels)) }}
{{- end }}

{{- define "insights-exporter.image" -}}
{{- with default .Values.image.registry .Values.global.imageRegistry }}{{ . }}/{{ end }}
{{- .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}
{{- else }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "insights-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "insights-exporter.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Port of the exporter within the pod. */}}
{{- define "insights-exporter.port" -}}
{{- dig "server" "port" 9766 .Values.config | int }}
{{- end }}

{{/* Kind of the workload: a StatefulSet if each replica has its own volume. */}}
{{- define "insights-exporter.kind" -}}
{{- if and .Values.persistence.enabled (not .Values.persistence.existingClaim) }}StatefulSet{{ else }}Deployment{{ end }}
{{- end }}

{{- define "insights-exporter.imagePullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
