"""Every output of a running configuration with ``privacy.min_group_size``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from insights_exporter.app.runtime import Dependencies, Runtime
from insights_exporter.config.settings import OtlpSettings, PrivacySettings, UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.snapshot import Snapshot
from tests.app.exporter_harness import make_settings
from tests.support.clock import FakeClock
from tests.support.otlp_receiver import http_receiver, translate_to_prometheus
from tests.support.snapshots import NOW, rich_snapshot
from tests.support.waiting import wait_until

MINIMUM = 5


def privacy(minimum: int = MINIMUM) -> PrivacySettings:
    return PrivacySettings(users=UsernameMode.OFF, min_group_size=minimum)


async def metrics_and_page(snapshot: Snapshot, settings: PrivacySettings) -> tuple[str, str]:
    """Return the exposition with self metrics, and the landing page."""
    self_metrics = SelfMetrics(poll_interval=300, process=False)
    dependencies = Dependencies(clock=FakeClock(NOW), random=Random(1), telemetry=self_metrics)
    configuration = make_settings("http://127.0.0.1:1").model_copy(update={"privacy": settings})
    async with Runtime(configuration, dependencies) as runtime:
        await runtime.publish(snapshot)
        body = runtime.exposition.body(Format.TEXT, gzip=False, self_metrics=self_metrics.encode(Format.TEXT))
        page = (await runtime.landing_page()).body.decode()
    self_metrics.shutdown()
    return body.decode(), page


def samples(text: str, family: Family) -> Iterator[Sample]:
    """Yield the samples of a family."""
    for parsed in text_string_to_metric_families(text):
        yield from (sample for sample in parsed.samples if sample.name.startswith(family.name))


@pytest.mark.parametrize(
    "family",
    [
        catalogue.TEMPLATE_ACTIVE_USERS,
        catalogue.TEMPLATE_USERS_WITHOUT_LATENCY,
        catalogue.TEMPLATE_PARAMETER_WORKSPACES,
    ],
    ids=lambda family: family.name,
)
async def test_no_exported_number_of_people_is_below_the_minimum(family: Family) -> None:
    snapshot = rich_snapshot(templates=8, users=9)
    complete, _ = await metrics_and_page(snapshot, privacy(0))
    suppressed, _ = await metrics_and_page(snapshot, privacy())

    before = [sample.value for sample in samples(complete, family)]
    after = [sample.value for sample in samples(suppressed, family)]

    assert any(0 < value < MINIMUM for value in before)
    assert after
    assert [value for value in after if 0 < value < MINIMUM] == []


async def test_each_latency_band_has_no_users_or_enough() -> None:
    suppressed, _ = await metrics_and_page(rich_snapshot(templates=8, users=24), privacy())
    buckets: dict[tuple[str, ...], list[float]] = {}
    for sample in samples(suppressed, catalogue.TEMPLATE_USER_LATENCY):
        if sample.name.endswith("_bucket"):
            labels = tuple(value for label, value in sample.labels.items() if label != "le")
            buckets.setdefault(labels, [0.0]).append(sample.value)

    users = {upper - lower for cumulative in buckets.values() for lower, upper in pairwise(cumulative)}

    assert len(users) > 2
    assert {count for count in users if 0 < count < MINIMUM} == set()


async def test_templates_with_few_users_are_missing_on_the_page_and_counted() -> None:
    snapshot = rich_snapshot(templates=2, users=4)
    text, page = await metrics_and_page(snapshot, privacy())
    _, complete_page = await metrics_and_page(snapshot, privacy(0))
    withheld = {sample.labels["kind"]: sample.value for sample in samples(text, catalogue.ITEMS_WITHHELD)}

    assert list(samples(text, catalogue.TEMPLATE_USAGE)) == []
    assert list(samples(text, catalogue.WORKSPACES)) == []
    assert withheld["template_usage"] > 0
    assert "Visual Studio Code" in complete_page
    assert "Visual Studio Code" not in page


@pytest.mark.parametrize(
    ("users", "note"), [(8, "small groups are withheld"), (9, "outdated, without small groups")]
)
async def test_page_shows_withheld_numbers_as_unknown(users: int, note: str) -> None:
    _, page = await metrics_and_page(rich_snapshot(templates=6, users=users), privacy())
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))

    assert note in text
    assert " 0 of 0 " not in text


async def test_nothing_is_counted_as_withheld_without_a_minimum() -> None:
    text, _ = await metrics_and_page(rich_snapshot(), privacy(0))

    assert list(samples(text, catalogue.ITEMS_WITHHELD)) == []


async def test_agent_statistics_between_polls_are_suppressed_like_those_of_a_poll() -> None:
    dependencies = Dependencies(
        clock=FakeClock(NOW), random=Random(1), telemetry=SelfMetrics(poll_interval=300, process=False)
    )
    configuration = make_settings("http://127.0.0.1:1").model_copy(update={"privacy": privacy()})
    snapshot = rich_snapshot(templates=8, users=24)
    async with Runtime(configuration, dependencies) as runtime:
        await runtime.publish(snapshot)
        first = runtime.exposition.body(Format.TEXT, gzip=False)
        assert snapshot.agent_stats is not None
        await runtime._on_agent_stats(replace(snapshot.agent_stats))
        second = runtime.exposition.body(Format.TEXT, gzip=False)

    assert first == second
    assert catalogue.SESSIONS.name.encode() + b"{" not in first


async def test_pushes_have_no_more_templates_than_scrapes() -> None:
    dependencies = Dependencies(
        clock=FakeClock(NOW), random=Random(1), telemetry=SelfMetrics(poll_interval=300, process=False)
    )
    async with http_receiver() as receiver:
        configuration = make_settings("http://127.0.0.1:1").model_copy(
            update={"privacy": privacy(), "otlp": OtlpSettings(enabled=True, endpoint=receiver.address)}
        )
        async with Runtime(configuration, dependencies) as runtime:
            await runtime.publish(rich_snapshot(templates=8, users=24))
            scraped = runtime.exposition.body(Format.TEXT, gzip=False).decode()
            await wait_until(lambda: bool(receiver.paths))
        pushed = translate_to_prometheus(receiver.requests).series
    family = catalogue.TEMPLATE_UNIQUE_USERS

    assert sorted(value for (name, _), value in pushed.items() if name == family.name) == sorted(
        sample.value for sample in samples(scraped, family)
    )
