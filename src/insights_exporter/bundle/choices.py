"""What a site chooses when it writes the bundle: which dashboards' form, and what they are called."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from insights_exporter.bundle.alerts.options import add_options as add_alert_options
from insights_exporter.bundle.alerts.options import site_of
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import BOARDS, FOLDER, FOLDER_UID
from insights_exporter.errors import ConfigError

__all__ = ["MOUNTED_AT", "Choices", "Form", "add_options", "choices_of"]

MOUNTED_AT: Final = "/var/lib/grafana/dashboards/coder-insights"
"""Where Grafana finds the folder of dashboards unless a site says otherwise."""

_LONGEST_UID: Final = 40
_LONGEST_PREFIX: Final = _LONGEST_UID - 1 - max(len(board.slug) for board in BOARDS)
_PREFIX: Final = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{_LONGEST_PREFIX - 1}}}")
_MATCHER: Final = re.compile(r'[a-zA-Z_]\w*(?:=|!=|=~|!~)"(?:[^"\\\n]|\\.)*"')
_HTTP: Final = re.compile(r"https?://[^\s/]+\S*")


class Form(StrEnum):
    """How dashboards get into Grafana."""

    PROVISIONING = "provisioning"
    IMPORT = "import"
    CONFIGMAP = "configmap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """All choices; the defaults make the files of the tree.

    ``matchers`` stand in every query of the dashboards, beside what is chosen at their top. ``prefix`` begins
    every uid and names the provider. With ``prometheus_url`` Grafana gets the data source, too.
    """

    site: Site = field(default_factory=Site)
    form: Form = Form.PROVISIONING
    matchers: tuple[str, ...] = ()
    folder: str = FOLDER
    prefix: str = FOLDER_UID
    mounted_at: str = MOUNTED_AT
    prometheus_url: str = ""

    def __post_init__(self) -> None:
        """Refuse what Grafana or Prometheus would; raise ConfigError."""
        for matcher in self.matchers:
            if not _MATCHER.fullmatch(matcher):
                raise ConfigError(f"--matcher: expected one such as 'cluster=\"blue\"', found {matcher!r}.")
        if not _PREFIX.fullmatch(self.prefix):
            expected = f"up to {_LONGEST_PREFIX} of a-z, 0-9, - and _"
            raise ConfigError(f"--prefix: expected {expected}, found {self.prefix!r}.")
        if not self.folder.strip() or "/" in self.folder:
            raise ConfigError(f"--folder: expected a title without a slash, found {self.folder!r}.")
        if not self.mounted_at.startswith("/"):
            raise ConfigError(f"--mounted-at: expected an absolute path, found {self.mounted_at!r}.")
        if self.prometheus_url and not _HTTP.fullmatch(self.prometheus_url):
            raise ConfigError(
                f"--prometheus-url: expected http://… or https://…, found {self.prometheus_url!r}."
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the choices to a command line, those of the alerts included."""
    usual, add = Choices(), parser.add_argument
    add_alert_options(parser)
    add(
        "--form",
        choices=list(map(str, Form)),
        default=str(usual.form),
        help="dashboards as files to provision, to import by hand, or as ConfigMaps; default: %(default)s",
    )
    add("--folder", default=usual.folder, metavar="TITLE", help="folder in Grafana; default: %(default)s")
    add(
        "--prefix",
        default=usual.prefix,
        help="how uids begin; another one allows a second set in one Grafana; default: %(default)s",
    )
    add(
        "--mounted-at",
        default=usual.mounted_at,
        metavar="PATH",
        help="where Grafana will find the folder of dashboards; default: %(default)s",
    )
    add(
        "--prometheus-url",
        default="",
        metavar="URL",
        help="provision the data source as well, with this address",
    )


def choices_of(options: argparse.Namespace) -> Choices:
    """Return the choices; raise ConfigError for what cannot be understood.

    Rules without a job would look at everybody's targets, so theirs stays unless another one is named.
    """
    site, matchers = site_of(options), tuple(options.matcher or ())
    if matchers and not any(matcher.startswith("job=") for matcher in matchers):
        site = replace(site, matchers=(*Site().matchers, *matchers))
    return Choices(
        site=site,
        form=Form(options.form),
        matchers=matchers,
        folder=options.folder,
        prefix=options.prefix,
        mounted_at=options.mounted_at,
        prometheus_url=options.prometheus_url,
    )
