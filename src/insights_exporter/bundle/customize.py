"""Options of a bundle, and how they adapt the packaged dashboards without their generator."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from insights_exporter.bundle.alerts.install_options import InstallOptions, install_options_from_args
from insights_exporter.bundle.alerts.install_options import add_arguments as add_alert_options
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_TITLE, FOLDER_UID, iter_panels
from insights_exporter.errors import ConfigError

__all__ = [
    "DATASOURCE_INPUT",
    "DEFAULT_MOUNT_PATH",
    "BundleOptions",
    "DashboardFormat",
    "add_arguments",
    "bundle_options_from_args",
    "customize_dashboard",
    "dashboard_json",
    "rewrite_uids",
]

DEFAULT_MOUNT_PATH: Final = "/var/lib/grafana/dashboards/coder-insights"
"""Folder of the dashboards on Grafana's host."""

_MAX_UID_LENGTH: Final = 40
_MAX_PREFIX_LENGTH: Final = _MAX_UID_LENGTH - 1 - max(len(board.slug) for board in DASHBOARDS)
_PREFIX: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{_MAX_PREFIX_LENGTH - 1}}}")
_MATCHER: Final = re.compile(r'[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\\n]|\\.)*"')
_LABEL_NAME: Final = re.compile(r"[a-zA-Z_]\w*")
_RESERVED_LABELS: Final = frozenset(
    ("datasource", "instance", "job", "organization", "organizations", "parameter", "template", "templates")
) | {"username", "window"}
"""Names of the variables that all dashboards have."""

_HTTP_URL: Final = re.compile(r"https?://[^\s/]+\S*")


class DashboardFormat(StrEnum):
    """Way in which dashboards get into Grafana."""

    PROVISIONING = "provisioning"
    IMPORT = "import"
    CONFIGMAP = "configmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """All options; the defaults produce the committed files.

    ``matchers`` are added to every query of the dashboards. ``cluster_label`` is the Prometheus label that
    separates several Coder deployments; it becomes a variable of every dashboard. ``show_targets`` shows the
    variables of job and instance. ``prefix`` is the beginning of every uid and the name of the provider. With
    ``prometheus_url``, a data source is provisioned.
    """

    install: InstallOptions = field(default_factory=InstallOptions)
    format: DashboardFormat = DashboardFormat.PROVISIONING
    matchers: tuple[str, ...] = ()
    folder: str = FOLDER_TITLE
    prefix: str = FOLDER_UID
    mount_path: str = DEFAULT_MOUNT_PATH
    prometheus_url: str = ""
    cluster_label: str = ""
    show_targets: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError for values that Grafana or Prometheus rejects."""
        for matcher in self.matchers:
            if not _MATCHER.fullmatch(matcher):
                raise ConfigError(
                    f"--matcher: expected a matcher such as 'cluster=\"blue\"', got {matcher!r}"
                )
        if not _PREFIX.fullmatch(self.prefix):
            expected = f"up to {_MAX_PREFIX_LENGTH} of a-z, 0-9, - and _"
            raise ConfigError(f"--prefix: expected {expected}, got {self.prefix!r}")
        if not self.folder.strip() or "/" in self.folder:
            raise ConfigError(f"--folder: expected a title without a slash, got {self.folder!r}")
        if not self.mount_path.startswith("/"):
            raise ConfigError(f"--mounted-at: expected an absolute path, got {self.mount_path!r}")
        if self.prometheus_url and not _HTTP_URL.fullmatch(self.prometheus_url):
            raise ConfigError(f"--prometheus-url: expected an http(s) URL, got {self.prometheus_url!r}")
        if self.cluster_label and not _LABEL_NAME.fullmatch(self.cluster_label):
            raise ConfigError(
                f"--cluster-label: expected a label name of Prometheus, got {self.cluster_label!r}"
            )
        if self.cluster_label in _RESERVED_LABELS:
            raise ConfigError(
                f"--cluster-label: expected a label that identifies a deployment, got {self.cluster_label!r}"
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of dashboards and alerts to a command line."""
    defaults, add_argument = BundleOptions(), parser.add_argument
    add_alert_options(parser)
    add_argument(
        "--form",
        choices=list(map(str, DashboardFormat)),
        default=str(defaults.format),
        help="dashboards for file provisioning, for import by hand, or as ConfigMaps; default: %(default)s",
    )
    add_argument(
        "--folder", default=defaults.folder, metavar="TITLE", help="folder in Grafana; default: %(default)s"
    )
    add_argument(
        "--prefix",
        default=defaults.prefix,
        help="prefix of all uids; a second prefix allows a second set in one Grafana; default: %(default)s",
    )
    add_argument(
        "--mounted-at",
        default=defaults.mount_path,
        metavar="PATH",
        help="folder of the dashboards on Grafana's host; default: %(default)s",
    )
    add_argument(
        "--prometheus-url",
        default="",
        metavar="URL",
        help="provision a Prometheus data source with this URL",
    )
    add_argument(
        "--cluster-label",
        default="",
        metavar="NAME",
        help="label that separates Coder deployments in one Prometheus; a variable of every dashboard",
    )
    add_argument(
        "--show-targets", action="store_true", help="show the dashboard variables of job and instance"
    )


def bundle_options_from_args(args: argparse.Namespace) -> BundleOptions:
    """Return the options; raise ConfigError for invalid values.

    Without a matcher for ``job``, the rules keep their default job. Otherwise they would match all targets.
    """
    install, matchers = install_options_from_args(args), tuple(args.matcher or ())
    install = replace(
        install, cluster_label=args.cluster_label, folder=f"{args.folder} Alerts", prefix=args.prefix
    )
    if matchers and not any(matcher.startswith("job=") for matcher in matchers):
        install = replace(install, matchers=(*InstallOptions().matchers, *matchers))
    return BundleOptions(
        install=install,
        format=DashboardFormat(args.form),
        matchers=matchers,
        folder=args.folder,
        prefix=args.prefix,
        mount_path=args.mounted_at,
        prometheus_url=args.prometheus_url,
        cluster_label=args.cluster_label,
        show_targets=args.show_targets,
    )


DATASOURCE_INPUT: Final = "DS_PROMETHEUS"
"""Name of the input that Grafana asks for when a dashboard is imported."""

_QUERY_KEYS: Final = frozenset({"expr", "query", "definition"})
_SELECTOR: Final = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\{")
_BARE_METRIC: Final = re.compile(r"^label_values\((\w+), (\w+)\)$")
_MIN_GRAFANA_VERSION: Final = "10.0.0"
_TARGET_VARIABLES: Final = frozenset({"job", "instance"})
_VISIBLE: Final = 0


def customize_dashboard(dashboard: Mapping[str, Any], options: BundleOptions) -> dict[str, Any]:
    """Return a dashboard with the uids, matchers, variables and data source of an installation."""
    customized: dict[str, Any] = _map_strings(
        dashboard, "", lambda key, text: _customize_string(key, text, options)
    )
    customized["tags"] = [options.prefix if tag == FOLDER_UID else tag for tag in customized["tags"]]
    for link in customized["links"]:
        link["tags"] = [options.prefix if tag == FOLDER_UID else tag for tag in link["tags"]]
    variables = customized["templating"]["list"]
    if options.cluster_label:
        variables.insert(1, _cluster_variable(options.cluster_label, variables))
    if options.show_targets:
        for variable in variables:
            if variable["name"] in _TARGET_VARIABLES:
                variable["hide"] = _VISIBLE
    if options.format is DashboardFormat.IMPORT:
        _set_default_datasource(customized, f"${{{DATASOURCE_INPUT}}}", "Prometheus")
        return {
            "__elements": {},
            "__inputs": [_input_declaration()],
            "__requires": _requirements(customized),
            **customized,
        }
    if options.install.datasource != InstallOptions().datasource:
        _set_default_datasource(customized, options.install.datasource, options.install.datasource)
    return customized


def rewrite_uids(text: str, options: BundleOptions) -> str:
    """Return a text with the dashboard uids of an installation."""
    for info in DASHBOARDS if options.prefix != FOLDER_UID else ():
        text = text.replace(info.uid, f"{options.prefix}-{info.slug}")
    return text


def _map_strings(node: Any, key: str, transform: Callable[[str, str], str]) -> Any:
    if isinstance(node, dict):
        return {name: _map_strings(value, name, transform) for name, value in node.items()}
    if isinstance(node, list):
        return [_map_strings(value, key, transform) for value in node]
    return transform(key, node) if isinstance(node, str) else node


def _customize_string(key: str, text: str, options: BundleOptions) -> str:
    text = rewrite_uids(text, options)
    if key == "url":
        return _customize_url(text, options)
    matchers = list(options.matchers)
    if options.cluster_label:
        # One value: sums and maxima of the queries keep no label that tells deployments apart.
        matchers.append(f'{options.cluster_label}="${options.cluster_label}"')
    if key not in _QUERY_KEYS or not matchers:
        return text
    selector = ", ".join(matchers)
    text = _BARE_METRIC.sub(lambda match: f"label_values({match[1]}{{{selector}}}, {match[2]})", text)
    if f"{{{selector}}}" in text:
        return text
    return _SELECTOR.sub(lambda match: f"{match[1]}{{{selector}, ", text)


def _customize_url(url: str, options: BundleOptions) -> str:
    """Return a link with the runbooks of an installation, which carries the selected cluster."""
    url = url.replace(InstallOptions().runbook_url, options.install.runbook_url)
    if options.cluster_label and "${datasource:queryparam}" in url:
        parameter = f"${{{options.cluster_label}:queryparam}}"
        url = url.replace("${datasource:queryparam}", f"${{datasource:queryparam}}&{parameter}")
    return url


def _cluster_variable(label: str, variables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a variable with the values of a label of the exporter's targets; one value is selected."""
    (job,) = (variable for variable in variables if variable["name"] == "job")
    metric, _, _ = job["query"].removeprefix("label_values(").partition("{")
    query = f"label_values({metric.partition(',')[0]}, {label})"
    excluded = ("allValue", "current", "hide")
    inherited = {key: value for key, value in job.items() if key not in excluded}
    return inherited | {
        "name": label,
        "label": label.replace("_", " ").capitalize(),
        "query": query,
        "definition": query,
        "multi": False,
        "includeAll": False,
    }


def _set_default_datasource(dashboard: dict[str, Any], uid: str, display_name: str) -> None:
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "datasource":
            variable["current"] = {"selected": True, "text": display_name, "value": uid}


def _input_declaration() -> dict[str, str]:
    return {
        "name": DATASOURCE_INPUT,
        "label": "Prometheus",
        "description": "The Prometheus that scrapes the exporter.",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }


def _requirements(dashboard: Mapping[str, Any]) -> list[dict[str, str]]:
    panel_types = sorted({panel["type"] for panel in iter_panels(dashboard["panels"])})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _MIN_GRAFANA_VERSION},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *(
            {"type": "panel", "id": panel_type, "name": panel_type, "version": ""}
            for panel_type in panel_types
        ),
    ]


def dashboard_json(dashboard: Mapping[str, Any]) -> str:
    """Return the text of a dashboard file."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
