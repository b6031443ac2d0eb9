"""An upgrade of Coder after which each client program has a row of its own: Cursor is no longer VS Code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from insights_exporter.app.poller import PollerState
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size, generate_world
from insights_exporter.simulator.options import ApiOptions
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import SeriesKey, in_process_exporter

SIZE = Size(4, 30)
NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)


def rows(samples: Mapping[SeriesKey, float], family: Family, **labels: str) -> dict[str, float]:
    """Return the values of a family by app, summed over templates."""
    values: dict[str, float] = {}
    for (name, pairs), value in samples.items():
        if name == family.name and pairs >= labels.items():
            app = dict(pairs)["app"]
            values[app] = values.get(app, 0.0) + value
    return values


async def test_clients_are_split_without_a_decrease_and_keep_their_family() -> None:
    clock, state = FakeClock(NOW), PollerState()
    world = generate_world(SIZE)
    older, newer = (
        demo_deployment(SIZE, world=world, options=ApiOptions(rate_limit=0, client_apps=client_apps))
        for client_apps in (False, True)
    )
    async with in_process_exporter(older, clock, state=state) as exporter:
        before = await exporter.poll()
    # Reports of unchanged templates are not requested again; within an hour, all have new usage.
    clock.advance(3600)
    async with in_process_exporter(newer, clock, state=state) as exporter:
        after = await exporter.poll()
    families = {
        dict(pairs)["app"]: dict(pairs)["family"]
        for name, pairs in after
        if name == catalogue.APP_INFO.name and ("app_type", "builtin") in pairs
    }
    today = {"window": "today"}
    totals_before, totals_after = (rows(samples, catalogue.TEMPLATE_APP_USAGE) for samples in (before, after))

    assert "cursor" not in rows(before, catalogue.TEMPLATE_APP_USAGE_WINDOW, **today)
    assert rows(after, catalogue.TEMPLATE_APP_USAGE_WINDOW, **today)["cursor"] > 0
    assert {"unknown", "overflow"} <= rows(after, catalogue.TEMPLATE_APP_USAGE_WINDOW, **today).keys()
    assert all(totals_after[app] >= seconds for app, seconds in totals_before.items())
    assert families == {
        "vscode": "vscode",
        "cursor": "vscode",
        "jetbrains": "jetbrains",
        "reconnecting-pty": "reconnecting-pty",
        "ssh": "ssh",
        "sftp": "sftp",
        "unknown": "unknown",
        "overflow": "unknown",
    }


async def test_custom_apps_have_the_family_of_workspace_apps() -> None:
    deployment = demo_deployment(SIZE, options=ApiOptions(rate_limit=0))
    async with in_process_exporter(deployment, FakeClock(NOW)) as exporter:
        samples = await exporter.poll()
    families = {
        dict(pairs)["family"]
        for name, pairs in samples
        if name == catalogue.APP_INFO.name and ("app_type", "app") in pairs
    }

    assert families == {"workspace_app"}
