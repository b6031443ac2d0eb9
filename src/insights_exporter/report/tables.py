"""The report as tidy tables in CSV (RFC 4180): one row per observation, units in the column names."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from insights_exporter.landing_page.formatting import replace_control_characters
from insights_exporter.report.document import AppRow, LatencyBands, Measure, Report

__all__ = ["TABLES", "render_csv_files"]

Cell: TypeAlias = str | float | None
Row: TypeAlias = Sequence[Cell]
Table: TypeAlias = Callable[[Report], tuple[Row, Iterator[Row]]]
"""Returns the header and the rows, both without the column of the period."""

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""First characters that spreadsheets take for a formula."""

_DECIMALS: Final = 4
_HOUR: Final = 3600.0


def render_csv_files(report: Report) -> dict[str, bytes]:
    """Return the CSV file of each table by name, in UTF-8; the first column is the period."""
    return {f"{name}.csv": _render(report, table) for name, table in TABLES.items()}


def _render(report: Report, table: Table) -> bytes:
    header, rows = table(report)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(("period", *header))
    for row in rows:
        writer.writerow((report.period.name, *map(_cell, row)))
    return buffer.getvalue().encode()


def _cell(value: Cell) -> object:
    """Return a text that no spreadsheet evaluates, or a rounded number; unknown values are empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = str(replace_control_characters(value))
        return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
    rounded = round(value, _DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / _HOUR


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _measure(measure: Measure, convert: Callable[[float | None], float | None] = lambda value: value) -> Row:
    """Return value, previous value and change in per cent."""
    return convert(measure.value), convert(measure.previous), _percent(measure.change)


def _flag(value: bool) -> str:  # noqa: FBT001  # The value to format.
    return "true" if value else "false"


# Tables


def _summary(report: Report) -> tuple[Row, Iterator[Row]]:
    summary = report.summary
    measures: Iterable[tuple[str, str, Row]] = (
        ("active_users", "users", _measure(summary.active_users)),
        ("new_users", "users", _measure(summary.new_users)),
        ("lost_users", "users", (summary.lost_users, None, None)),
        ("usage", "hours", _measure(summary.usage_seconds, _hours)),
        ("usage_per_user", "hours", _measure(summary.usage_seconds_per_user, _hours)),
        ("daily_active_users", "users", _measure(summary.daily_active_users)),
        ("active_days_per_user", "days", _measure(summary.active_days_per_user)),
        ("active_days", "percent", (_percent(summary.active_days_ratio), None, None)),
        ("templates_in_use", "templates", _measure(summary.templates_in_use)),
        ("templates", "templates", (summary.templates, None, None)),
        ("good_latency", "percent", _measure(summary.good_latency_ratio, _percent)),
        ("accounts", "accounts", (summary.accounts, None, None)),
        ("adoption", "percent", (_percent(summary.adoption_ratio), None, None)),
        ("idle_accounts", "accounts", (summary.idle_accounts, None, None)),
        ("seats", "seats", (summary.seats, None, None)),
        ("seats_used", "seats", (summary.seats_used, None, None)),
        ("seats_used_share", "percent", (_percent(summary.seats_ratio), None, None)),
    )
    header = ("measure", "unit", "value", "previous_value", "change_percent")
    return header, ((name, unit, *values) for name, unit, values in measures)


def _weeks(report: Report) -> tuple[Row, Iterator[Row]]:
    header = ("first_day", "last_day", "active_users", "is_over")
    return header, (
        (row.first_day.isoformat(), row.last_day.isoformat(), row.active_users, _flag(row.is_over))
        for row in report.weeks
    )


def _days(report: Report) -> tuple[Row, Iterator[Row]]:
    header = ("day", "active_users", "is_over")
    return header, ((row.day.isoformat(), row.active_users, _flag(row.is_over)) for row in report.days)


_USAGE_COLUMNS: Final = (
    "active_users",
    "previous_active_users",
    "active_users_change_percent",
    "usage_hours",
    "previous_usage_hours",
    "usage_change_percent",
    "usage_share_percent",
    "usage_hours_per_user",
)


def _organizations(report: Report) -> tuple[Row, Iterator[Row]]:
    header = ("organization", *_USAGE_COLUMNS, "templates_in_use", "templates")
    return header, (
        (
            row.organization,
            *_measure(row.active_users),
            *_measure(row.usage_seconds, _hours),
            _percent(row.share),
            _hours(row.usage_seconds_per_user),
            row.templates_in_use,
            row.templates,
        )
        for row in report.organizations
    )


def _templates(report: Report) -> tuple[Row, Iterator[Row]]:
    names = ("organization", "template", "display_name")
    header = (*names, "deprecated", *_USAGE_COLUMNS, "active_days_per_user", "latency_median_milliseconds")
    return header, (
        (
            row.organization,
            row.template,
            row.display_name,
            _flag(row.deprecated),
            *_measure(row.active_users),
            *_measure(row.usage_seconds, _hours),
            _percent(row.share),
            _hours(row.usage_seconds_per_user),
            row.active_days_per_user,
            _milliseconds(row.latency.median_seconds),
        )
        for row in report.templates
    )


def _unused_templates(report: Report) -> tuple[Row, Iterator[Row]]:
    header = ("organization", "template", "display_name")
    return header, ((row.organization, row.template, row.display_name) for row in report.unused_templates)


_APP_COLUMNS: Final = (
    "app",
    "app_type",
    "app_display_name",
    "usage_hours",
    "previous_usage_hours",
    "usage_change_percent",
    "usage_share_percent",
    "opens",
)


def _app_cells(app: AppRow) -> Row:
    return (
        app.slug,
        app.type,
        app.display_name,
        *_measure(app.usage_seconds, _hours),
        _percent(app.share),
        app.opens,
    )


def _apps(report: Report) -> tuple[Row, Iterator[Row]]:
    return _APP_COLUMNS, (_app_cells(app) for app in report.apps)


def _template_apps(report: Report) -> tuple[Row, Iterator[Row]]:
    # Coder is not asked for the apps of each template in the period before.
    columns = [
        index for index, name in enumerate(_APP_COLUMNS) if "previous" not in name and "change" not in name
    ]
    header = ("organization", "template", *(_APP_COLUMNS[index] for index in columns))
    return header, (
        (row.organization, row.template, *(_app_cells(app)[index] for index in columns))
        for row in report.templates
        for app in row.apps
    )


def _latency(report: Report) -> tuple[Row, Iterator[Row]]:
    def rows() -> Iterator[Row]:
        for band, users in _bands(report.latency):
            yield "", "", band, users
        for row in report.templates:
            for band, users in _bands(row.latency):
                yield row.organization, row.template, band, users

    return ("organization", "template", "latency_band", "users"), rows()


def _bands(bands: LatencyBands) -> Iterator[tuple[str, int | None]]:
    yield "good", bands.good
    yield "fair", bands.fair
    yield "slow", bands.slow
    yield "unmeasured", bands.unmeasured


def _parameters(report: Report) -> tuple[Row, Iterator[Row]]:
    header = (
        "organization",
        "template",
        "parameter",
        "parameter_display_name",
        "parameter_type",
        "value",
        "value_display_name",
        "workspaces",
        "is_unused",
    )
    return header, (
        (
            row.organization,
            row.template,
            row.parameter,
            row.parameter_display_name,
            row.type,
            value.value,
            value.display_name,
            value.workspaces,
            _flag(value.is_unused),
        )
        for row in report.parameters
        for value in row.values
    )


def _users(report: Report) -> tuple[Row, Iterator[Row]]:
    header = ("user", "usage_hours", "latency_p50_milliseconds", "latency_p95_milliseconds")
    return header, (
        (
            row.user,
            _hours(row.usage_seconds),
            _milliseconds(row.latency_p50_seconds),
            _milliseconds(row.latency_p95_seconds),
        )
        for row in report.users
    )


def _idle_accounts(report: Report) -> tuple[Row, Iterator[Row]]:
    return ("user",), ((user,) for user in report.idle_accounts)


TABLES: Final[Mapping[str, Table]] = {
    "summary": _summary,
    "active_users_by_week": _weeks,
    "active_users_by_day": _days,
    "organizations": _organizations,
    "templates": _templates,
    "unused_templates": _unused_templates,
    "apps": _apps,
    "template_apps": _template_apps,
    "latency": _latency,
    "parameters": _parameters,
    "users": _users,
    "idle_accounts": _idle_accounts,
}
"""All tables by name."""
