"""A renamed user has one name in the whole exposition after one poll."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS, in_process_exporter

NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)


async def test_rename_changes_every_family_in_one_poll() -> None:
    """Families of users who are active today, in all windows, totals, latencies and the account list."""
    clock = FakeClock(NOW)
    deployment = demo_deployment(Size(3, 10), options=ApiOptions(rate_limit=0))
    settings = Settings(
        coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "yesterday", "30d"))
    )
    async with in_process_exporter(deployment, clock, settings) as exporter:
        samples = await exporter.poll()
        active = {
            username
            for (name, labels), value in samples.items()
            if name == "coder_insights_deployment_user_activity_window_seconds"
            and value
            and dict(labels)["window"] == "today"
            and (username := dict(labels)["username"])
        }
        old_name = min(active)
        old_families = {name for name, labels in samples if ("username", old_name) in labels}
        world = deployment.world
        world.users = tuple(
            replace(user, username="renamed") if user.username == old_name else user for user in world.users
        )
        clock.advance(300)
        samples = await exporter.poll()
    new_families = {name for name, labels in samples if ("username", "renamed") in labels}
    stale = {name for name, labels in samples if ("username", old_name) in labels}

    assert {
        "coder_insights_user_info",
        "coder_insights_user_activity_seconds_total",
        "coder_insights_user_activity_window_seconds",
        "coder_insights_user_latency_p50_seconds",
    } <= old_families
    assert stale == set()
    assert new_families == old_families
