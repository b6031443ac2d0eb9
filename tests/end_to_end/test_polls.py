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

from insights_exporter.coder.settings import CoderSettings
from insights_exporter.poller import Poller
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import InsightsSettings, Settings
from insights_exporter.simulator.api import faults
from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.scenario import load_scenario
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from insights_exporter.snapshot import Snapshot, TemplateUse
from insights_exporter.telemetry import SilentTelemetry
from tests.support.clock import FakeClock
from tests.support.simulated import client_of

GOLDENS = Path(__file__).parents[1] / "goldens"
UNLIMITED = ApiOptions(rate_limit=0)


async def ignored(_: Snapshot) -> None:
    """Publish nothing."""


@asynccontextmanager
async def poller_of(
    deployment: SimulatedDeployment, clock: FakeClock, settings: InsightsSettings | None = None
) -> AsyncIterator[Poller]:
    configured = Settings(
        coder=CoderSettings(url="http://localhost", token=LiteralSecret(Secret(DEMO_TOKEN))),
        insights=settings or InsightsSettings(),
    )
    async with client_of(deployment, clock=clock) as client:
        yield Poller(
            client,
            configured,
            publish=ignored,
            clock=clock,
            random=Random(1),
            telemetry=SilentTelemetry(),
        )


def use_of(snapshot: Snapshot, name: str) -> TemplateUse:
    assert snapshot.insights is not None
    return next(
        one
        for one in snapshot.insights.value.templates
        if one.key is not None and one.key.template_name == name
    )


def report(name: str, kind: str = "template") -> Any:
    return msgspec.json.decode((GOLDENS / kind / name).read_bytes())


def seconds_of(apps: Any) -> dict[str, tuple[float, int]]:
    return {one["slug"]: (one["seconds"], one["times_used"]) for one in apps if one["seconds"]}


@pytest.mark.parametrize(
    ("template", "golden"),
    [
        ("template1", "multiple_users_and_workspaces_week_first_template.json.golden"),
        ("template2", "multiple_users_and_workspaces_week_second_template.json.golden"),
    ],
)
async def test_a_recorded_week_arrives_in_the_snapshot(template: str, golden: str) -> None:
    """The 7d window of 21 August 2023 is the recorded week up to the hour before its last midnight."""
    now = datetime(2023, 8, 21, 23, 40, tzinfo=UTC)
    world = load_scenario(GOLDENS / "scenario.json", built_at=datetime(2023, 9, 1, tzinfo=UTC))
    deployment = SimulatedDeployment(world, Accounts([Account(token=DEMO_TOKEN)]), lambda: now, UNLIMITED)
    async with poller_of(deployment, FakeClock(now), InsightsSettings(windows=("7d",))) as poller:
        use = use_of(await poller.poll_once(), template)
    expected = report(golden)
    found = {one.slug: (one.seconds, one.opens) for one in use.windows[0].apps if one.seconds}

    assert use.windows[0].active_users == expected["report"]["active_users"]
    assert found == seconds_of(expected["report"]["apps_usage"])
    assert [one["active_users"] for one in reversed(expected["interval_reports"])] == list(use.days)


async def test_recorded_activity_arrives_in_the_snapshot() -> None:
    now = datetime(2023, 8, 21, 23, 40, tzinfo=UTC)
    world = load_scenario(GOLDENS / "scenario.json", built_at=datetime(2023, 9, 1, tzinfo=UTC))
    deployment = SimulatedDeployment(world, Accounts([Account(token=DEMO_TOKEN)]), lambda: now, UNLIMITED)
    async with poller_of(deployment, FakeClock(now), InsightsSettings(windows=("7d",))) as poller:
        snapshot = await poller.poll_once()
    golden = "multiple_users_and_workspaces_week_deployment_wide.json.golden"
    whole, activity = report(golden), report(golden, "user-activity")
    assert snapshot.insights is not None
    use = snapshot.insights.value.deployment

    assert use.windows[0].activity == {one["username"]: one["seconds"] for one in activity["report"]["users"]}
    assert [one["active_users"] for one in reversed(whole["interval_reports"])] == list(use.days)
    assert {one.slug: one.seconds for one in use.windows[0].apps if one.seconds} == {
        slug: seconds for slug, (seconds, _) in seconds_of(whole["report"]["apps_usage"]).items()
    }


async def test_counters_equal_the_truth_over_days_restarts_and_replicas() -> None:
    """Two replicas, one of which is new each day, poll all windows through four days and their midnights."""
    clock = FakeClock(datetime(2026, 11, 19, 22, 3, tzinfo=UTC))
    deployment = stage(Size(4, 12), options=UNLIMITED)
    settings = InsightsSettings(anchor=datetime(2026, 11, 2, tzinfo=UTC).date())
    since = datetime(2026, 11, 2, tzinfo=UTC)
    last: dict[tuple[object, ...], float] = {}
    async with poller_of(deployment, clock, settings) as steady:
        for turn in range(16):
            snapshot = await steady.poll_once()
            if turn % 4 == 0:
                async with poller_of(deployment, clock, settings) as fresh:
                    restarted = await fresh.poll_once()
                for mine, theirs in _pairs(snapshot, restarted):
                    assert mine.totals is not None
                    assert theirs.totals is not None
                    truth = deployment.world.report(
                        since,
                        clock.now(),
                        now=clock.now(),
                        templates=_ids(deployment, mine),
                    )
                    assert sum(truth.user_minutes.values()) * 60 == theirs.totals.seconds
                    # Which unused apps are known depends on which workspaces have been seen running.
                    assert _used(theirs.totals.apps) == _used(mine.totals.apps)
            for key, value in _values(snapshot):
                assert value >= last.get(key, 0.0)
                last[key] = value
            clock.advance(6 * 3600)
    assert sum(last.values()) > 0


def _used(totals: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], float]:
    return {key: value for key, value in totals.items() if value}


def _pairs(one: Snapshot, other: Snapshot) -> list[tuple[TemplateUse, TemplateUse]]:
    assert one.insights is not None
    assert other.insights is not None
    return list(zip(one.insights.value.templates, other.insights.value.templates, strict=True))


def _ids(deployment: SimulatedDeployment, use: TemplateUse) -> frozenset[str]:
    assert use.key is not None
    return frozenset(
        one.id for one in deployment.world.templates if (one.organization.name, one.name) == tuple(use.key)
    )


def _values(snapshot: Snapshot) -> list[tuple[tuple[object, ...], float]]:
    assert snapshot.insights is not None
    found: list[tuple[tuple[object, ...], float]] = []
    for use in (snapshot.insights.value.deployment, *snapshot.insights.value.templates):
        assert use.totals is not None
        found += [((use.key, "app", key), value) for key, value in use.totals.apps.items()]
        found += [((use.key, "user", key), value) for key, value in use.totals.users.items()]
        found.append(((use.key, "all"), use.totals.seconds))
    return found


async def test_idle_templates_cost_no_question() -> None:
    """Of 60 templates 6 are used: the plan asks for far less than every window of every template."""
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = stage(Size(60, 120, active_templates=6), options=UNLIMITED)
    async with poller_of(deployment, clock) as poller:
        await poller.poll_once()
        deployment.calls.clear()
        for _ in range(12):
            clock.advance(300)
            await poller.poll_once()
    insights = sum(count for path, count in deployment.calls.items() if path.startswith("/insights/"))
    naive = 12 * 60 * (4 * 3 + 2)

    assert insights * 15 <= naive


async def test_a_window_that_was_not_asked_for_again_is_the_same_object() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    async with poller_of(stage(Size(3, 10), options=UNLIMITED), clock) as poller:
        first = (await poller.poll_once()).insights
        clock.advance(1200)
        second = (await poller.poll_once()).insights
    assert first is not None
    assert second is not None
    old = {one.window: one for one in first.value.deployment.windows}
    new = {one.window: one for one in second.value.deployment.windows}

    assert new["yesterday"] is old["yesterday"]
    assert new["today"] is not old["today"]


async def test_a_fault_of_the_insights_leaves_the_rest() -> None:
    """What was good stays until it is too old, then it vanishes; the other collectors go on."""
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = stage(Size(3, 10), options=UNLIMITED)
    async with poller_of(deployment, clock) as poller:
        await poller.poll_once()
        for route in ("templates", "user-activity", "user-latency"):
            deployment.faults.on(f"/insights/{route}", faults.Status(status=500))
        clock.advance(300)
        soon = await poller.poll_once()
        clock.advance(1800)
        late = await poller.poll_once()

    assert soon.insights is not None
    assert late.insights is None
    assert late.inventory is not None
    assert late.deployment is not None


async def test_switched_off_statistics_are_told() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = stage(Size(3, 10), options=UNLIMITED)
    deployment.world.collecting = False
    async with poller_of(deployment, clock) as poller:
        snapshot = await poller.poll_once()

    assert snapshot.insights is not None
    assert snapshot.insights.value.collection_enabled is False
    assert snapshot.insights.value.templates == ()


async def test_a_token_of_one_organization_sees_its_templates() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = stage(Size(6, 20), options=UNLIMITED)
    deployment.accounts.change(
        "exporter",
        roles=frozenset({"member"}),
        organization_roles={"acme": frozenset({"organization-admin"})},
    )
    async with poller_of(deployment, clock) as poller:
        snapshot = await poller.poll_once()
    assert snapshot.insights is not None
    found = {one.key.organization_name for one in snapshot.insights.value.templates if one.key}

    assert found == {"acme"}
    assert sum(one.windows[2].seconds for one in snapshot.insights.value.templates) > 0
