"""A site's choices on a command line."""

from __future__ import annotations

import argparse

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.errors import ConfigError

__all__ = ["add_arguments", "install_options_from_args"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what may differ from one site to the next; defaults are those of the files in the tree."""
    defaults = InstallOptions()
    add_argument = parser.add_argument
    add_argument(
        "--matcher",
        action="append",
        metavar="MATCHER",
        help=f"matcher that all queries carry, may be repeated; default: {', '.join(defaults.matchers)}",
    )
    add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="another threshold, may be repeated; docs/alerts.md lists their names",
    )
    add_argument(
        "--label", action="append", default=[], metavar="NAME=VALUE", help="label of all alerts, for routing"
    )
    add_argument("--grafana-url", default=defaults.grafana_url, metavar="URL", help="default: %(default)s")
    add_argument(
        "--runbook-url", default=defaults.runbook_url, metavar="URL", help="where the runbooks are published"
    )
    add_argument(
        "--datasource", default=defaults.datasource, metavar="UID", help="Grafana's name for Prometheus"
    )
    add_argument("--namespace", default=defaults.namespace, help="Kubernetes namespace of the PrometheusRule")


def install_options_from_args(args: argparse.Namespace) -> InstallOptions:
    """Return the site; raise ConfigError for what cannot be understood."""
    overrides = {name: _parse_number(name, text) for name, text in map(_parse_pair, args.threshold)}
    return InstallOptions(
        matchers=tuple(args.matcher or InstallOptions().matchers),
        thresholds=Thresholds().replaced(overrides),
        labels=dict(map(_parse_pair, args.label)),
        grafana_url=args.grafana_url,
        runbook_url=args.runbook_url,
        datasource=args.datasource,
        namespace=args.namespace,
    )


def _parse_pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ConfigError(f"Expected NAME=VALUE, found {text!r}.")
    return name, value


def _parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"Expected a number for {name}, found {text!r}.") from None
