"""Numbers of a report: equal to Coder's endpoints and to the families of the exporter."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest

from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.models import TemplateInsights, UserActivityReport
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue import OTHER
from insights_exporter.metrics.family import Family
from insights_exporter.report import PeriodRequest, Report
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size
from insights_exporter.simulator.usage import UserDay
from insights_exporter.simulator.world import World
from tests.report.report_harness import (
    NOW,
    OCTOBER,
    create,
    create_blocking,
    create_everything_at,
    deployment_of,
    report_settings,
)
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, SeriesKey, in_process_exporter
from tests.support.in_process_session import in_process_session

WINDOW_DAYS = {"7d": 7, "30d": 30}
TUESDAY = datetime(2026, 11, 24, 14, 7, tzinfo=UTC)
SEPTEMBER_1, OCTOBER_1, NOVEMBER_1 = (datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10, 11))


@pytest.fixture(scope="module")
def deployment() -> SimulatedDeployment:
    return deployment_of(Size(templates=7, users=24))


@pytest.fixture(scope="module")
def october(deployment: SimulatedDeployment) -> Report:
    return create_blocking(deployment)


async def request_directly(
    deployment: SimulatedDeployment, start: datetime, end: datetime, template_id: str = ""
) -> tuple[TemplateInsights, UserActivityReport]:
    """Return Coder's own responses of a range."""
    clock = FakeClock(NOW)
    deployment.now = clock.now
    ids = (template_id,) if template_id else ()
    async with CoderClient(CODER_SETTINGS, clock=clock, session=in_process_session(deployment)) as client:
        insights = await client.template_insights(
            start, end, template_ids=ids, interval="day", sections=("report", "interval_reports")
        )
        return insights, await client.user_activity(start, end, template_ids=ids)


# Coder's endpoints


async def test_headline_numbers_are_those_of_coder(deployment: SimulatedDeployment, october: Report) -> None:
    insights, activity = await request_directly(deployment, OCTOBER_1, NOVEMBER_1)
    _, previous = await request_directly(deployment, SEPTEMBER_1, OCTOBER_1)
    summary = october.summary
    users, seconds = len(activity.users), sum(user.seconds for user in activity.users)
    previous_seconds = sum(user.seconds for user in previous.users)

    assert insights.report is not None
    assert summary.active_users.value == users == insights.report.active_users
    assert summary.active_users.previous == len(previous.users)
    assert summary.usage_seconds.value == seconds
    assert summary.usage_seconds.change == pytest.approx(seconds / previous_seconds - 1)
    assert summary.usage_seconds_per_user.value == pytest.approx(seconds / users)
    assert summary.lost_users == len(_ids(previous) - _ids(activity))
    days = [row.active_users for row in insights.interval_reports]
    assert [row.active_users for row in october.days] == days
    assert summary.active_days_per_user.value == pytest.approx(sum(days) / users)
    assert summary.daily_active_users.value == pytest.approx(sum(days) / 31)


async def test_templates_are_those_of_coder(deployment: SimulatedDeployment, october: Report) -> None:
    assert october.templates
    for template in deployment.world.templates:
        insights, activity = await request_directly(deployment, OCTOBER_1, NOVEMBER_1, template.id)
        rows = [
            row
            for row in october.templates
            if (row.organization, row.template) == (template.organization.name, template.name)
        ]
        if not activity.users:
            assert rows == []
            continue
        assert insights.report is not None
        assert rows[0].active_users.value == len(activity.users)
        assert rows[0].usage_seconds.value == sum(user.seconds for user in activity.users)
        used = {app.slug: app.seconds for app in insights.report.apps_usage if app.seconds}
        assert {app.slug: app.usage_seconds.value for app in rows[0].apps} == used


async def test_apps_are_those_of_coder(deployment: SimulatedDeployment, october: Report) -> None:
    insights, _ = await request_directly(deployment, OCTOBER_1, NOVEMBER_1)

    assert insights.report is not None
    expected: dict[str, int] = {}
    for app in insights.report.apps_usage:
        expected[app.slug] = expected.get(app.slug, 0) + app.seconds
    assert {row.slug: row.usage_seconds.value for row in october.apps} == {
        slug: seconds for slug, seconds in expected.items() if seconds
    }
    assert sum(row.share or 0 for row in october.apps) == pytest.approx(1)
    assert {row.slug for row in october.apps if row.opens is None} <= {
        "vscode",
        "jetbrains",
        "ssh",
        "reconnecting-pty",
    }


def test_weeks_are_those_of_the_events(deployment: SimulatedDeployment, october: Report) -> None:
    assert october.weeks[0].first_day == date(2026, 8, 31)
    for week in october.weeks:
        assert week.active_users == len(_active_users(deployment.world, week.first_day, week.last_day))


def test_users_of_an_organization_count_once(deployment: SimulatedDeployment, october: Report) -> None:
    world = deployment.world
    for row in october.organizations:
        users = {
            user_day.user
            for days in range(31)
            for user_day in world.usage(date(2026, 10, 1) + timedelta(days=days))
            if user_day.active_mask
            and world.templates[user_day.template].organization.name == row.organization
        }
        assert row.active_users.value == len(users)
    assert sum(row.active_users.value or 0 for row in october.organizations) > len(
        _active_users(world, date(2026, 10, 1), date(2026, 10, 31))
    )


async def test_accounts_and_seats_are_those_of_the_exporter(
    same_windows: ExporterAndReports, october: Report
) -> None:
    values = {(name, *dict(labels).values()): value for (name, labels), value in same_windows.series.items()}

    assert october.summary.accounts == values[catalogue.USERS.name, "active"]
    assert october.summary.seats == values[catalogue.LICENSE_FEATURE_LIMIT.name, "user_limit"]
    assert october.summary.seats_used == values[catalogue.LICENSE_FEATURE_USED.name, "user_limit"]


async def test_new_users_had_no_earlier_usage(
    deployment: SimulatedDeployment, october: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    newcomer = _active_users(deployment.world, date(2026, 10, 1), date(2026, 10, 31)).pop()
    usage_on = GeneratedWorld.usage_on

    def usage_without_newcomer(world: GeneratedWorld, day: date) -> Iterable[UserDay]:
        return [row for row in usage_on(world, day) if row.user != newcomer or day >= date(2026, 10, 1)]

    monkeypatch.setattr(GeneratedWorld, "usage_on", usage_without_newcomer)
    report = await create(deployment_of(Size(templates=7, users=24)))

    assert october.summary.new_users.value == 0
    assert report.summary.new_users.value == 1
    assert report.summary.new_users.previous == 0
    assert report.summary.active_users.previous == (october.summary.active_users.previous or 0) - 1


# The exporter's families


def values_of(
    series: Mapping[SeriesKey, float], family: Family, *labels: str, window: str
) -> dict[tuple[str, ...], float]:
    """Return the values of a family by labels."""
    found = ((dict(labels_of), value) for (name, labels_of), value in series.items() if name == family.name)
    return {tuple(row[label] for label in labels): value for row, value in found if row["window"] == window}


@dataclass(frozen=True)
class ExporterAndReports:
    """The exporter's samples, and reports of its windows."""

    series: Mapping[SeriesKey, float]
    reports: Mapping[str, Report]


@pytest.fixture(scope="module")
def same_windows(deployment: SimulatedDeployment) -> ExporterAndReports:
    async def collect() -> ExporterAndReports:
        settings = Settings(coder=CODER_SETTINGS, insights=InsightsSettings(windows=tuple(WINDOW_DAYS)))
        async with in_process_exporter(deployment, FakeClock(TUESDAY), settings) as exporter:
            series = await exporter.poll()
        reports = {}
        for window, days in WINDOW_DAYS.items():
            first_day = (TUESDAY - timedelta(days=days - 1)).date()
            reports[window] = await create(deployment, PeriodRequest(first_day=first_day), now=TUESDAY)
        return ExporterAndReports(series, reports)

    return asyncio.run(collect())


@pytest.mark.parametrize("window", WINDOW_DAYS)
def test_numbers_equal_the_families_of_the_exporter(same_windows: ExporterAndReports, window: str) -> None:
    series, report = same_windows.series, same_windows.reports[window]

    def exported(family: Family, *labels: str) -> dict[tuple[str, ...], float]:
        return {
            key: value for key, value in values_of(series, family, *labels, window=window).items() if value
        }

    template_labels = "organization_name", "template_name"
    rows = {(row.organization, row.template): row for row in report.templates if row.usage_seconds.value}
    assert exported(catalogue.TEMPLATE_UNIQUE_USERS, *template_labels) == {
        key: row.active_users.value for key, row in rows.items()
    }
    assert exported(catalogue.TEMPLATE_USAGE_WINDOW, *template_labels) == {
        key: row.usage_seconds.value for key, row in rows.items()
    }
    assert exported(catalogue.TEMPLATE_APP_USAGE_WINDOW, *template_labels, "app") == {
        (*key, app.slug): app.usage_seconds.value for key, row in rows.items() for app in row.apps
    }
    assert exported(catalogue.TEMPLATE_APP_OPENS, *template_labels, "app") == {
        (*key, app.slug): app.opens for key, row in rows.items() for app in row.apps if app.opens
    }
    assert exported(catalogue.DEPLOYMENT_UNIQUE_USERS) == {(): report.summary.active_users.value}
    assert exported(catalogue.DEPLOYMENT_APP_USAGE_WINDOW, "app") == {
        (app.slug,): app.usage_seconds.value for app in report.apps if app.usage_seconds.value
    }
    assert exported(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, "username") == {
        (row.user,): row.usage_seconds for row in report.users
    }
    latency = values_of(series, catalogue.USER_LATENCY_P50, *template_labels, "username", window=window)
    for key, row in rows.items():
        medians = [value for (*template, _), value in latency.items() if tuple(template) == key]
        bands = (
            sum(value < 0.15 for value in medians),
            sum(0.15 <= value < 0.3 for value in medians),
            sum(value >= 0.3 for value in medians),
        )
        assert (row.latency.good, row.latency.fair, row.latency.slow) == bands


def test_parameters_equal_the_families_of_the_exporter(same_windows: ExporterAndReports) -> None:
    series, report = same_windows.series, same_windows.reports["30d"]
    labels = "organization_name", "template_name", "parameter_name", "parameter_value"
    exported = values_of(series, catalogue.TEMPLATE_PARAMETER_WORKSPACES, *labels, window="30d")

    reported = {
        (row.organization, row.template, row.parameter, OTHER if value.value is None else value.value): (
            value.workspaces
        )
        for row in report.parameters
        for value in row.values
    }

    assert reported
    # The report also shows a boolean that nobody chose, and leaves out templates without a build.
    assert {key: value for key, value in reported.items() if value} == {
        key: value for key, value in exported.items() if value
    }
    unused = {key for key, value in reported.items() if not value}
    assert unused
    assert all(exported.get(key, 0) == 0 for key in unused)


# Periods at the edge of the data


async def test_month_that_is_not_over_says_so(deployment: SimulatedDeployment) -> None:
    report = await create(deployment, PeriodRequest(month="2026-11"), now=TUESDAY)

    assert not report.is_over
    (note,) = report.notes
    assert note == (
        "The period is not over. The report covers 1 to 24 November 2026 and compares with "
        "1 to 24 October 2026."
    )
    assert [row.is_over for row in report.days] == [True] * 23 + [False]
    assert report.weeks[-1].is_over is False
    assert report.weeks[-1].active_users == len(
        _active_users(deployment.world, date(2026, 11, 23), date(2026, 11, 24), until=TUESDAY)
    )


async def test_first_month_of_a_deployment_has_no_comparison() -> None:
    deployment = deployment_of()
    create_everything_at(deployment, datetime(2026, 9, 10, tzinfo=UTC))
    report = await create(deployment)

    assert report.previous_period is None
    assert report.summary.active_users.value
    assert report.summary.active_users.previous is None
    assert report.summary.usage_seconds.change is None
    assert report.notes == (
        "Coder's oldest account or template is from 2026-09-10: there is no complete period to compare with.",
    )


async def test_month_in_which_a_deployment_began_says_so() -> None:
    deployment = deployment_of()
    create_everything_at(deployment, datetime(2026, 10, 12, tzinfo=UTC))

    report = await create(deployment)

    assert report.notes == (
        "Coder's oldest account or template is from 2026-10-12; there is no earlier usage.",
    )


def test_templates_without_use_are_listed(deployment: SimulatedDeployment, october: Report) -> None:
    listed = [(row.organization, row.template) for row in (*october.templates, *october.unused_templates)]

    assert october.unused_templates
    assert sorted(listed) == sorted(
        (template.organization.name, template.name) for template in deployment.world.templates
    )


async def test_open_source_edition_has_no_seats() -> None:
    report = await create(deployment_of(open_source=True))

    assert report.summary.seats is None
    assert report.summary.seats_used is None
    assert report.summary.active_users.value


async def test_offset_moves_the_days(deployment: SimulatedDeployment) -> None:
    report = await create(deployment, OCTOBER, report_settings(utc_offset=-8))

    assert report.period.start == datetime(2026, 10, 1, 8, tzinfo=UTC)
    assert len(report.days) == 31
    assert sum(row.active_users or 0 for row in report.days) > 0


def _ids(report: UserActivityReport) -> set[str]:
    return {user.user_id for user in report.users}


def _active_users(
    world: World, first_day: date, last_day: date, *, until: datetime | None = None
) -> set[int]:
    """Return the users with usage on the days, according to the events."""
    start = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
    end = datetime(last_day.year, last_day.month, last_day.day, tzinfo=UTC) + timedelta(days=1)
    end = end if until is None else until.replace(minute=0)
    days = (first_day + timedelta(days=count) for count in range((last_day - first_day).days + 1))
    users: set[int] = set()
    for day in days:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        minutes = int((end - max(start, midnight)).total_seconds() // 60)
        mask = (1 << max(0, min(1440, minutes))) - 1
        users |= {user_day.user for user_day in world.usage(day) if user_day.active_mask & mask}
    return users
