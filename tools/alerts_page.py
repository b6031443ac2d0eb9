"""The page of documentation on alerts: how to install them, what they are, what can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from insights_exporter.bundle.alerts import rule_groups
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, RecordingRule
from insights_exporter.bundle.alerts.thresholds import threshold_rows
from insights_exporter.bundle.alerts.units import format_threshold

__all__ = ["alerts_page"]

_INTRODUCTION: Final = """\
# Alerts

{note}

The rules are in `alerts/`, from one source, in the forms in which people install them. They hold for
one replica of the exporter and for several, with names of users, hashed ones or none, and with or
without agent statistics: where none are read, alerts on latency go by Coder's own percentiles of today,
which move more slowly.

Nothing pages on one user or on one sample. `critical` is for somebody to look now, `warning` today,
`info` some day.

## Install them

The rules look for `{matchers}`. Name the scrape job so, or write the rules for another one as
shown below.

**Prometheus.** Load both files of `alerts/prometheus/`:

```yaml
rule_files:
  - /etc/prometheus/coder-insights/*.yml
```

`promtool check rules alerts/prometheus/*.yml` checks them. They load from Prometheus 2.42 on and in
Mimir, Thanos and other rulers that speak PromQL.

**Kubernetes, with the Prometheus operator.** `kubectl apply -f alerts/kubernetes/prometheusrule.yaml`.
It holds the same rules. Give it the labels that your Prometheus selects rules by (`spec.ruleSelector`).

**Grafana-managed alerts.** Load `alerts/prometheus/recording-rules.yml` into Prometheus, as Grafana
reads what it records, and put `alerts/grafana/coder-insights.yaml` into Grafana's
`provisioning/alerting/`. It takes the data source with the uid `{datasource}`. Do not load the alerting
rules into Prometheus as well, or everything calls twice.

**Alertmanager.** `alerts/alertmanager.yml` is an example that works: routes by severity, and
inhibitions. An exporter that is down, a Coder that does not answer or a refused token silence what only
follows from it. Put your receivers in the place of its webhooks, or copy the inhibitions into your own
configuration.

**Runbooks.** Each alert has a page in `alerts/runbooks/`: what it means, whom it hurts, how to look,
what to do. Publish the folder where whoever is woken can read it, and say so with `--runbook-url`.

## Change them

Do not edit the files; write them anew with your choices, and again after each upgrade:

```console
$ insights-exporter bundle --output /etc/coder-insights \\
    --matcher 'job="coder"' --matcher 'cluster="blue"' --label team=platform \\
    --threshold seats_share=0.8 --threshold slow_users=5 \\
    --grafana-url https://grafana.example.com --runbook-url https://git.example.com/runbooks
```

`--help` lists the choices, and the end of this page the thresholds. Those of latency must be bounds of
a histogram's buckets, because users are counted between these. Several deployments of Coder that one
Prometheus watches need a job each: recorded series keep `job` and no other label of the target.

"""


def alerts_page(header: str) -> str:
    """Return the page; ``note`` says who wrote it."""
    options = InstallOptions()
    lines = [
        _INTRODUCTION.format(
            note=header, matchers=", ".join(options.matchers), datasource=options.datasource
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
    yield "Each tells what holds for all replicas together, so they have no `instance` and no `pod`."
    yield ""
    yield "| Series | Labels | Meaning |"
    yield "|---|---|---|"
    rules_by_name: dict[str, RecordingRule] = {}
    for group in rule_groups(options):
        for rule in group.recordings:
            if rules_by_name.setdefault(rule.name, rule) is rule:
                yield f"| `{rule.name}` | {', '.join(f'`{label}`' for label in rule.labels)} | {rule.description} |"


def _thresholds_section(options: InstallOptions) -> Iterator[str]:
    yield "## Thresholds"
    yield ""
    yield "| Name | Value | Why |"
    yield "|---|---|---|"
    for name, value, unit, rationale in threshold_rows(options.thresholds):
        yield f"| `{name}` | {value:g} ({format_threshold(value, unit)}) | {rationale} |"
