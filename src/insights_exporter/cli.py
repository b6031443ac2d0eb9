"""The command line. Each command imports its modules when it runs, so that `run` loads no simulator."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from insights_exporter import __version__
from insights_exporter.config.schema import CONFIG_VARIABLE
from insights_exporter.config.types import parse_duration
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor

if TYPE_CHECKING:
    from insights_exporter.commands import Override

__all__ = ["main"]

MAX_PORT = 65535

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

RESERVED_PATHS: Final = ("/", "/config", "/-/healthy", "/-/ready", "/-/reload")
"""Paths of other pages, which ``--web.telemetry-path`` must not replace."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _build_parser(with_bundle="bundle" in arguments).parse_args(arguments)
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


def _build_parser(*, with_bundle: bool) -> argparse.ArgumentParser:
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
    _add_token(subparsers.add_parser("token", help="rotate the session token"))
    _add_demo(subparsers.add_parser("demo", help="run the exporter against a simulated Coder"))
    _add_simulate(subparsers.add_parser("simulate", help="run a simulated Coder"))
    bundle = subparsers.add_parser(
        "bundle", help="write dashboards and alert rules customized for your stack"
    )
    if with_bundle:
        _add_bundle(bundle)
    return parser


def _add_config_option(parser: argparse.ArgumentParser, *names: str) -> None:
    default = os.environ.get(CONFIG_VARIABLE)
    parser.add_argument(
        "--config",
        *names,
        dest="config",
        type=Path,
        default=Path(default) if default else None,
        metavar="FILE",
        help=f"configuration file (YAML); default: ${CONFIG_VARIABLE}, or environment variables only",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_config_option(parser, "--config.file")
    parser.add_argument("--no-serve", action="store_true", help="push by OTLP only, without an HTTP server")
    flags = parser.add_argument_group(
        "flags of Prometheus exporters",
        "These flags override the configuration file and environment variables.",
    )
    flags.add_argument(
        "--web.listen-address",
        dest="listen_address",
        type=_listen_address,
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
        type=_metrics_path,
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


def _listen_address(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not port.isdecimal() or (":" in host and not text.startswith("[")):
        raise argparse.ArgumentTypeError(
            f'expected [HOST]:PORT such as ":9766" or "[::1]:9766", got "{text}"'
        )
    return host or "0.0.0.0", port  # noqa: S104  # An empty host means all addresses, as in other exporters.


def _metrics_path(text: str) -> str:
    if (
        not text.startswith("/")
        or text in RESERVED_PATHS
        or not text.isprintable()
        or set(text) & set("{}?# ")
    ):
        raise argparse.ArgumentTypeError(
            f'expected a path such as "/metrics", and none of {", ".join(RESERVED_PATHS)}, got "{text}"'
        )
    return text


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
        type=_duration,
        metavar="DURATION",
        help="lifetime of the new token, such as 90d; default: the lifetime of the old token",
    )
    rotate.add_argument(
        "--revoke-delay",
        type=_duration,
        default=5.0,
        metavar="DURATION",
        help="time from the replacement of the file to the revocation of the old token, in which exporters "
        "read the new token; default: 5s",
    )
    rotate.add_argument("--dry-run", action="store_true", help="print what would be done")
    rotate.set_defaults(run=_rotate_token)


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'expected a duration such as "90d" or "5s", got "{text}"') from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to {MAX_PORT}, got "{text}"')
    return int(text)


def _positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f'expected seconds > 0, got "{text}"')
    return seconds


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
    parser.add_argument("--port", type=_port, default=9766, help="port of the exporter; 0 for any free port")
    parser.add_argument(
        "--coder-port", type=_port, default=0, help="port of the simulated Coder; 0 for any free port"
    )
    _add_metrics_port_option(parser)
    parser.add_argument("--interval", type=_positive_seconds, default=60.0, help="seconds between polls")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from insights_exporter import demo  # noqa: PLC0415  # Loaded by this command only.

    size = demo.DemoSize(options.templates, options.users, options.seed)
    return asyncio.run(demo.demo(size, options))


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    _add_size_options(parser)
    parser.add_argument("--host", default="127.0.0.1", help="listen address")
    parser.add_argument("--port", type=_port, default=3000, help="port; 0 for any free port")
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
        type=_port,
        default=0,
        help="port of the simulated Coder's own metrics; 0 for any free port",
    )


def _add_size_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--templates", type=int, default=12, help="number of templates")
    parser.add_argument("--users", type=int, default=80, help="number of users")
    parser.add_argument("--seed", type=int, default=1, help="seed of the generated deployment")
