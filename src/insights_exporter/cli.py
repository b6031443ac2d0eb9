"""The command line: thin, every command's work is elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from insights_exporter import __version__, commands
from insights_exporter.bundle.command import add_bundle_arguments as add_bundle
from insights_exporter.config.source import CONFIG_VARIABLE
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor

__all__ = ["main"]

USAGE_ERROR = 2
"""The exit code where the configuration or the command line cannot be used."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigError as error:
        # A token in a wrong place is told of, and not shown.
        sys.stderr.write(f"{Redactor()(str(error))}\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; nothing more can be written, not even at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="insights-exporter", description="Coder's Template Insights for Prometheus and OpenTelemetry."
    )
    parser.add_argument("--version", action="version", version=f"insights_exporter {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="command")
    _add_run(subparsers.add_parser("run", help="poll Coder and serve metrics"))
    _add_check(subparsers.add_parser("check", help="look for what stands between Coder and its numbers"))
    _add_demo(subparsers.add_parser("demo", help="run against a simulated Coder"))
    _add_simulate(subparsers.add_parser("simulate", help="run a simulated Coder alone"))
    add_bundle(subparsers.add_parser("bundle", help="write dashboards and alert rules, fitted to a site"))
    return parser


def _add_config_option(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get(CONFIG_VARIABLE)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(default) if default else None,
        metavar="FILE",
        help=f"YAML file; default: the variable {CONFIG_VARIABLE}, else the environment alone",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config_option(parser)
    parser.add_argument("--no-serve", action="store_true", help="push only, listen nowhere")
    parser.set_defaults(
        run=lambda options: asyncio.run(commands.run(options.config, serve_http=not options.no_serve))
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="write one JSON document")
    parser.add_argument(
        "--no-poll", action="store_true", help="do not count series, which takes a whole poll"
    )
    parser.set_defaults(
        run=lambda options: asyncio.run(
            commands.check(options.config, json=options.json, poll=not options.no_poll)
        )
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _add_size_options(parser, templates=12, users=80)
    parser.add_argument("--host", default="127.0.0.1", help="the address that all listen at")
    parser.add_argument("--port", type=int, default=9766, help="the exporter's port; 0 for any")
    parser.add_argument("--coder-port", type=int, default=0, help="the simulated Coder's port; 0 for any")
    _add_metrics_port_option(parser)
    parser.add_argument("--interval", type=float, default=60.0, help="seconds between polls")
    parser.set_defaults(run=lambda options: asyncio.run(commands.demo(_demo_size(options), options)))


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    _add_size_options(parser, templates=12, users=80)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at")
    parser.add_argument("--port", type=int, default=3000, help="the port; 0 for any")
    _add_metrics_port_option(parser)
    parser.add_argument(
        "--postgres",
        metavar="DSN",
        help="write agents' reports into this database too, which must be empty or the simulator's own",
    )
    parser.add_argument(
        "--postgres-form",
        choices=("columns", "session_counts"),
        default="session_counts",
        help="how sessions are stored: as older releases of Coder do, or newer ones",
    )
    parser.set_defaults(run=lambda options: asyncio.run(commands.simulate(_demo_size(options), options)))


def _add_metrics_port_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--metrics-port", type=int, default=0, help="the port of the simulated Coder's own metrics; 0 for any"
    )


def _add_size_options(parser: argparse.ArgumentParser, *, templates: int, users: int) -> None:
    parser.add_argument("--templates", type=int, default=templates, help="how many templates there are")
    parser.add_argument("--users", type=int, default=users, help="how many users there are")
    parser.add_argument("--seed", type=int, default=1, help="another number makes up another deployment")


def _demo_size(options: argparse.Namespace) -> commands.DemoSize:
    return commands.DemoSize(options.templates, options.users, options.seed)
