"""Polls of a simulated Coder: counters, request counts, failures and permissions."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from insights_exporter.app.poller import Poller
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.simulator.api import fault_injection
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.snapshot import Snapshot, TemplateUsage
from insights_exporter.telemetry import Telemetry
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, discard_snapshot, in_process_poller

UNLIMITED = ApiOptions(rate_limit=0)


def polling(
    deployment: SimulatedDeployment, clock: FakeClock, insights: InsightsSettings | None = None
) -> AbstractAsyncContextManager[Poller]:
    """Return a running poller whose snapshots are discarded."""
    settings = Settings(coder=CODER_SETTINGS, insights=insights or InsightsSettings())
    return in_process_poller(deployment, clock, settings, publish=discard_snapshot, telemetry=Telemetry())


async def test_counters_are_exact_over_restarts_and_replicas() -> None:
    """Two replicas, one of which restarts each day, poll all windows for four days and their midnights."""
    clock = FakeClock(datetime(2026, 11, 19, 22, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(4, 12), options=UNLIMITED)
    settings = InsightsSettings(anchor=datetime(2026, 11, 2, tzinfo=UTC).date())
    since = datetime(2026, 11, 2, tzinfo=UTC)
    previous: dict[tuple[object, ...], float] = {}
    async with polling(deployment, clock, settings) as continuous:
        for poll_number in range(16):
            snapshot = await continuous.poll_once()
            if poll_number % 4 == 0:
                async with polling(deployment, clock, settings) as restarted:
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
                    # The known unused apps depend on the workspaces that were seen running.
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
    """Of 60 templates, 6 are used: a poll requests far less than every window of every template."""
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(60, 120, active_templates=6), options=UNLIMITED)
    async with polling(deployment, clock) as poller:
        await poller.poll_once()
        deployment.request_counts.clear()
        for _ in range(12):
            clock.advance(300)
            await poller.poll_once()
    insights_requests = sum(
        count for path, count in deployment.request_counts.items() if path.startswith("/insights/")
    )
    naive_requests = 12 * 60 * (4 * 3 + 2)

    # Each of the 6 templates needs a report and the latency of today in every poll.
    assert insights_requests >= 12 * 6 * 2
    assert insights_requests * 15 <= naive_requests


async def test_window_without_refetch_keeps_identity() -> None:
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    async with polling(demo_deployment(Size(3, 10), options=UNLIMITED), clock) as poller:
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
    """The last good data is served until ``max_staleness``, then dropped; other collectors continue."""
    clock = FakeClock(datetime(2026, 11, 24, 14, 3, tzinfo=UTC))
    deployment = demo_deployment(Size(3, 10), options=UNLIMITED)
    async with polling(deployment, clock) as poller:
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
    async with polling(deployment, clock) as poller:
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
    async with polling(deployment, clock) as poller:
        snapshot = await poller.poll_once()
    assert snapshot.insights is not None
    organizations = {usage.key.organization_name for usage in snapshot.insights.value.templates if usage.key}

    assert organizations == {"acme"}
    assert sum(usage.windows[2].seconds for usage in snapshot.insights.value.templates) > 0


async def test_groups_and_new_accounts_take_one_request_an_hour() -> None:
    """Everything but the list of groups is counted from data that the poll has anyway."""
    clock = FakeClock(datetime(2026, 11, 24, 9, 3, tzinfo=UTC))
    size = Size(4, 24)
    world = generate_world(size, today=clock.now().date(), joined=4, left=1)
    deployment = demo_deployment(size, options=ApiOptions(rate_limit=0, user_limit=30), world=world)
    async with polling(deployment, clock) as poller:
        snapshot = await poller.poll_once()
        for _ in range(11):
            clock.advance(300)
            await poller.poll_once()

    everyone = next(group for group in snapshot.groups if group.name == "Everyone")
    month = next(window for window in everyone.windows if window.window == "30d")
    assert snapshot.insights is not None
    deployment_month = next(
        window for window in snapshot.insights.value.deployment.windows if window.window == "30d"
    )
    assert (everyone.members, month.active_users) == (24, deployment_month.active_users)
    assert month.seconds == deployment_month.seconds
    assert snapshot.onboarding is not None
    assert snapshot.onboarding.stages == {
        "created": 4,
        "signed_in": 3,
        "created_workspace": 2,
        "used_workspace": 1,
    }
    assert {reason: len(names) for reason, names in snapshot.onboarding.inactive.items()} == {
        "never_signed_in": 1,
        "no_workspace": 1,
        "unused_workspace": 1,
        "stopped": 1,
    }
    assert deployment.request_counts["/groups"] in {1, 2}
