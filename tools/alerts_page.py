"""The documentation page of alerts: installation, list of alerts, options and thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, RecordingRule
from insights_exporter.bundle.alerts.rules import rule_groups
from insights_exporter.bundle.alerts.thresholds import format_threshold, threshold_rows

__all__ = ["alerts_page"]

_INTRODUCTION: Final = """\
# Alerts

{note}

`alerts/` contains the same rules in several formats. They work with one replica of the exporter or
several, with scraped and with pushed metrics, with user names, hashed names or none, and with or without
agent statistics. Without agent statistics, latency alerts use Coder's percentiles of today, which change
more slowly.

A user is slow when the p50 is 300 ms or more, as on Coder's page and on the dashboards. Alerts on slow users
leave out those whose p50 is usual for them. Two alerts watch the p95, the slowest twentieth of the round
trips: `TemplateP95High` and `AppLatencyHigh`.

No alert pages for one user or one sample. `critical` needs a reaction now, `warning` today, `info` in the
next days.

## Install

The rules select `{matchers}`. A pushed exporter has this job by default. Give the scrape job the same
name, or generate the rules for another one as shown below.

**Prometheus 2.42 or later, 3.x included.** Load both files of `alerts/prometheus/`:

```yaml
rule_files:
  - /etc/prometheus/coder-insights/*.yml
```

`promtool check rules alerts/prometheus/*.yml` and `pint --offline lint alerts/prometheus` check them.
Mimir, Thanos and VictoriaMetrics load the same files; see [integrations.md](integrations.md).

If Prometheus converts histograms with `convert_classic_histograms_to_nhcb`, set
`always_scrape_classic_histograms: true` in the exporter's scrape job. Otherwise the `_bucket` series are
missing, and alerts and panels on agent reports have no data. The alert `CoderInsightsBucketsMissing`
detects this.

**Kubernetes with the Prometheus operator.** Run `kubectl apply -f alerts/kubernetes/prometheusrule.yaml`.
Add the labels by which your Prometheus selects rules (`spec.ruleSelector`).

**Grafana-managed alerts.** Load `alerts/prometheus/recording-rules.yml` into Prometheus, because the
alerts read recorded series. Copy `alerts/grafana/coder-insights.yaml` to Grafana's
`provisioning/alerting/`. The alerts use the data source with the uid `{datasource}` and the folder
*{folder}*. Do not load the alerting rules into Prometheus as well, or every alert fires twice.

The alert annotations of the dashboards read `ALERTS`, which only Prometheus, Mimir, Thanos and vmalert
write. With Grafana-managed alerts they stay empty; Grafana shows their state in the linked panel instead.

**Alertmanager.** `alerts/alertmanager.yml` is a complete example: routes by severity, and inhibitions.
`ExporterDown`, `CoderUnreachable` and `TokenInvalid` inhibit the alerts that follow from them. Replace
the webhooks with your receivers, or copy the inhibitions into your configuration.

**Runbooks.** Each alert has a page in `alerts/runbooks/` with meaning, impact, diagnosis and mitigation.
Publish the folder where on-call engineers can read it, and set its URL with `--runbook-url`.

## Customize

Do not edit the files. Generate them with your options, and again after each upgrade:

```console
$ insights-exporter bundle --output /etc/coder-insights \\
    --matcher 'job="coder"' --matcher 'cluster="blue"' --label team=platform \\
    --threshold seats_share=0.8 --threshold slow_users=5 \\
    --grafana-url https://grafana.example.com --runbook-url https://git.example.com/runbooks
```

`insights-exporter bundle --help` lists the options, and the end of this page the thresholds. Thresholds
of latency and of idle time must be bucket bounds of their histograms.

**Several Coder deployments in one Prometheus.** Give each its own job, or set `--cluster-label NAME` to
the label that separates them, such as `cluster`. Recorded series, alerts and inhibitions keep this label.
Without the option, recorded series keep `job` and no other target label.

"""


def alerts_page(header: str) -> str:
    """Return the page; ``header`` is the note that the page is generated."""
    options = InstallOptions()
    lines = [
        _INTRODUCTION.format(
            note=header,
            matchers=", ".join(options.matchers),
            datasource=options.datasource,
            folder=options.folder,
        ).rstrip(),
        "",
        "## All alerts",
    ]
    for group in rule_groups(options):
        lines += ["", f"### {group.title}", "", "| Alert | Severity | After | Meaning | Thresholds |"]
        lines += ["|---|---|---|---|---|", *(_alert_row(alert, options) for alert in group.alerts)]
    lines += ["", *_recording_rules_section(options), "", *_thresholds_section(options)]
    return "\n".join(lines) + "\n"


def _alert_row(alert: Alert, options: InstallOptions) -> str:
    threshold_texts = ", ".join(
        f"`{name}` {format_threshold(value, unit)}"
        for name, value, unit, _ in threshold_rows(options.thresholds)
        if name in alert.thresholds
    )
    link = f"[{alert.name}](../alerts/runbooks/{alert.name}.md)"
    return f"| {link} | {alert.severity.value} | {alert.for_} | {alert.summary} | {threshold_texts} |"


def _recording_rules_section(options: InstallOptions) -> Iterator[str]:
    yield "## Recorded series"
    yield ""
    yield "Recorded series combine all replicas, so they have no labels `instance` and `pod`."
    yield ""
    yield "| Series | Labels | Meaning |"
    yield "|---|---|---|"
    rules_by_name: dict[str, RecordingRule] = {}
    for group in rule_groups(options):
        for rule in group.recordings:
            if rules_by_name.setdefault(rule.name, rule) is rule:
                labels = ", ".join(f"`{label}`" for label in rule.labels)
                yield f"| `{rule.name}` | {labels} | {rule.description} |"


def _thresholds_section(options: InstallOptions) -> Iterator[str]:
    yield "## Thresholds"
    yield ""
    yield "| Name | Value | Reason |"
    yield "|---|---|---|"
    for name, value, unit, rationale in threshold_rows(options.thresholds):
        yield f"| `{name}` | {value:g} ({format_threshold(value, unit)}) | {rationale} |"
