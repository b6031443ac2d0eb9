"""A site's choices on a command line."""

from __future__ import annotations

import argparse

from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.errors import ConfigError

__all__ = ["add_options", "site_of"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what may differ from one site to the next; defaults are those of the files in the tree."""
    usual = Site()
    add = parser.add_argument
    add(
        "--matcher",
        action="append",
        metavar="MATCHER",
        help=f"matcher that all queries carry, may be repeated; default: {', '.join(usual.matchers)}",
    )
    add(
        "--threshold",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="another threshold, may be repeated; docs/alerts.md lists their names",
    )
    add("--label", action="append", default=[], metavar="NAME=VALUE", help="label of all alerts, for routing")
    add("--grafana-url", default=usual.grafana_url, metavar="URL", help="default: %(default)s")
    add("--runbook-url", default=usual.runbook_url, metavar="URL", help="where the runbooks are published")
    add("--datasource", default=usual.datasource, metavar="UID", help="Grafana's name for Prometheus")
    add("--namespace", default=usual.namespace, help="Kubernetes namespace of the PrometheusRule")


def site_of(options: argparse.Namespace) -> Site:
    """Return the site; raise ConfigError for what cannot be understood."""
    changes = {name: _number(name, text) for name, text in map(_pair, options.threshold)}
    return Site(
        matchers=tuple(options.matcher or Site().matchers),
        thresholds=Thresholds().changed(changes),
        labels=dict(map(_pair, options.label)),
        grafana_url=options.grafana_url,
        runbook_url=options.runbook_url,
        datasource=options.datasource,
        namespace=options.namespace,
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigError(f"Expected NAME=VALUE, found {text!r}.")
    return name, value


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"Expected a number for {name}, found {text!r}.") from None
