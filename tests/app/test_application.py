"""Startup, readiness, pages, reloads and shutdown of the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from insights_exporter.app.application import Application
from insights_exporter.app.runtime import Dependencies, Runtime
from insights_exporter.clock import SystemClock
from insights_exporter.config.settings import (
    AgentStatsSettings,
    AgentStatsSource,
    FilterSettings,
    InsightsSettings,
    LimitSettings,
    NameFilter,
    OtlpSettings,
    PrivacySettings,
    ServerSettings,
    Settings,
    UsernameMode,
)
from insights_exporter.errors import ConfigError
from insights_exporter.metrics import catalogue
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.api.fault_injection import Status
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.snapshot import AgentStats, Timestamped
from insights_exporter.telemetry import Telemetry
from tests.app.exporter_harness import Exporter, make_settings, run_exporter
from tests.landing_page.fakes import fake_snapshot
from tests.support.clock import FakeClock
from tests.support.otlp_receiver import HttpReceiver, http_receiver, translate_to_prometheus
from tests.support.waiting import wait_until


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    async with run_exporter() as running_exporter:
        await wait_until(running_exporter.is_ready)
        yield running_exporter


async def test_every_served_family_is_in_the_catalogue(exporter: Exporter) -> None:
    text = await exporter.metrics()
    status, openmetrics = await exporter.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")

    assert status == 200
    cataloged = {family.base_name for family in catalogue.FAMILIES}
    parsed = parse_openmetrics(openmetrics)  # type: ignore[no-untyped-call]  # Ships no types.
    served = {family.name for family in parsed}
    assert {name for name in served if not name.startswith("process_")} <= cataloged
    assert {
        family.base_name for family in catalogue.CODER_FAMILIES if not family.required_setting
    } - served == set()
    assert sum(1 for _ in parse_text(text)) > 30


async def test_collect_parameter_selects_collectors(exporter: Exporter) -> None:
    text = await exporter.metrics("/metrics?collect[]=deployment")

    assert catalogue.USERS.name in text
    assert catalogue.TEMPLATE_USAGE.name not in text
    assert catalogue.BUILD_INFO.name not in text


async def test_limit_of_coders_time_postpones_requests() -> None:
    """The durations of all requests count; the data of today is complete."""

    def limit(settings: Settings) -> Settings:
        poll = settings.poll.model_copy(update={"max_api_time_ratio": 1e-9})
        return settings.model_copy(update={"poll": poll})

    async with run_exporter(limit) as exporter:
        await wait_until(exporter.is_ready)
        text = await exporter.metrics()
    values = {sample.name: sample.value for family in parse_text(text) for sample in family.samples}

    assert values[catalogue.API_TIME_LIMIT.name] == 1e-9
    assert values[catalogue.POSTPONED_REQUESTS.name] > 0
    assert 0 < values[catalogue.WARM_UP_RATIO.name] < 1


async def test_not_ready_before_first_poll_but_serves_self_metrics() -> None:
    async with run_exporter(prepare=lambda coder: coder.faults.inject("*", Status(status=503))) as exporter:
        status, reason = await exporter.get("/-/ready")
        text = await exporter.metrics()

        assert status == 503
        assert reason
        assert catalogue.BUILD_INFO.name in text
        assert catalogue.TEMPLATE_USAGE.name + "{" not in text


async def test_not_ready_reason_names_failing_collectors() -> None:
    async with run_exporter(prepare=lambda coder: coder.faults.inject("*", Status(status=503))) as exporter:

        async def is_stale() -> bool:
            return "is older than" in (await exporter.get("/-/ready"))[1]

        await wait_until(is_stale)

        status, reason = await exporter.get("/-/ready")
        assert status == 503
        assert "insights: " in reason
        page = (await exporter.get("/"))[1]
        assert "not ready" in page
        assert "no data" in page


async def test_landing_page_and_config_redact_secrets(exporter: Exporter) -> None:
    page = (await exporter.get("/"))[1]
    config = (await exporter.get("/config"))[1]

    assert "ready" in page
    assert "Templates" in page
    assert "url: http://127.0.0.1" in config
    assert DEMO_TOKEN not in page + config


async def test_reload_applies_limits_and_privacy_without_requests_to_coder(
    exporter: Exporter,
) -> None:
    # While Coder is down, a reload can serve only data that was collected before.
    exporter.deployment.faults.inject("*", Status(status=503))
    assert isinstance(exporter.configurations[0], Settings)
    exporter.configurations.append(
        exporter.configurations[0].model_copy(
            update={
                "privacy": PrivacySettings(
                    users=UsernameMode.HASHED, hash_key=LiteralSecret(Secret("0123456789abcdef"))
                ),
                "limits": LimitSettings(families={catalogue.USER_INFO.name: 0}),
            }
        )
    )

    await exporter.application.reload()

    text = await exporter.metrics()
    assert 'username="user-' in text
    assert catalogue.USER_INFO.name + "{" not in text
    assert f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} 1.0" in text


async def test_metrics_path_moves_metrics() -> None:
    async with run_exporter(metrics_path="/probe/metrics") as exporter:
        status, text = await exporter.get("/probe/metrics")
        default_status, _ = await exporter.get("/metrics")

    assert (status, default_status) == (200, 404)
    assert catalogue.BUILD_INFO.name in text


async def test_reload_serves_new_windows_immediately(exporter: Exporter) -> None:
    assert isinstance(exporter.configurations[0], Settings)
    exporter.configurations.append(
        exporter.configurations[0].model_copy(update={"insights": InsightsSettings(windows=("today", "14d"))})
    )

    await exporter.application.reload()

    text = await exporter.metrics()
    assert 'window="14d"' in text
    assert 'window="30d"' not in text


async def test_reload_drops_denied_template_immediately(exporter: Exporter) -> None:
    assert isinstance(exporter.configurations[0], Settings)
    name = exporter.deployment.world.templates[0].name
    assert f'template_name="{name}"' in await exporter.metrics()
    denied = FilterSettings(templates=NameFilter(deny=(name,)))
    exporter.configurations.append(exporter.configurations[0].model_copy(update={"filters": denied}))

    await exporter.application.reload()

    assert f'template_name="{name}"' not in await exporter.metrics()


@pytest.mark.parametrize("status", [200, 500])
async def test_reload_over_http_reports_status_and_metric(exporter: Exporter, status: int) -> None:
    if status == 500:
        exporter.configurations.append(
            ConfigError("exporter.yaml:3: poll.interval: expected more, found less.")
        )

    async with exporter.session.post(exporter.address + "/-/reload") as response:
        assert response.status == status
        text = await response.text()

    assert ("poll.interval" in text) == (status == 500)
    assert (
        f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} {float(status == 200)}" in await exporter.metrics()
    )
    assert await exporter.is_ready()


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: settings.model_copy(
            update={"server": settings.server.model_copy(update={"port": 1})}
        ),
        lambda settings: settings.model_copy(
            update={"coder": settings.coder.model_copy(update={"ca_file": Path(__file__)})}
        ),
        lambda settings: settings.model_copy(
            update={"server": settings.server.model_copy(update={"web_config_file": Path("/none/web.yaml")})}
        ),
    ],
)
async def test_invalid_reload_changes_nothing(
    exporter: Exporter, change: Callable[[Settings], Settings]
) -> None:
    assert isinstance(exporter.configurations[0], Settings)
    before = await exporter.metrics("/metrics?collect[]=insights")
    exporter.configurations.append(change(exporter.configurations[0]))

    with pytest.raises(ConfigError):
        await exporter.application.reload()

    assert await exporter.metrics("/metrics?collect[]=insights") == before
    exporter.configurations.append(exporter.configurations[0])
    await exporter.application.reload()
    assert await exporter.is_ready()


async def test_scrapes_are_consistent_during_reloads(exporter: Exporter) -> None:
    """Reloads alternate between hashed and hidden users; no page mixes both."""
    assert isinstance(exporter.configurations[0], Settings)
    base, key = exporter.configurations[0], LiteralSecret(Secret("0123456789abcdef"))
    hashed = base.model_copy(update={"privacy": PrivacySettings(users=UsernameMode.HASHED, hash_key=key)})
    off = base.model_copy(update={"privacy": PrivacySettings(users=UsernameMode.OFF)})
    exporter.configurations.append(hashed)
    await exporter.application.reload()
    done = asyncio.Event()
    has_usernames = set()

    async def scrape() -> None:
        while not done.is_set():
            text = await exporter.metrics()
            lines = [line for line in text.splitlines() if "username=" in line]
            assert all('username="user-' in line for line in lines)
            assert catalogue.TEMPLATE_USAGE.name in text
            has_usernames.add(bool(lines))

    scraping = asyncio.create_task(scrape())
    for number in range(40):
        exporter.configurations.append(off if number % 2 else hashed)
        await exporter.application.reload()
    done.set()
    await scraping

    assert has_usernames == {True, False}
    assert len(asyncio.all_tasks()) < 20


async def test_port_in_use_fails_startup_with_setting_name(exporter: Exporter) -> None:
    assert isinstance(exporter.configurations[0], Settings)
    port = int(exporter.address.rpartition(":")[2])
    taken = exporter.configurations[0].model_copy(update={"server": ServerSettings(port=port)})

    with pytest.raises(ConfigError, match=r"server\.host, server\.port: expected a free address"):
        await Application(taken).run(asyncio.Event())


async def test_push_only_mode_flushes_on_shutdown() -> None:
    async with serve(demo_deployment(Size(templates=1, users=3))) as url, http_receiver() as otlp_receiver:
        settings = make_settings(url).model_copy(
            update={"otlp": OtlpSettings(enabled=True, endpoint=otlp_receiver.address)}
        )
        application = Application(settings, serve_http=False)
        stop = asyncio.Event()
        task = asyncio.create_task(application.run(stop))
        await wait_until(lambda: bool(otlp_receiver.paths))
        stop.set()
        await task
    exported = {name for name, _ in translate_to_prometheus(otlp_receiver.requests).series}

    assert application.address.result() == ""
    assert {catalogue.TEMPLATE_USAGE.name, catalogue.POLLS.name} <= exported


async def test_neither_serving_nor_pushing_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"otlp\.enabled: expected true"):
        await Application(make_settings("http://127.0.0.1:1"), serve_http=False).run(asyncio.Event())


async def test_reload_switches_otlp_endpoint() -> None:
    async with http_receiver() as first, http_receiver() as second:

        def push_to(target: HttpReceiver) -> Callable[[Settings], Settings]:
            return lambda settings: settings.model_copy(
                update={"otlp": OtlpSettings(enabled=True, endpoint=target.address)}
            )

        async with run_exporter(push_to(first)) as exporter:
            await wait_until(exporter.is_ready)
            assert isinstance(exporter.configurations[0], Settings)
            exporter.configurations.append(push_to(second)(exporter.configurations[0]))
            await exporter.application.reload()

            async def arrived() -> bool:
                return bool(first.paths and second.paths)

            await wait_until(arrived)
            text = await exporter.metrics()

    assert (
        translate_to_prometheus(second.requests).series.keys()
        >= translate_to_prometheus(first.requests[:1]).series.keys()
    )
    assert f'{catalogue.OTLP_EXPORTS.name}{{result="failed"}} 0.0' in text


async def test_invalid_otlp_settings_reject_reload(exporter: Exporter) -> None:
    assert isinstance(exporter.configurations[0], Settings)
    invalid_headers = LiteralSecret(Secret("no pair at all"))
    exporter.configurations.append(
        exporter.configurations[0].model_copy(
            update={"otlp": OtlpSettings(enabled=True, headers=invalid_headers)}
        )
    )

    with pytest.raises(ConfigError, match=r"otlp\.headers: expected comma-separated pairs"):
        await exporter.application.reload()

    assert await exporter.is_ready()


@pytest.mark.parametrize(("enabled", "counted"), [(True, True), (False, False)])
async def test_exponential_buckets_are_counted_only_when_exported(*, enabled: bool, counted: bool) -> None:
    settings = make_settings("http://127.0.0.1:1").model_copy(
        update={
            "agent_stats": AgentStatsSettings(source=AgentStatsSource.CODERD_METRICS),
            "otlp": OtlpSettings(enabled=enabled, exponential_histograms=True),
        }
    )
    dependencies = Dependencies(clock=SystemClock(), random=Random(1), telemetry=Telemetry())
    async with Runtime(settings, dependencies) as runtime:
        state = runtime.poller.state.agent_stats

    assert state is not None
    assert state[1].exponential is counted


async def test_landing_page_shows_warming_up_then_the_age_of_the_data() -> None:
    clock = FakeClock()
    settings = make_settings("http://127.0.0.1:1")
    dependencies = Dependencies(
        clock=clock, random=Random(1), telemetry=Telemetry(), metrics_path="/probe/metrics"
    )
    async with Runtime(settings, dependencies) as runtime:
        before = (await runtime.landing_page()).body.decode()
        await runtime.publish(fake_snapshot(1))
        clock.advance(2 * settings.poll.interval)
        fresh = (await runtime.landing_page()).body.decode()
        clock.advance(1)
        old = (await runtime.landing_page()).body.decode()

    assert "warming up" in before
    assert 'href="probe/metrics"' in before
    assert "warming up" not in fresh
    assert 'class="chip none" title="Time of the insights: 2026-01-14 10:20:00 UTC">data 2 h ago' in fresh
    assert 'class="chip fair" title="Time of the insights: 2026-01-14 10:20:00 UTC">' in old


@pytest.mark.parametrize("poll_first", [True, False])
async def test_poll_and_agent_statistics_published_at_once_do_not_revert_each_other(
    monkeypatch: pytest.MonkeyPatch, *, poll_first: bool
) -> None:
    settings = make_settings("http://127.0.0.1:1").model_copy(
        update={"agent_stats": AgentStatsSettings(source=AgentStatsSource.CODERD_METRICS)}
    )
    clock = FakeClock()
    dependencies = Dependencies(clock=clock, random=Random(1), telemetry=Telemetry())
    old, new = fake_snapshot(1), fake_snapshot(2)
    async with Runtime(settings, dependencies) as runtime:
        await runtime.publish(old)
        clock.advance(60)
        reading = Timestamped(AgentStats(since=clock.now()), clock.now())
        collector = runtime._agent_stats_collector
        assert collector is not None
        monkeypatch.setattr(collector, "current", lambda: reading)
        updates = [runtime.publish(new), runtime._on_agent_stats(reading)]

        await asyncio.gather(*(updates if poll_first else reversed(updates)))

        assert runtime.snapshot is not None
        assert runtime.snapshot.insights is new.insights
        assert runtime.snapshot.agent_stats is reading
