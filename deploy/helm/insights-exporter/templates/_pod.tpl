{{/* Metadata and spec of the exporter's pods. */}}
{{- define "insights-exporter.podTemplate" -}}
metadata:
  labels:
    {{- $labels := mergeOverwrite (deepCopy .Values.extraLabels) (deepCopy .Values.podLabels)
      (include "insights-exporter.selectorLabels" . | fromYaml) }}
    {{- with .Chart.AppVersion }}
    {{- $_ := set $labels "app.kubernetes.io/version" . }}
    {{- end }}
    {{- toYaml $labels | nindent 4 }}
  annotations:
    kubectl.kubernetes.io/default-container: insights-exporter
    checksum/config: {{ include "insights-exporter.config" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "insights-exporter.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- include "insights-exporter.imagePullSecrets" . | nindent 2 }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- include "insights-exporter.scheduling" . | nindent 2 }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- include "insights-exporter.container" . | nindent 4 }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "insights-exporter.volumes" . | nindent 4 }}
    {{- include "insights-exporter.stateVolume" . | nindent 4 }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Where the exporter's pods run. */}}
{{- define "insights-exporter.scheduling" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "insights-exporter.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $selector := dict "labelSelector" (dict "matchLabels" (include "insights-exporter.selectorLabels" $ | fromYaml)) }}
  - {{- toYaml (merge (deepCopy .) $selector (dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway")) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "insights-exporter.affinity" -}}
{{- if .Values.affinity }}
{{- toYaml .Values.affinity }}
{{- else if and .Values.podAntiAffinity (gt (int .Values.replicaCount) 1) }}
{{- $term := dict "topologyKey" .Values.podAntiAffinityTopologyKey
  "labelSelector" (dict "matchLabels" (include "insights-exporter.selectorLabels" . | fromYaml)) }}
{{- if eq .Values.podAntiAffinity "hard" }}
{{- toYaml (dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term))) }}
{{- else }}
{{- toYaml (dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution"
  (list (dict "weight" 100 "podAffinityTerm" $term)))) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "insights-exporter.container" -}}
- name: insights-exporter
  image: {{ include "insights-exporter.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - run
    - --config
    - /etc/insights-exporter/exporter.yaml
    {{- if .Values.pushOnly }}
    - --no-serve
    {{- end }}
    {{- with .Values.extraArgs }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .Values.pushOnly }}
  ports:
    - name: http
      containerPort: {{ include "insights-exporter.port" . }}
      protocol: TCP
  {{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
  {{- with index $.Values $probe }}
  {{ $probe }}:
    {{- $settings := deepCopy . }}
    {{- if and $settings.httpGet $.Values.tls.enabled }}
    {{- $_ := set $settings.httpGet "scheme" "HTTPS" }}
    {{- end }}
    {{- toYaml $settings | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with .Values.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    {{- include "insights-exporter.volumeMounts" . | nindent 4 }}
    {{- if or .Values.persistence.enabled .Values.persistence.existingClaim }}
    - name: state
      mountPath: /var/lib/insights-exporter
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Mounts that every command needs: configuration, secrets, certificates, and a writable /tmp. */}}
{{- define "insights-exporter.volumeMounts" -}}
- name: config
  mountPath: /etc/insights-exporter/exporter.yaml
  subPath: exporter.yaml
  readOnly: true
{{- if include "insights-exporter.ownWebConfig" . }}
- name: config
  mountPath: /etc/insights-exporter/web.yaml
  subPath: web.yaml
  readOnly: true
{{- end }}
{{- if ne (include "insights-exporter.secretFiles" .) "{}" }}
- name: secrets
  mountPath: /etc/insights-exporter/secrets
  readOnly: true
{{- end }}
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/insights-exporter/tls
  readOnly: true
{{- end }}
{{- if .Values.coderCa.existingConfigMap }}
- name: coder-ca
  mountPath: /etc/insights-exporter/coder-ca
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "insights-exporter.volumes" -}}
- name: config
  configMap:
    name: {{ include "insights-exporter.fullname" . }}
{{- with include "insights-exporter.secretFiles" . | fromJson }}
- name: secrets
  projected:
    # Readable by the group alone, which is the fsGroup of the pod.
    defaultMode: 0440
    sources:
      {{- range $file, $source := . }}
      - secret:
          name: {{ $source.secret }}
          items:
            - key: {{ $source.key }}
              path: {{ $file }}
      {{- end }}
{{- end }}
{{- with .Values.tls.existingSecret }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.coderCa.existingConfigMap }}
- name: coder-ca
  configMap:
    name: {{ . }}
    items:
      - key: {{ $.Values.coderCa.key }}
        path: ca.crt
{{- end }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}

{{/* The state file's volume; a StatefulSet brings its own claims. */}}
{{- define "insights-exporter.stateVolume" -}}
{{- with .Values.persistence.existingClaim }}
- name: state
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- end }}
