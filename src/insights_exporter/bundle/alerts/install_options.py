"""Options of an installation that change the alerts, and their command line arguments."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field

from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import QueryBuilder
from insights_exporter.bundle.registry import FOLDER_TITLE, FOLDER_UID
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.family import TEMPLATE_LABELS

__all__ = ["InstallOptions", "add_arguments", "install_options_from_args"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallOptions:
    """Series that the rules select, their thresholds, labels and links.

    ``matchers`` are added to every selector. ``cluster_label`` is the Prometheus label that separates several
    Coder deployments; recorded series and alerts keep it. ``labels`` are added to every alert, for routing.
    ``runbook_url`` is the base URL of the published runbooks. ``datasource`` is the uid of Prometheus in
    Grafana, ``namespace`` the Kubernetes namespace of the manifest. ``folder`` is the title of the folder for
    Grafana-managed alerts, ``prefix`` the beginning of their uids.
    """

    matchers: tuple[str, ...] = ('job="coder-insights"',)
    cluster_label: str = ""
    thresholds: Thresholds = field(default_factory=Thresholds)
    grafana_url: str = "http://localhost:3000"
    runbook_url: str = "https://runbooks.example.com/coder-insights"
    folder: str = f"{FOLDER_TITLE} Alerts"
    prefix: str = FOLDER_UID
    labels: Mapping[str, str] = field(default_factory=dict)
    datasource: str = "prometheus"
    namespace: str = "monitoring"

    @property
    def target_labels(self) -> tuple[str, ...]:
        """Return the labels that identify a Coder deployment in Prometheus."""
        return ("job", self.cluster_label) if self.cluster_label else ("job",)

    @property
    def template_labels(self) -> tuple[str, ...]:
        """Return the labels that identify a template in Prometheus."""
        return (*self.target_labels, *TEMPLATE_LABELS)

    @property
    def on_target(self) -> str:
        """Return the PromQL modifier that matches series of the same deployment."""
        return f"on ({', '.join(self.target_labels)})"

    @property
    def on_template(self) -> str:
        """Return the PromQL modifier that matches series of the same template."""
        return f"on ({', '.join(self.template_labels)})"

    @property
    def query(self) -> QueryBuilder:
        """Return the query builder with the matchers and target labels of the installation."""
        return QueryBuilder(self.matchers, self.target_labels)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of alerts; the defaults produce the committed files."""
    defaults = InstallOptions()
    add_argument = parser.add_argument
    add_argument(
        "--matcher",
        action="append",
        metavar="MATCHER",
        help=f"matcher of every query; repeatable; default: {', '.join(defaults.matchers)}",
    )
    add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="replace a threshold; repeatable; docs/alerts.md lists the names",
    )
    add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="label of every alert, for routing; repeatable",
    )
    add_argument(
        "--grafana-url",
        default=defaults.grafana_url,
        metavar="URL",
        help="URL of Grafana in links; default: %(default)s",
    )
    add_argument(
        "--runbook-url",
        default=defaults.runbook_url,
        metavar="URL",
        help="base URL of the published runbooks; default: %(default)s",
    )
    add_argument(
        "--datasource",
        default=defaults.datasource,
        metavar="UID",
        help="uid of the Prometheus data source in Grafana; default: %(default)s",
    )
    add_argument(
        "--namespace",
        default=defaults.namespace,
        help="Kubernetes namespace of the manifests; default: %(default)s",
    )


def install_options_from_args(args: argparse.Namespace) -> InstallOptions:
    """Return the options; raise ConfigError for invalid values."""
    overrides = {
        name: _parse_number(name, text)
        for name, text in (_parse_pair("--threshold", pair) for pair in args.threshold)
    }
    return InstallOptions(
        matchers=tuple(args.matcher or InstallOptions().matchers),
        thresholds=Thresholds().replaced(overrides),
        labels=dict(_parse_pair("--label", pair) for pair in args.label),
        grafana_url=args.grafana_url,
        runbook_url=args.runbook_url,
        datasource=args.datasource,
        namespace=args.namespace,
    )


def _parse_pair(option: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise ConfigError(f"{option}: expected NAME=VALUE, got {text!r}")
    return name, value


def _parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--threshold {name}: expected a number, got {text!r}") from None
