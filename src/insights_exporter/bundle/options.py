"""What a site chooses when it writes the bundle: which dashboards' form, and what they are called."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.options import add_arguments as add_alert_options
from insights_exporter.bundle.alerts.options import install_options_from_args
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
"""Where Grafana finds the folder of dashboards unless a site says otherwise."""

_MAX_UID_LENGTH: Final = 40
_MAX_PREFIX_LENGTH: Final = _MAX_UID_LENGTH - 1 - max(len(board.slug) for board in DASHBOARDS)
_PREFIX: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{_MAX_PREFIX_LENGTH - 1}}}")
_MATCHER: Final = re.compile(r'[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\\n]|\\.)*"')
_HTTP_URL: Final = re.compile(r"https?://[^\s/]+\S*")


class DashboardFormat(StrEnum):
    """How dashboards get into Grafana."""

    PROVISIONING = "provisioning"
    IMPORT = "import"
    CONFIGMAP = "configmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOptions:
    """All choices; the defaults make the files of the tree.

    ``matchers`` stand in every query of the dashboards, beside what is chosen at their top. ``prefix`` begins
    every uid and names the provider. With ``prometheus_url`` Grafana gets the data source, too.
    """

    install: InstallOptions = field(default_factory=InstallOptions)
    format: DashboardFormat = DashboardFormat.PROVISIONING
    matchers: tuple[str, ...] = ()
    folder: str = FOLDER_TITLE
    prefix: str = FOLDER_UID
    mount_path: str = DEFAULT_MOUNT_PATH
    prometheus_url: str = ""

    def __post_init__(self) -> None:
        """Refuse what Grafana or Prometheus would; raise ConfigError."""
        for matcher in self.matchers:
            if not _MATCHER.fullmatch(matcher):
                raise ConfigError(f"--matcher: expected one such as 'cluster=\"blue\"', found {matcher!r}.")
        if not _PREFIX.fullmatch(self.prefix):
            expected = f"up to {_MAX_PREFIX_LENGTH} of a-z, 0-9, - and _"
            raise ConfigError(f"--prefix: expected {expected}, found {self.prefix!r}.")
        if not self.folder.strip() or "/" in self.folder:
            raise ConfigError(f"--folder: expected a title without a slash, found {self.folder!r}.")
        if not self.mount_path.startswith("/"):
            raise ConfigError(f"--mounted-at: expected an absolute path, found {self.mount_path!r}.")
        if self.prometheus_url and not _HTTP_URL.fullmatch(self.prometheus_url):
            raise ConfigError(
                f"--prometheus-url: expected http://… or https://…, found {self.prometheus_url!r}."
            )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choices to a command line, those of the alerts included."""
    defaults, add_argument = BundleOptions(), parser.add_argument
    add_alert_options(parser)
    add_argument(
        "--form",
        choices=list(map(str, DashboardFormat)),
        default=str(defaults.format),
        help="dashboards as files to provision, to import by hand, or as ConfigMaps; default: %(default)s",
    )
    add_argument(
        "--folder", default=defaults.folder, metavar="TITLE", help="folder in Grafana; default: %(default)s"
    )
    add_argument(
        "--prefix",
        default=defaults.prefix,
        help="how uids begin; another one allows a second set in one Grafana; default: %(default)s",
    )
    add_argument(
        "--mounted-at",
        default=defaults.mount_path,
        metavar="PATH",
        help="where Grafana will find the folder of dashboards; default: %(default)s",
    )
    add_argument(
        "--prometheus-url",
        default="",
        metavar="URL",
        help="provision the data source as well, with this address",
    )


def bundle_options_from_args(args: argparse.Namespace) -> BundleOptions:
    """Return the choices; raise ConfigError for what cannot be understood.

    Rules without a job would look at everybody's targets, so theirs stays unless another one is named.
    """
    install, matchers = install_options_from_args(args), tuple(args.matcher or ())
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
    )
