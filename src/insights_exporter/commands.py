"""The commands `run`, `check`, `report`, `backfill` and `token rotate`; none of them loads the simulator."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import structlog

from insights_exporter import check as checks
from insights_exporter import logging as exporter_logging
from insights_exporter.app.application import Application
from insights_exporter.app.poller import Poller
from insights_exporter.clock import SystemClock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.errors import InvalidConfigError
from insights_exporter.config.loading import load
from insights_exporter.config.schema import environment_variable
from insights_exporter.config.secret_settings import exposed_secret_files
from insights_exporter.config.settings import Settings
from insights_exporter.errors import ConfigError, ExporterError, UpstreamError
from insights_exporter.interpreter_tuning import tune_gc_and_gil
from insights_exporter.metrics import catalogue
from insights_exporter.privacy import load_username_policy
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry
from insights_exporter.token_rotation import RotationError, TokenRotation

if TYPE_CHECKING:
    from insights_exporter.backfill.options import BackfillOptions
    from insights_exporter.report import PeriodRequest, ReportOutput

logger = structlog.stdlib.get_logger(__name__)

__all__ = [
    "Override",
    "backfill",
    "check",
    "configure_logging",
    "load_settings",
    "print_line",
    "report",
    "rotate_token",
    "run",
]


@dataclass(frozen=True, slots=True)
class Override:
    """A flag of the command line that sets a key of the configuration."""

    flag: str
    key: str
    value: str

    @property
    def variable(self) -> str:
        """The environment variable of the key, which the flag takes precedence over."""
        return environment_variable(self.key)


async def run(
    config: Path | None,
    *,
    overrides: Sequence[Override] = (),
    serve_http: bool = True,
    metrics_path: str = "/metrics",
) -> int:
    """Poll Coder and serve metrics until SIGTERM or SIGINT; return the exit code."""
    settings = load_settings(config, os.environ, overrides)
    configure_logging(settings)
    application = Application(
        settings,
        load=lambda: load_settings(config, os.environ, overrides),
        on_reload=configure_logging,
        serve_http=serve_http,
        metrics_path=metrics_path,
    )
    stop = asyncio.Event()
    application.install_signal_handlers(stop)
    tune_gc_and_gil()
    await application.run(stop)
    return 0


async def check(config: Path | None, *, json: bool, poll: bool) -> int:
    """Print findings about the configuration and the deployment; return the worst severity."""
    settings = load_settings(config, os.environ)
    # Findings report failures; only unhandled exceptions are worth a log event.
    configure_logging(settings, min_level=logging.CRITICAL)
    clock, findings = SystemClock(), []
    async with CoderClient(
        settings.coder, clock=clock, include_server_text=settings.privacy.shows_usernames
    ) as client:

        async def snapshot() -> Snapshot:
            poller = Poller(
                client,
                settings,
                publish=_discard,
                clock=clock,
                random=Random(),
                telemetry=Telemetry(),
            )
            return await poller.poll_once()

        async for finding in checks.run_checks(
            client,
            settings,
            clock=clock,
            username_policy=load_username_policy(settings.privacy),
            poll=snapshot if poll else None,
        ):
            findings.append(finding)
            if not json:
                print_line(checks.format_text(finding))
    if json:
        print_line(checks.format_json(findings))
    return int(checks.worst(findings))


async def report(config: Path | None, request: PeriodRequest, output: ReportOutput) -> int:
    """Write the report of a period; return 1 if Coder or the file system failed."""
    from insights_exporter.report import (  # noqa: PLC0415  # Loaded by this command only.
        WriteError,
        create_report,
        patient_settings,
    )

    settings = load_settings(config, os.environ)
    configure_logging(settings, min_level=logging.CRITICAL)
    output.check()
    clock = SystemClock()
    try:
        async with CoderClient(
            patient_settings(settings.coder),
            clock=clock,
            include_server_text=settings.privacy.shows_usernames,
        ) as client:
            document = await create_report(client, settings, request, clock=clock)
        target = output.write(document)
    except (UpstreamError, WriteError) as error:
        redact = exporter_logging.Redactor(exporter_logging.secret_sources(settings))
        sys.stderr.write(f"report failed: {redact(str(error))}\n")
        return 1
    sys.stderr.writelines(f"{note}\n" for note in document.notes)
    if target is not None:
        print_line(f"{target}: report of {document.period.title}")
    return 0


async def backfill(config: Path | None, options: BackfillOptions) -> int:
    """Write the past of the deployment; return 1 if Coder or the output failed."""
    from insights_exporter.backfill import command  # noqa: PLC0415  # Loaded by this command only.

    settings = load_settings(config, os.environ)
    configure_logging(settings, min_level=logging.CRITICAL)
    clock = SystemClock()
    try:
        async with CoderClient(
            settings.coder, clock=clock, include_server_text=settings.privacy.shows_usernames
        ) as client:
            await command.backfill(client, settings, options, clock=clock, report=print_line)
    except ConfigError:
        raise
    except asyncio.CancelledError:
        sys.stderr.write("backfill stopped: interrupted. The same command continues.\n")
        raise
    except ExporterError as error:
        redact = exporter_logging.Redactor(exporter_logging.secret_sources(settings))
        sys.stderr.write(f"backfill stopped: {redact(str(error))}\n")
        return 1
    return 0


async def rotate_token(
    config: Path | None, *, lifetime: float | None, revoke_delay: float, dry_run: bool
) -> int:
    """Replace the session token in ``coder.token_file``; return 1 if Coder or the file system failed."""
    settings = load_settings(config, os.environ)
    configure_logging(settings, min_level=logging.CRITICAL)
    rotation = TokenRotation(
        settings.coder,
        clock=SystemClock(),
        report=print_line,
        lifetime=lifetime,
        revoke_delay=revoke_delay,
        create_client=partial(CoderClient, include_server_text=settings.privacy.shows_usernames),
    )
    try:
        await rotation.run(dry_run=dry_run)
    except RotationError as error:
        redact = exporter_logging.Redactor(exporter_logging.secret_sources(settings))
        sys.stderr.write(f"{redact(str(error))}\n")
        return 1
    return 0


async def _discard(_: Snapshot) -> None:
    """Ignore the snapshot: `check` needs only the poll's return value."""


def load_settings(
    config: Path | None, environ: Mapping[str, str], overrides: Sequence[Override] = ()
) -> Settings:
    """Return the settings of file, environment and flags; later ones take precedence.

    Raises InvalidConfigError, in which the flag is the location of its invalid value.
    """
    flags = {override.variable: override for override in overrides}
    values = {variable: override.value for variable, override in flags.items()}
    try:
        return load(
            config,
            {**environ, **values},
            family_names={family.name for family in catalogue.CODER_FAMILIES},
        )
    except InvalidConfigError as error:
        problems = [
            replace(problem, location=flags[problem.location].flag) if problem.location in flags else problem
            for problem in error.problems
        ]
        raise InvalidConfigError(problems) from None


def configure_logging(settings: Settings, *, min_level: int = logging.NOTSET) -> None:
    """Configure log events with the settings' format, level and secrets; warn about exposed files."""
    redact = exporter_logging.Redactor(exporter_logging.secret_sources(settings))
    exporter_logging.configure(settings.log, redact=redact, min_level=min_level)
    for key, file in exposed_secret_files(settings):
        logger.warning("secret file is world-readable", key=key, file=str(file))


def print_line(text: str) -> None:
    """Write a line to standard output at once, as it may be a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
