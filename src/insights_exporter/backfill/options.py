"""The options of ``insights-exporter backfill`` and their command line arguments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Final

from insights_exporter.argument_types import day, duration
from insights_exporter.backfill.fetcher import DEFAULT_RATE
from insights_exporter.backfill.samples import DEFAULT_STEP, DEFAULT_USER_STEP, SampleSteps
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.errors import ConfigError

__all__ = ["BackfillOptions", "OutputFormat", "add_arguments", "options_from_args"]

_LABEL: Final = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=(.*)", re.DOTALL)
_HOUR: Final = 3600


class OutputFormat(StrEnum):
    """What the output folder gets."""

    OPENMETRICS = "openmetrics"
    """One text file per day."""
    BLOCKS = "blocks"
    """Blocks of Prometheus' database."""


def _default_labels() -> dict[str, str]:
    """Return the labels of the series that the bundle's rules select, scraped as the README shows."""
    job = re.fullmatch('job="(.+)"', InstallOptions().matchers[0])
    return {"job": job[1] if job else "", "instance": "localhost:9766"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """The options of one run.

    ``last_day`` is included; None is the newest data that no longer changes. ``labels`` are those that a
    scrape adds. ``requests_per_minute`` is per endpoint. ``with_long_windows`` also requests parameters,
    opens and latency of windows of several days. ``with_agent_stats`` reads agent statistics if the
    configuration has Coder's database as their source. ``rules_file`` replaces the packaged recording rules.
    """

    first_day: date
    last_day: date | None = None
    output: Path
    format: OutputFormat = OutputFormat.OPENMETRICS
    push_url: str = ""
    steps: SampleSteps = field(default_factory=SampleSteps)
    labels: Mapping[str, str] = field(default_factory=_default_labels)
    requests_per_minute: int = DEFAULT_RATE
    with_long_windows: bool = False
    with_agent_stats: bool = True
    with_rules: bool = True
    rules_file: Path | None = None
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError for values that exclude each other or cannot be used."""
        for flag, step in (("--step", self.steps.default), ("--user-step", self.steps.users)):
            if step < 1 or _HOUR % step:
                raise ConfigError(
                    f'{flag}: expected a duration that divides an hour, such as "5m", got {step}s'
                )
        if not 1 <= self.requests_per_minute <= 100_000:
            raise ConfigError(f"--requests-per-minute: expected 1 to 100000, got {self.requests_per_minute}")
        if self.push_url and self.format is OutputFormat.BLOCKS:
            raise ConfigError("--push: expected --format openmetrics, got --format blocks")
        if self.push_url and not re.match(r"https?://[^/]", self.push_url):
            raise ConfigError("--push: expected an http(s) URL")

    @property
    def fingerprint(self) -> dict[str, str]:
        """The options that change the output, by flag."""
        return {
            "--from": self.first_day.isoformat(),
            "--to": "" if self.last_day is None else self.last_day.isoformat(),
            "--format": "push" if self.push_url else str(self.format),
            "--step": str(self.steps.default),
            "--user-step": str(self.steps.users),
            "--long-windows": str(self.with_long_windows).lower(),
            "--no-agent-stats": str(not self.with_agent_stats).lower(),
            "--label": ",".join(f"{name}={value}" for name, value in sorted(self.labels.items())),
        }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, without ``--config``."""
    _add_range_and_output(parser)
    _add_series_options(parser)
    _add_run_options(parser)


def _add_range_and_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--from", dest="first_day", type=day, required=True, metavar="DATE", help="first day, as 2026-08-01")
    add(
        "--to",
        dest="last_day",
        type=day,
        metavar="DATE",
        help="last day, included; default: up to three hours ago. Use the day before the first scrape",
    )
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="output folder; the same command continues an interrupted run in it",
    )
    add(
        "--format",
        choices=list(map(str, OutputFormat)),
        default=str(OutputFormat.OPENMETRICS),
        help="text files, or blocks of Prometheus' database, which need promtool; default: %(default)s",
    )
    add(
        "--push",
        default="",
        metavar="URL",
        help="send the samples to VictoriaMetrics at this URL; the output folder gets the journal only",
    )


def _add_series_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    for flag, default, series in (
        ("--step", DEFAULT_STEP, "series"),
        ("--user-step", DEFAULT_USER_STEP, "series by user"),
    ):
        add(
            flag,
            type=duration,
            default=default,
            metavar="DURATION",
            help=f"time between samples of {series}; default: {default // 60}m",
        )
    for name, value in _default_labels().items():
        add(f"--{name}", default=value, help=f"label {name} of all series; default: %(default)s")
    add(
        "--label",
        action="append",
        type=_label,
        default=[],
        metavar="NAME=VALUE",
        help="another label that Prometheus adds; can be repeated",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--long-windows",
        action="store_true",
        help="also request parameters, opens and latency of windows of several days: three times as many "
        "requests for the default windows",
    )
    add(
        "--requests-per-minute",
        type=int,
        default=DEFAULT_RATE,
        metavar="N",
        help="maximum rate of requests to each endpoint; default: %(default)s of the 512 that Coder allows",
    )
    add(
        "--no-agent-stats",
        action="store_true",
        help="do not read agent statistics from the database of the configuration",
    )
    rules = parser.add_mutually_exclusive_group()
    rules.add_argument(
        "--rules-file",
        type=Path,
        metavar="FILE",
        help="recording rules to evaluate with --format blocks; default: those of the bundle",
    )
    rules.add_argument("--no-rules", action="store_true", help="do not evaluate recording rules")
    add("--dry-run", action="store_true", help="print requests, minutes, series and size; write nothing")


def options_from_args(args: argparse.Namespace) -> BackfillOptions:
    """Return the options; raise ConfigError for invalid values."""
    return BackfillOptions(
        first_day=args.first_day,
        last_day=args.last_day,
        output=args.output,
        format=OutputFormat(args.format),
        push_url=args.push,
        steps=SampleSteps(int(args.step), int(args.user_step)),
        labels={"job": args.job, "instance": args.instance, **dict(args.label)},
        requests_per_minute=args.requests_per_minute,
        with_long_windows=args.long_windows,
        with_agent_stats=not args.no_agent_stats,
        with_rules=not args.no_rules,
        rules_file=args.rules_file,
        dry_run=args.dry_run,
    )


def _label(text: str) -> tuple[str, str]:
    match = _LABEL.fullmatch(text)
    if match is None or match[1].startswith("__"):
        raise argparse.ArgumentTypeError(f'expected NAME=VALUE with a label name of Prometheus, got "{text}"')
    return match[1], match[2]
