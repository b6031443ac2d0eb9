"""The report of `insights-exporter report`: usage of a month, a quarter or a range of days, read from Coder.

The collector requests a snapshot with two windows: the period and the period before. The builder makes the
document from it, under the privacy rules. The renderer and the tables show the document.
"""

from __future__ import annotations

from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import CoderSettings, Settings
from insights_exporter.privacy import load_username_policy
from insights_exporter.report.builder import ReportBuilder
from insights_exporter.report.collector import ReportCollector
from insights_exporter.report.document import Report
from insights_exporter.report.output import ReportFormat, ReportOutput, WriteError
from insights_exporter.report.period import PeriodRequest
from insights_exporter.report.small_groups import suppress_report

__all__ = [
    "PeriodRequest",
    "Report",
    "ReportFormat",
    "ReportOutput",
    "WriteError",
    "create_report",
    "patient_settings",
]

MIN_TIMEOUT: Final = 300.0
"""Seconds that a request may take: the ranges of a report are longer than those of a poll."""


def patient_settings(settings: CoderSettings) -> CoderSettings:
    """Return the settings of a client for reports, whose requests may take minutes."""
    timeouts = {name: max(getattr(settings, name), MIN_TIMEOUT) for name in ("total_timeout", "read_timeout")}
    return settings.model_copy(update=timeouts)


async def create_report(
    client: CoderClient, settings: Settings, request: PeriodRequest, *, clock: Clock
) -> Report:
    """Return the report of a period.

    Raises ConfigError for a period without data, SecretError if the hash key cannot be read, and
    UpstreamError if a request fails.
    """
    username_policy = load_username_policy(settings.privacy)
    data = await ReportCollector(client, settings, clock=clock).collect(request)
    visible = suppress_report(data, settings.privacy.min_group_size)
    return ReportBuilder(visible, settings, username_policy).build()
