{{/*
A number of seconds in the largest unit that keeps it whole, as the alerts write it: 604800 -> 7 days.
*/}}
{{- define "insights-exporter.duration" -}}
{{- $seconds := float64 . }}
{{- if lt $seconds 1.0 }}{{ printf "%.6g ms" (mulf $seconds 1000) }}
{{- else if and (ge $seconds 86400.0) (eq $seconds (mulf (floor (divf $seconds 86400)) 86400)) }}
{{- printf "%.6g day%s" (divf $seconds 86400) (ternary "s" "" (gt $seconds 86400.0)) }}
{{- else if and (ge $seconds 3600.0) (eq $seconds (mulf (floor (divf $seconds 3600)) 3600)) }}
{{- printf "%.6g hour%s" (divf $seconds 3600) (ternary "s" "" (gt $seconds 3600.0)) }}
{{- else if and (ge $seconds 60.0) (eq $seconds (mulf (floor (divf $seconds 60)) 60)) }}
{{- printf "%.6g minute%s" (divf $seconds 60) (ternary "s" "" (gt $seconds 60.0)) }}
{{- else }}{{ printf "%.6g s" $seconds }}
{{- end }}
{{- end }}

{{/*
Replace the marks of files/rules.yaml, which tools/chart/rules.py writes: @@form|threshold|other@@.
*/}}
{{- define "insights-exporter.rules" -}}
{{- $text := .Files.Get "files/rules.yaml" }}
{{- $limits := .Values.prometheusRule.thresholds }}
{{- $bounds := .Files.Get "files/bounds.json" | fromJsonArray }}
{{- range $mark := regexFindAll "@@[a-z_]+[|][a-z_|]+@@" $text -1 | uniq }}
{{- $parts := splitList "|" (trimAll "@" $mark) }}
{{- $form := index $parts 0 }}
{{- $name := index $parts 1 }}
{{- if not (hasKey $limits $name) }}
{{- fail (printf "prometheusRule.thresholds.%s is required." $name) }}
{{- end }}
{{- $value := float64 (index $limits $name) }}
{{- $new := "" }}
{{- if eq $form "number" }}
{{- $new = printf "%.6g" $value }}
{{- else if eq $form "percent" }}
{{- $new = printf "%.6g" (mulf $value 100) }}
{{- else if eq $form "percent_whole" }}
{{- $new = printf "%.0f" (mulf $value 100) }}
{{- else if eq $form "complement" }}
{{- $new = printf "%.6g" (subf 1 $value) }}
{{- else if eq $form "complement_percent" }}
{{- $new = printf "%.2f" (mulf (subf 1 $value) 100) }}
{{- else if eq $form "milliseconds" }}
{{- $new = printf "%.6g" (mulf $value 1000) }}
{{- else if eq $form "day_seconds" }}
{{- $new = printf "%.6g" (mulf $value 86400) }}
{{- else if eq $form "duration" }}
{{- $new = include "insights-exporter.duration" $value }}
{{- else if eq $form "budget" }}
{{- $new = printf "%.6g" (mulf $value (subf 1 (float64 (index $limits (index $parts 2))))) }}
{{- else if or (eq $form "bound") (eq $form "bucket") }}
{{- $wanted := $value }}
{{- if eq $form "bucket" }}
{{- $wanted = divf $value (float64 (index $limits (index $parts 2))) }}
{{- end }}
{{- range $bound := $bounds }}
{{- if le (float64 $bound) (addf $wanted 0.000000001) }}
{{- $new = $bound }}
{{- end }}
{{- end }}
{{- if not $new }}
{{- fail (printf "prometheusRule.thresholds.%s: %v s is below the smallest bucket of the histograms, %s s." $name $wanted (first $bounds)) }}
{{- end }}
{{- else }}
{{- fail (printf "files/rules.yaml: unknown mark %s; run make generate." $mark) }}
{{- end }}
{{- $text = replace $mark $new $text }}
{{- end }}
{{- $job := printf "job=%q" .Values.prometheusOperator.jobName }}
{{- $text = replace "@@matchers@@" (join ", " (prepend .Values.prometheusRule.matchers $job)) $text }}
{{- replace "job=\"coder-insights\"" $job $text }}
{{- end }}

{{/* Names of all alerts, as JSON. */}}
{{- define "insights-exporter.alertNames" -}}
{{- $names := list }}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).groups }}
{{- range .rules }}
{{- with .alert }}
{{- $names = append $names . }}
{{- end }}
{{- end }}
{{- end }}
{{- toJson $names }}
{{- end }}

{{/* Link an alert: replace or drop its URLs. Arguments: root, annotations. */}}
{{- define "insights-exporter.annotations" -}}
{{- $annotations := deepCopy .annotations }}
{{- range $name, $urls := dict
  "dashboard_url" (list "http://localhost:3000" .root.Values.prometheusRule.grafanaUrl)
  "runbook_url" (list "https://runbooks.example.com/coder-insights" .root.Values.prometheusRule.runbookUrl) }}
{{- if and (hasKey $annotations $name) (index $urls 1) }}
{{- $_ := set $annotations $name (replace (index $urls 0) (trimSuffix "/" (index $urls 1)) (index $annotations $name)) }}
{{- else }}
{{- $_ := unset $annotations $name }}
{{- end }}
{{- end }}
{{- toYaml $annotations }}
{{- end }}

{{/* Rule groups with the site's choices. */}}
{{- define "insights-exporter.ruleGroups" -}}
{{- $root := . }}
{{- $choices := .Values.prometheusRule }}
{{- $groups := list }}
{{- range $group := (include "insights-exporter.rules" . | fromYaml).groups }}
{{- $rules := list }}
{{- range $rule := $group.rules }}
{{- if $rule.record }}
{{- $rules = append $rules $rule }}
{{- else if and $choices.alerts (not (get $choices.disabled $rule.alert)) }}
{{- $labels := mergeOverwrite (deepCopy $choices.alertLabels) $rule.labels }}
{{- with get $choices.severities $rule.alert }}
{{- $_ := set $labels "severity" . }}
{{- end }}
{{- $annotations := include "insights-exporter.annotations" (dict "root" $root "annotations" $rule.annotations) | fromYaml }}
{{- $rules = append $rules (merge (dict "labels" $labels "annotations" $annotations) $rule) }}
{{- end }}
{{- end }}
{{- if $rules }}
{{- $groups = append $groups (merge (dict "rules" $rules) $group) }}
{{- end }}
{{- end }}
{{- toYaml (concat $groups $choices.extraGroups) }}
{{- end }}
