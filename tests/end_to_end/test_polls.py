"""The exporter polls a simulated Coder, and its snapshot holds what Coder's page shows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from insights_exporter.app.poller import Poller
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api import fault_injection
from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.scenario import load_scenario
from insights_exporter.snapshot import Snapshot, TemplateUsage
from insights_exporter.telemetry import NullTelemetry
from tests.support.clock import FakeClock
from tests.support.simulated import simulator_client

GOLDENS = Path(__file__).parents[1] / "goldens"
UNLIMITED = ApiOptions(rate_limit=0)


async def discard_snapshot(_: Snapshot) -> None:
    """Publish nothing."""


@asynccontextmanager
async def running_poller(
    deployment: SimulatedDeployment, clock: FakeClock, insights_settings: InsightsSettings | None = None
) -> AsyncIterator[Poller]:
    settings_ = Settings(
        coder=CoderSettings(url="http://localhost", token=LiteralSecret(Secret(DEMO_TOKEN))),
        insights=insights_settings or InsightsSettings(),
    )
    async with simulator_client(deployment, clock=clock) as client:
        yield Poller(
            client,
            settings_,
            publish=discard_snapshot,
            clock=clock,
            random=Random(1),
            telemetry=NullTelemetry(),
        )


def usage_of(snapshot: Snapshot, name: str) -> TemplateUsage:
    assert snapshot.insights is not None
    return next(
        usage
        for usage in snapshot.insights.value.templates
        if usage.key is not None and usage.key.template_name == name
    )


def load_golden(name: str, kind: str = "template") -> Any:
    return msgspec.json.decode((GOLDENS / kind / name).read_bytes())


def app_seconds(apps: Any) -> dict[str, tuple[float, int]]:
    return {row["slug"]: (row["seconds"], row["times_used"]) for row in apps if row["seconds"]}


@pytest.mark.parametrize(
    ("template", "golden"),
    [
        ("template1", "multiple_users_and_workspaces_week_first_template.json.golden"),
        ("template2", "multiple_users_and_workspaces_week_second_template.json.golden"),
    ],
)
async def test_recorded_week_is_in_snapshot(template: str, golden: str) -> None:
    """The 7d window of 21 August 2023 is the recorded week up to the hour before its last midnight."""
    now = datetime(2023, 8, 21, 23, 40, tzinfo=UTC)
    world = load_scenario(GOLDENS / "scenario.json", built_at=datetime(2023, 9, 1, tzinfo=UTC))
    deployment = SimulatedDeployment(world, Accounts([Account(token=DEMO_TOKEN)]), lambda: now, UNLIMITED)
    async with running_poller(deployment, FakeClock(now), InsightsSettings(windows=("7d",))) as poller:
        usage = usage_of(await poller.poll_once(), template)
    expected = load_golden(golden)
    apps = {one.slug: (one.seconds, one.opens) for one in usage.windows[0].apps if one.seconds}

    assert usage.windows[0].active_users == expected["report"]["active_users"]
    assert apps == app_seconds(expected["report"]["apps_usage"])
    assert [one["active_users"] for one in reversed(expected["interval_reports"])] == list(usage.days)


async def test_recorded_activity_is_in_snapshot() -> None:
    now = datetime(2023, 8, 21, 23, 40, tzinfo=UTC)
    world = load_scenario(GOLDENS / "scenario.json", built_at=datetime(2023, 9, 1, tzinfo=UTC))
    deployment = SimulatedDeployment(world, Accounts([Account(token=DEMO_TOKEN)]), lambda: now, UNLIMITED)
    async with running_poller(deployment, FakeClock(now), InsightsSettings(windows=("7d",))) as poller:
        snapshot = await poller.poll_once()
    golden = "multiple_users_and_workspaces_week_deployment_wide.json.golden"
    report_golden, activity_golden = load_golden(golden), load_golden(golden, "user-activity")
    assert snapshot.insights is not None
    usage = snapshot.insights.value.deployment

    assert usage.windows[0].activity == {
        one["username"]: one["seconds"] for one in activity_golden["report"]["users"]
    }
    assert [one["active_users"] for one in reversed(report_golden["interval_reports"])] == list(usage.days)
    assert {one.slug: one.seconds for one in usage.windows[0].apps if one.seconds} == {
        slug: seconds for slug, (seconds, _) in app_seconds(report_golden["report"]["apps_usage"]).items()
    }


async def test_counters_are_exact_over_restarts_and_replicas() -> None:
    """Two replicas, one of which is new each day, poll all windows through four days and their midnights."""
    clock = FakeClock(datetime(2026, 11, 19, 22, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(4, 12), options=UNLIMITED)
    settings = InsightsSettings(anchor=datetime(2026, 11, 2, tzinfo=UTC).date())
    since = datetime(2026, 11, 2, tzinfo=UTC)
    previous: dict[tuple[object, ...], float] = {}
    async with running_poller(deployment, clock, settings) as continuous:
        for poll_number in range(16):
            snapshot = await continuous.poll_once()
            if poll_number % 4 == 0:
                async with running_poller(deployment, clock, settings) as restarted:
                    restarted_snapshot = await restarted.poll_once()
                for left, right in _paired_usages(snapshot, restarted_snapshot):
                    assert left.totals is not None
                    assert right.totals is not None
                    expected = deployment.world.rollup(
                        since,
                        clock.now(),
                        now=clock.now(),
                        templates=_template_ids(deployment, left),
                    )
                    assert sum(expected.user_minutes.values()) * 60 == right.totals.seconds
                    # Which unused apps are known depends on which workspaces have been seen running.
                    assert _nonzero(right.totals.apps) == _nonzero(left.totals.apps)
            for key, value in _total_values(snapshot):
                assert value >= previous.get(key, 0.0)
                previous[key] = value
            clock.advance(6 * 3600)
    assert sum(previous.values()) > 0


def _nonzero(totals: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {key: value for key, value in totals.items() if value}


def _paired_usages(left: Snapshot, right: Snapshot) -> list[tuple[TemplateUsage, TemplateUsage]]:
    assert left.insights is not None
    assert right.insights is not None
    return list(zip(left.insights.value.templates, right.insights.value.templates, strict=True))


def _template_ids(deployment: SimulatedDeployment, usage: TemplateUsage) -> frozenset[str]:
    assert usage.key is not None
    return frozenset(
        template.id
        for template in deployment.world.templates
        if (template.organization.name, template.name) == tuple(usage.key)
    )


def _total_values(snapshot: Snapshot) -> list[tuple[tuple[object, ...], float]]:
    assert snapshot.insights is not None
    values: list[tuple[tuple[object, ...], float]] = []
    for usage in (snapshot.insights.value.deployment, *snapshot.insights.value.templates):
        assert usage.totals is not None
        values += [((usage.key, "app", key), value) for key, value in usage.totals.apps.items()]
        values += [((usage.key, "user", key), value) for key, value in usage.totals.users.items()]
        values.append(((usage.key, "all"), usage.totals.seconds))
    return values


async def test_idle_templates_cost_no_requests() -> None:
    """Of 60 templates 6 are used: the plan asks for far less than every window of every template."""
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(60, 120, active_templates=6), options=UNLIMITED)
    async with running_poller(deployment, clock) as poller:
        await poller.poll_once()
        deployment.request_counts.clear()
        for _ in range(12):
            clock.advance(300)
            await poller.poll_once()
    insights_requests = sum(
        count for path, count in deployment.request_counts.items() if path.startswith("/insights/")
    )
    naive_requests = 12 * 60 * (4 * 3 + 2)

    assert insights_requests * 15 <= naive_requests


async def test_window_without_refetch_keeps_identity() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    async with running_poller(demo_deployment(Size(3, 10), options=UNLIMITED), clock) as poller:
        first = (await poller.poll_once()).insights
        clock.advance(1200)
        second = (await poller.poll_once()).insights
    assert first is not None
    assert second is not None
    old = {window_usage.window: window_usage for window_usage in first.value.deployment.windows}
    new = {window_usage.window: window_usage for window_usage in second.value.deployment.windows}

    assert new["yesterday"] is old["yesterday"]
    assert new["today"] is not old["today"]


async def test_insights_failure_does_not_affect_other_collectors() -> None:
    """What was good stays until it is too old, then it vanishes; the other collectors go on."""
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(3, 10), options=UNLIMITED)
    async with running_poller(deployment, clock) as poller:
        await poller.poll_once()
        for route in ("templates", "user-activity", "user-latency"):
            deployment.faults.inject(f"/insights/{route}", fault_injection.Status(status=500))
        clock.advance(300)
        within_limit = await poller.poll_once()
        clock.advance(1800)
        after_limit = await poller.poll_once()

    assert within_limit.insights is not None
    assert after_limit.insights is None
    assert after_limit.inventory is not None
    assert after_limit.deployment is not None


async def test_disabled_insights_are_reported() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(3, 10), options=UNLIMITED)
    deployment.world.usage_stats_enabled = False
    async with running_poller(deployment, clock) as poller:
        snapshot = await poller.poll_once()

    assert snapshot.insights is not None
    assert snapshot.insights.value.collection_enabled is False
    assert snapshot.insights.value.templates == ()


async def test_organization_token_sees_its_templates() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(6, 20), options=UNLIMITED)
    deployment.accounts.update(
        "exporter",
        roles=frozenset({"member"}),
        organization_roles={"acme": frozenset({"organization-admin"})},
    )
    async with running_poller(deployment, clock) as poller:
        snapshot = await poller.poll_once()
    assert snapshot.insights is not None
    organizations = {usage.key.organization_name for usage in snapshot.insights.value.templates if usage.key}

    assert organizations == {"acme"}
    assert sum(usage.windows[2].seconds for usage in snapshot.insights.value.templates) > 0
