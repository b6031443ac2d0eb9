"""The command line. Each command imports its modules when it runs, so that `run` loads no simulator."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from insights_exporter import __version__
from insights_exporter.argument_types import (
    day,
    duration,
    listen_address,
    metrics_path,
    port,
    positive_seconds,
)
from insights_exporter.config.schema import CONFIG_VARIABLE
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor

if TYPE_CHECKING:
    from insights_exporter.commands import Override

__all__ = ["build_parser", "main"]

USAGE_ERROR: Final = 2
"""Exit code of an invalid configuration or command line."""

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells report SIGINT."""

LOG_LEVELS: Final = {
    "debug": "debug",
    "info": "info",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
}
"""Levels of ``--log.level``; Prometheus spells one ``warn``."""

LOG_FORMATS: Final = {"logfmt": "text", "text": "text", "json": "json"}
"""Formats of ``--log.format``; Prometheus calls the text format ``logfmt``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = build_parser(
        with_bundle="bundle" in arguments, with_backfill="backfill" in arguments
    ).parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigError as error:
        # An error quotes values, and a value may be a token in the wrong setting.
        sys.stderr.write(f"{Redactor()(str(error))}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of standard output closed the pipe; the interpreter must not flush into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser(*, with_bundle: bool, with_backfill: bool) -> argparse.ArgumentParser:
    """Return the parser of all commands; options of the two named ones need further modules."""
    parser = argparse.ArgumentParser(
        prog="insights-exporter",
        description="Exports Coder's Template Insights to Prometheus and OpenTelemetry.",
    )
    parser.add_argument("--version", action="version", version=f"insights_exporter {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    _add_run(subparsers.add_parser("run", help="poll Coder and serve metrics"))
    _add_check(
        subparsers.add_parser(
            "check", help="check connectivity, TLS, token, permissions, version and data of a deployment"
        )
    )
    _add_report(
        subparsers.add_parser("report", help="write a usage report of a month, a quarter or other days")
    )
    backfill = subparsers.add_parser("backfill", help="write the usage of past days for Prometheus")
    if with_backfill:
        _add_backfill(backfill)
    _add_token(subparsers.add_parser("token", help="rotate the session token"))
    _add_demo(subparsers.add_parser("demo", help="run the exporter against a simulated Coder"))
    _add_simulate(subparsers.add_parser("simulate", help="run a simulated Coder"))
    bundle = subparsers.add_parser(
        "bundle", help="write dashboards and alert rules customized for your stack"
    )
    if with_bundle:
        _add_bundle(bundle)
    return parser


def _add_config_option(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get(CONFIG_VARIABLE)
    parser.add_argument(
        "--config",
        # The name of other exporters.
        "--config.file",
        dest="config",
        type=Path,
        default=Path(default) if default else None,
        metavar="FILE",
        help=f"configuration file (YAML); default: ${CONFIG_VARIABLE}, or environment variables only",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config_option(parser)
    parser.add_argument("--no-serve", action="store_true", help="push by OTLP only, without an HTTP server")
    flags = parser.add_argument_group(
        "flags of Prometheus exporters",
        "These flags override the configuration file and environment variables.",
    )
    flags.add_argument(
        "--web.listen-address",
        dest="listen_address",
        type=listen_address,
        metavar="[HOST]:PORT",
        help="sets server.host and server.port; an empty host listens on all addresses",
    )
    flags.add_argument(
        "--web.config.file",
        dest="web_config_file",
        metavar="FILE",
        help="sets server.web_config_file: TLS and authentication as in exporter-toolkit",
    )
    flags.add_argument(
        "--web.telemetry-path",
        dest="metrics_path",
        type=metrics_path,
        default="/metrics",
        metavar="PATH",
        help="path of the metrics; default: %(default)s",
    )
    flags.add_argument(
        "--log.level", dest="log_level", choices=LOG_LEVELS, help="sets log.level: the minimum level"
    )
    flags.add_argument(
        "--log.format", dest="log_format", choices=LOG_FORMATS, help="sets log.format; logfmt is text"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from insights_exporter import commands  # noqa: PLC0415  # Loaded by this command only.

    return asyncio.run(
        commands.run(
            options.config,
            overrides=_overrides(options),
            serve_http=not options.no_serve,
            metrics_path=options.metrics_path,
        )
    )


def _overrides(options: argparse.Namespace) -> list[Override]:
    """Return the settings that flags override."""
    from insights_exporter.commands import Override  # noqa: PLC0415  # Loaded by this command only.

    overrides = []
    if options.listen_address is not None:
        for key, value in zip(("server.host", "server.port"), options.listen_address, strict=True):
            overrides.append(Override("--web.listen-address", key, value))
    if options.web_config_file is not None:
        overrides.append(Override("--web.config.file", "server.web_config_file", options.web_config_file))
    if options.log_level is not None:
        overrides.append(Override("--log.level", "log.level", LOG_LEVELS[options.log_level]))
    if options.log_format is not None:
        overrides.append(Override("--log.format", "log.format", LOG_FORMATS[options.log_format]))
    return overrides


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--no-poll", action="store_true", help="skip the series count, which needs a whole poll"
    )
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    from insights_exporter import commands  # noqa: PLC0415  # Loaded by this command only.

    return asyncio.run(commands.check(options.config, json=options.json, poll=not options.no_poll))


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Reads the usage of a period from Coder and writes a report, compared with the period before. "
        "Exit codes: 0 written, 1 Coder or the file system failed and nothing was written, 2 invalid "
        "configuration or period."
    )
    _add_config_option(parser)
    period = parser.add_mutually_exclusive_group(required=True)
    period.add_argument(
        "--month", metavar="MONTH", help='month such as 2026-10, or "previous" for the last complete month'
    )
    period.add_argument(
        "--quarter",
        metavar="QUARTER",
        help='quarter such as 2026-Q3, or "previous" for the last complete one',
    )
    period.add_argument("--from", dest="first_day", type=day, metavar="DAY", help="first day, as YYYY-MM-DD")
    parser.add_argument(
        "--to", dest="last_day", type=day, metavar="DAY", help="last day, with --from; default: today"
    )
    parser.add_argument(
        "--format", choices=("html", "csv", "json"), default="html", help="format; default: %(default)s"
    )
    parser.add_argument(
        "--output",
        metavar="PATH",
        help="file, folder for a file named after the period, or - for standard output; with csv the folder "
        "of the tables; {period} stands for the period; default: coder-usage-{period} in the current folder",
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from insights_exporter import commands  # noqa: PLC0415  # Loaded by this command only.
    from insights_exporter.report import (  # noqa: PLC0415  # As above.
        PeriodRequest,
        ReportFormat,
        ReportOutput,
    )

    request = PeriodRequest(
        month=options.month,
        quarter=options.quarter,
        first_day=options.first_day,
        last_day=options.last_day,
    )
    output = ReportOutput(ReportFormat(options.format), options.output)
    return asyncio.run(commands.report(options.config, request, output))


def _add_backfill(parser: argparse.ArgumentParser) -> None:
    from insights_exporter.backfill.options import (  # noqa: PLC0415  # Loaded by this command only.
        add_arguments,
    )

    parser.description = (
        "Requests past days from Coder and writes the series that the exporter would have served. "
        "The same command continues an interrupted run. Exit codes: 0 written, 1 Coder or the output failed "
        "and the written days are kept, 2 invalid configuration or options."
    )
    _add_config_option(parser)
    add_arguments(parser)
    parser.set_defaults(run=_backfill)


def _backfill(options: argparse.Namespace) -> int:
    from insights_exporter import commands  # noqa: PLC0415  # Loaded by this command only.
    from insights_exporter.backfill.options import options_from_args  # noqa: PLC0415  # As above.

    return asyncio.run(commands.backfill(options.config, options_from_args(options)))


def _add_token(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(required=True, metavar="action")
    rotate = subparsers.add_parser(
        "rotate",
        help="create a new token, write it to coder.token_file, and revoke the old one",
        description="Creates a token of the same account and scopes, verifies it, replaces coder.token_file "
        "atomically, and revokes the old token. Exit codes: 0 rotated, 1 failed with a valid token in the "
        "file, 2 invalid configuration, nothing changed.",
    )
    _add_config_option(rotate)
    rotate.add_argument(
        "--lifetime",
        type=duration,
        metavar="DURATION",
        help="lifetime of the new token, such as 90d; default: the lifetime of the old token",
    )
    rotate.add_argument(
        "--revoke-delay",
        type=duration,
        default=5.0,
        metavar="DURATION",
        help="time from the replacement of the file to the revocation of the old token, in which exporters "
        "read the new token; default: 5s",
    )
    rotate.add_argument("--dry-run", action="store_true", help="print what would be done")
    rotate.set_defaults(run=_rotate_token)


def _rotate_token(options: argparse.Namespace) -> int:
    from insights_exporter import commands  # noqa: PLC0415  # Loaded by this command only.

    return asyncio.run(
        commands.rotate_token(
            options.config,
            lifetime=options.lifetime,
            revoke_delay=options.revoke_delay,
            dry_run=options.dry_run,
        )
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _add_size_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="listen address of all servers")
    parser.add_argument("--port", type=port, default=9766, help="port of the exporter; 0 for any free port")
    parser.add_argument(
        "--coder-port", type=port, default=0, help="port of the simulated Coder; 0 for any free port"
    )
    _add_metrics_port_option(parser)
    parser.add_argument("--interval", type=positive_seconds, default=60.0, help="seconds between polls")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from insights_exporter import demo  # noqa: PLC0415  # Loaded by this command only.

    size = demo.DemoSize(options.templates, options.users, options.seed)
    return asyncio.run(demo.demo(size, options))


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    _add_size_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="listen address")
    parser.add_argument("--port", type=port, default=3000, help="port; 0 for any free port")
    _add_metrics_port_option(parser)
    parser.add_argument(
        "--postgres",
        metavar="DSN",
        help="also write agent reports to this database, which must be empty or written by the simulator",
    )
    parser.add_argument(
        "--postgres-form",
        choices=("columns", "session_counts"),
        default="session_counts",
        help="table schema of older releases of Coder (columns) or of newer ones (session_counts)",
    )
    parser.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    from insights_exporter import demo  # noqa: PLC0415  # Loaded by this command only.

    size = demo.DemoSize(options.templates, options.users, options.seed)
    return asyncio.run(demo.simulate(size, options))


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    from insights_exporter.bundle.output import (  # noqa: PLC0415  # Loaded by this command only.
        add_bundle_arguments,
    )

    add_bundle_arguments(parser)


def _add_metrics_port_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics-port",
        type=port,
        default=0,
        help="port of the simulated Coder's own metrics; 0 for any free port",
    )


def _add_size_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--templates", type=int, default=12, help="number of templates")
    parser.add_argument("--users", type=int, default=80, help="number of users")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated deployment")
