"""The page of documentation on alerts: how to install them, what they are, what can be changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from insights_exporter.bundle.alerts import groups
from insights_exporter.bundle.alerts.model import Alert, Recording
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.thresholds import described
from insights_exporter.bundle.alerts.units import amount

__all__ = ["alerts_page"]

_INTRO: Final = """\
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


def alerts_page(note: str) -> str:
    """Return the page; ``note`` says who wrote it."""
    site = Site()
    lines = [
        _INTRO.format(note=note, matchers=", ".join(site.matchers), datasource=site.datasource).rstrip(),
        "",
        "## All alerts",
    ]
    for group in groups(site):
        lines += ["", f"### {group.title}", "", "| Alert | Severity | After | Meaning | Thresholds |"]
        lines += ["|---|---|---|---|---|", *(_alert(alert, site) for alert in group.alerts)]
    lines += ["", *_recorded(site), "", *_thresholds(site)]
    return "\n".join(lines) + "\n"


def _alert(alert: Alert, site: Site) -> str:
    limits = ", ".join(
        f"`{name}` {amount(value, unit)}"
        for name, value, unit, _ in described(site.thresholds)
        if name in alert.limits
    )
    link = f"[{alert.name}](../alerts/runbooks/{alert.name}.md)"
    return f"| {link} | {alert.severity.value} | {alert.wait} | {alert.summary} | {limits} |"


def _recorded(site: Site) -> Iterator[str]:
    yield "## Recorded series"
    yield ""
    yield "Each tells what holds for all replicas together, so they have no `instance` and no `pod`."
    yield ""
    yield "| Series | Labels | Meaning |"
    yield "|---|---|---|"
    seen: dict[str, Recording] = {}
    for group in groups(site):
        for one in group.recordings:
            if seen.setdefault(one.name, one) is one:
                yield f"| `{one.name}` | {', '.join(f'`{label}`' for label in one.labels)} | {one.meaning} |"


def _thresholds(site: Site) -> Iterator[str]:
    yield "## Thresholds"
    yield ""
    yield "| Name | Value | Why |"
    yield "|---|---|---|"
    for name, value, unit, because in described(site.thresholds):
        yield f"| `{name}` | {value:g} ({amount(value, unit)}) | {because} |"
