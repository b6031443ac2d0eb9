"""How the exporter begins, answers, reads its configuration anew and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from insights_exporter.application import Application
from insights_exporter.clock import SystemClock
from insights_exporter.errors import ConfigError
from insights_exporter.generation import Environment, Generation
from insights_exporter.metrics import catalogue
from insights_exporter.secret import LiteralSecret, Secret
from insights_exporter.settings import (
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
    UserNames,
)
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.faults import Status
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from insights_exporter.telemetry import SilentTelemetry
from tests.application.running import WAIT, Exporter, running, settings_of
from tests.support.otlp import Receiver, receiver, translated


@pytest.fixture
async def exporter() -> AsyncIterator[Exporter]:
    async with running() as one:
        await one.until(one.ready)
        yield one


async def test_every_served_family_is_in_the_catalogue(exporter: Exporter) -> None:
    text = await exporter.metrics()
    status, openmetrics = await exporter.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")

    assert status == 200
    known = {family.stem for family in catalogue.FAMILIES}
    parsed = parse_openmetrics(openmetrics)  # type: ignore[no-untyped-call]  # Ships no types.
    found = {family.name for family in parsed}
    assert {name for name in found if not name.startswith("process_")} <= known
    assert {family.stem for family in catalogue.CODER_FAMILIES if not family.needs} - found == set()
    assert sum(1 for _ in parse_text(text)) > 30


async def test_collectors_can_be_scraped_alone(exporter: Exporter) -> None:
    text = await exporter.metrics("/metrics?collect[]=deployment")

    assert catalogue.USERS.name in text
    assert catalogue.TEMPLATE_USAGE.name not in text
    assert catalogue.BUILD_INFO.name not in text


async def test_before_the_first_poll_ends_the_exporter_is_not_ready_and_tells_of_itself() -> None:
    async with running(prepare=lambda coder: coder.faults.on("*", Status(status=503))) as exporter:
        status, why = await exporter.get("/-/ready")
        text = await exporter.metrics()

        assert status == 503
        assert why
        assert catalogue.BUILD_INFO.name in text
        assert catalogue.TEMPLATE_USAGE.name + "{" not in text


async def test_a_coder_that_is_down_is_named_as_the_reason() -> None:
    async with running(prepare=lambda coder: coder.faults.on("*", Status(status=503))) as exporter:

        async def polled() -> bool:
            return "younger than" in (await exporter.get("/-/ready"))[1]

        await exporter.until(polled)

        status, why = await exporter.get("/-/ready")
        assert status == 503
        assert "insights: " in why
        page = (await exporter.get("/"))[1]
        assert "not ready" in page
        assert "no data" in page


async def test_the_page_and_the_configuration_show_no_secret(exporter: Exporter) -> None:
    page = (await exporter.get("/"))[1]
    config = (await exporter.get("/config"))[1]

    assert "ready" in page
    assert "Templates" in page
    assert "url: http://127.0.0.1" in config
    assert DEMO_TOKEN not in page + config


async def test_reading_anew_replaces_limits_and_names_at_once_without_asking_coder(
    exporter: Exporter,
) -> None:
    before = dict(exporter.coder.calls)
    assert isinstance(exporter.told[0], Settings)
    exporter.told.append(
        replace(
            exporter.told[0],
            privacy=PrivacySettings(
                users=UserNames.HASHED, hash_key=LiteralSecret(Secret("0123456789abcdef"))
            ),
            limits=LimitSettings(families={catalogue.USER_INFO.name: 0}),
        )
    )

    await exporter.application.reload()

    text = await exporter.metrics()
    assert 'username="user-' in text
    assert catalogue.USER_INFO.name + "{" not in text
    assert exporter.coder.calls == before or set(exporter.coder.calls) == set(before)
    assert f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} 1.0" in text


async def test_other_windows_are_served_as_soon_as_they_are_configured(exporter: Exporter) -> None:
    assert isinstance(exporter.told[0], Settings)
    exporter.told.append(replace(exporter.told[0], insights=InsightsSettings(windows=("today", "14d"))))

    await exporter.application.reload()

    text = await exporter.metrics()
    assert 'window="14d"' in text
    assert 'window="30d"' not in text


async def test_a_template_that_is_denied_from_now_on_is_gone_at_once(exporter: Exporter) -> None:
    assert isinstance(exporter.told[0], Settings)
    name = exporter.coder.world.templates[0].name
    assert f'template_name="{name}"' in await exporter.metrics()
    denied = FilterSettings(templates=NameFilter(deny=(name,)))
    exporter.told.append(replace(exporter.told[0], filters=denied))

    await exporter.application.reload()

    assert f'template_name="{name}"' not in await exporter.metrics()


@pytest.mark.parametrize("status", [200, 500])
async def test_reading_anew_over_http_tells_by_status_and_metric(exporter: Exporter, status: int) -> None:
    if status == 500:
        exporter.told.append(ConfigError("exporter.yaml:3: poll.interval: expected more, found less."))

    async with exporter.session.post(exporter.address + "/-/reload") as response:
        assert response.status == status
        text = await response.text()

    assert ("poll.interval" in text) == (status == 500)
    assert (
        f"{catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL.name} {float(status == 200)}" in await exporter.metrics()
    )
    assert await exporter.ready()


@pytest.mark.parametrize(
    "change",
    [
        lambda settings: replace(settings, server=replace(settings.server, port=1)),
        lambda settings: replace(settings, coder=replace(settings.coder, ca_file=Path(__file__))),
        lambda settings: replace(
            settings, server=replace(settings.server, web_config_file=Path("/none/web.yaml"))
        ),
    ],
)
async def test_what_cannot_be_used_changes_nothing(
    exporter: Exporter, change: Callable[[Settings], Settings]
) -> None:
    assert isinstance(exporter.told[0], Settings)
    before = await exporter.metrics("/metrics?collect[]=insights")
    exporter.told.append(change(exporter.told[0]))

    with pytest.raises(ConfigError):
        await exporter.application.reload()

    assert await exporter.metrics("/metrics?collect[]=insights") == before
    exporter.told.append(exporter.told[0])
    await exporter.application.reload()
    assert await exporter.ready()


async def test_scrapes_never_fail_nor_mix_while_the_configuration_changes(exporter: Exporter) -> None:
    """Odd readings hash names, even ones leave users out: no page has both or neither."""
    assert isinstance(exporter.told[0], Settings)
    base, key = exporter.told[0], LiteralSecret(Secret("0123456789abcdef"))
    hashed = replace(base, privacy=PrivacySettings(users=UserNames.HASHED, hash_key=key))
    off = replace(base, privacy=PrivacySettings(users=UserNames.OFF))
    exporter.told.append(hashed)
    await exporter.application.reload()
    done = asyncio.Event()
    kinds = set()

    async def scrape() -> None:
        while not done.is_set():
            text = await exporter.metrics()
            lines = [line for line in text.splitlines() if "username=" in line]
            assert all('username="user-' in line for line in lines)
            assert catalogue.TEMPLATE_USAGE.name in text
            kinds.add(bool(lines))

    scraping = asyncio.create_task(scrape())
    for number in range(40):
        exporter.told.append(off if number % 2 else hashed)
        await exporter.application.reload()
    done.set()
    await scraping

    assert kinds == {True, False}
    assert len(asyncio.all_tasks()) < 20


async def test_a_port_that_is_taken_ends_the_start_with_its_name(exporter: Exporter) -> None:
    assert isinstance(exporter.told[0], Settings)
    port = int(exporter.address.rpartition(":")[2])
    taken = replace(exporter.told[0], server=ServerSettings(port=port))

    with pytest.raises(ConfigError, match=r"server\.host, server\.port: expected a free address"):
        await Application(taken).run(asyncio.Event())


async def test_without_serving_it_pushes_and_flushes_when_it_stops() -> None:
    async with serve(stage(Size(templates=1, users=3))) as url, receiver() as pushed:
        pushing = replace(settings_of(url), otlp=OtlpSettings(enabled=True, endpoint=pushed.address))
        application = Application(pushing, serve=False)
        stop = asyncio.Event()
        task = asyncio.create_task(application.run(stop))
        async with asyncio.timeout(WAIT):
            while not pushed.paths:  # noqa: ASYNC110 - what is waited for is behind HTTP.
                await asyncio.sleep(0.01)
        stop.set()
        await task
    found = {name for name, _ in translated(pushed.requests).series}

    assert application.address.result() == ""
    assert {catalogue.TEMPLATE_USAGE.name, catalogue.POLLS.name} <= found


async def test_who_neither_serves_nor_pushes_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"otlp\.enabled: expected true"):
        await Application(settings_of("http://127.0.0.1:1"), serve=False).run(asyncio.Event())


async def test_pushes_go_on_to_another_receiver_after_reading_anew() -> None:
    async with receiver() as first, receiver() as second:

        def push_to(one: Receiver) -> Callable[[Settings], Settings]:
            return lambda settings: replace(settings, otlp=OtlpSettings(enabled=True, endpoint=one.address))

        async with running(push_to(first)) as exporter:
            await exporter.until(exporter.ready)
            assert isinstance(exporter.told[0], Settings)
            exporter.told.append(push_to(second)(exporter.told[0]))
            await exporter.application.reload()

            async def arrived() -> bool:
                return bool(first.paths and second.paths)

            await exporter.until(arrived)
            text = await exporter.metrics()

    assert translated(second.requests).series.keys() >= translated(first.requests[:1]).series.keys()
    assert f'{catalogue.OTLP_EXPORTS.name}{{result="failed"}} 0.0' in text


async def test_a_push_that_cannot_be_configured_changes_nothing(exporter: Exporter) -> None:
    assert isinstance(exporter.told[0], Settings)
    odd = LiteralSecret(Secret("no pair at all"))
    exporter.told.append(replace(exporter.told[0], otlp=OtlpSettings(enabled=True, headers=odd)))

    with pytest.raises(ConfigError, match=r"otlp\.headers: expected pairs"):
        await exporter.application.reload()

    assert await exporter.ready()


@pytest.mark.parametrize(("enabled", "counted"), [(True, True), (False, False)])
async def test_exponential_buckets_are_counted_only_where_they_are_pushed(
    *, enabled: bool, counted: bool
) -> None:
    settings = replace(
        settings_of("http://127.0.0.1:1"),
        agent_stats=AgentStatsSettings(source=AgentStatsSource.CODERD_METRICS),
        otlp=OtlpSettings(enabled=enabled, exponential_histograms=True),
    )
    environment = Environment(clock=SystemClock(), random=Random(1), telemetry=SilentTelemetry())
    async with Generation(settings, environment) as generation:
        state = generation.poller.state.agent_stats

    assert state is not None
    assert state[1].exponential is counted
