"""Options of ``insights-exporter bundle`` for dashboards: format, names and variables."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions, install_options_from_args
from insights_exporter.bundle.alerts.install_options import add_arguments as add_alert_options
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_TITLE, FOLDER_UID
from insights_exporter.errors import ConfigError

__all__ = [
    "DEFAULT_MOUNT_PATH",
    "BundleOptions",
    "DashboardFormat",
    "add_arguments",
    "bundle_options_from_args",
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
