"""Agent statistics of the past, from a real PostgreSQL: what a live exporter would have served."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from insights_exporter.backfill.agent_history import STATE_FILE_NAME
from insights_exporter.backfill.journal import BackfillError, Journal
from insights_exporter.config.settings import (
    FilterSettings,
    NameFilter,
    PrivacySettings,
    UsernameMode,
)
from insights_exporter.secrets import LiteralSecret, Secret
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.backfill.agent_history_harness import (
    CUMULATIVE_NAMES,
    END,
    HASHED,
    MIDNIGHT,
    NOW,
    OLDEST,
    SINCE,
    Coder,
    Series,
    agent_samples,
    read_files,
    scrape_of_new_exporter,
    served,
)
from tests.support.backfill import read_samples
from tests.support.exposition_parsing import parse_series
from tests.support.history import create_blocks
from tests.support.history_recorder import to_timestamped_samples
from tests.support.network import free_port
from tests.support.postgres import Postgres, postgres, postgres_server
from tests.support.prometheus import Prometheus

__all__ = ["postgres", "postgres_server"]


@pytest.fixture
def coder(postgres: Postgres) -> Coder:
    return Coder(demo_deployment(Size(templates=3, users=8)), postgres, postgres.new_database())


@pytest.fixture(scope="module")
def past(postgres_server: Postgres) -> Iterator[Coder]:
    with postgres_server.lease_databases():
        deployment = demo_deployment(Size(templates=3, users=8))
        coder = Coder(deployment, postgres_server, postgres_server.new_database())
        asyncio.run(coder.insert(OLDEST, NOW, create=True))
        yield coder


@pytest.fixture(scope="module")
def written(past: Coder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a backfill."""
    folder = tmp_path_factory.mktemp("written")
    asyncio.run(past.backfill(folder))
    return folder


@pytest.mark.parametrize(
    "overrides",
    [
        {},
        {"privacy": HASHED, "filters": FilterSettings(users=NameFilter(deny=("a*",)))},
        {"privacy": PrivacySettings(users=UsernameMode.OFF)},
    ],
    ids=["named", "hashed", "off"],
)
async def test_equals_what_a_live_exporter_served(
    overrides: dict[str, object], coder: Coder, tmp_path: Path
) -> None:
    settings = coder.settings(**overrides)
    collector = coder.collector(settings)
    await coder.insert(OLDEST, SINCE, create=True)
    live: dict[datetime, Series] = {}
    time = SINCE
    while time <= END:
        coder.postgres.freeze_clock(coder.database, time)
        collector.close()
        assert await collector.read_once()
        # A new series begins with a 0, one reading before its value.
        assert await collector.read_once()
        live[time] = {
            key: value
            for key, value in parse_series(await served(collector, settings)).items()
            if not key[0].endswith("_created")
        }
        following = time + timedelta(hours=3)
        await coder.insert(time, following)
        time = following
    collector.close()
    coder.postgres.unfreeze_clock(coder.database)
    await coder.insert(END + timedelta(hours=3), NOW)

    past = agent_samples(await coder.backfill(tmp_path, settings=settings))

    assert len(live) == 8
    for time, series in live.items():
        at_time = {
            key: values[time.timestamp()] for key, values in past.items() if time.timestamp() in values
        }
        # A counter that appears at the next time has a 0.
        at_time = {key: value for key, value in at_time.items() if value or key in series}
        # Sums of seconds depend on the order of their terms.
        assert at_time == pytest.approx(series, rel=1e-12)
    assert sum(live[END].values()) > 0


def test_samples_begin_where_all_reports_are_held_and_end_with_the_backfill(written: Path) -> None:
    samples = agent_samples(read_files(written))
    times = sorted({time for values in samples.values() for time in values})
    by_user = {
        time
        for (name, _), values in samples.items()
        if name.endswith("session_seconds_total")
        for time in values
    }

    assert (times[0], times[-1]) == (SINCE.timestamp(), END.timestamp())
    assert {later - earlier for earlier, later in pairwise(times)} == {600}
    assert {time % 3600 for time in by_user} == {0}


def test_cumulative_series_begin_with_zero_and_never_decrease(written: Path) -> None:
    samples = agent_samples(read_files(written))
    cumulative = {key: values for key, values in samples.items() if key[0] in CUMULATIVE_NAMES}

    assert len(cumulative) > 100
    for values in cumulative.values():
        history = [values[time] for time in sorted(values)]
        assert history[0] == 0
        assert history == sorted(history)


def test_reports_are_read_once_because_coder_deletes_them(coder: Coder, tmp_path: Path) -> None:
    asyncio.run(coder.insert(OLDEST, NOW, create=True))
    complete = asyncio.run(coder.backfill(tmp_path / "complete"))
    interrupted = tmp_path / "interrupted"

    def stop(_: object, record: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "record_written", stop)
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(coder.backfill(interrupted))
    coder.delete_reports()

    assert asyncio.run(coder.backfill(interrupted)) == complete
    assert not list((interrupted / "journal").glob("*.gz"))


async def test_a_new_exporter_continues_the_counters_from_the_state_file(past: Coder, written: Path) -> None:
    live = parse_series(await scrape_of_new_exporter(past, written))
    before = {
        key: values[END.timestamp()]
        for key, values in agent_samples(read_files(written)).items()
        if key[0] in CUMULATIVE_NAMES and END.timestamp() in values
    }

    assert before.keys() <= live.keys()
    assert all(live[key] >= value for key, value in before.items())
    received = sum(
        value for (name, _), value in live.items() if name == "coder_insights_agent_received_bytes_total"
    )
    assert received == past.total("sum(rx_bytes)", SINCE, NOW)


def test_increases_over_midnight_and_the_seam_equal_the_reports(
    past: Coder, written: Path, tmp_path: Path
) -> None:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        pytest.skip("prometheus is not installed.")
    for path in sorted(written.glob("*.openmetrics")):
        create_blocks(path, tmp_path / "data")
    live = asyncio.run(scrape_of_new_exporter(past, written))
    samples = to_timestamped_samples(live, NOW, job="coder-insights", instance="localhost:9766")
    (tmp_path / "live").write_bytes(samples + b"# EOF\n")
    create_blocks(tmp_path / "live", tmp_path / "data")

    with Prometheus.run(tmp_path / "data") as prometheus:

        def value(query: str, time: datetime) -> float:
            ((_, ((_, number),)),) = prometheus.query(query, time)
            return number

        resets = {name: value(f"max(resets({name}[2d]))", NOW) for name in CUMULATIVE_NAMES}
        observed = value(_rise("coder_insights_connection_latency_seconds_count", MIDNIGHT, END), END)
        received = value(_rise("coder_insights_agent_received_bytes_total", END, NOW), NOW)

    assert resets == dict.fromkeys(CUMULATIVE_NAMES, 0)
    is_observation = "connection_median_latency_ms > 0 AND NOT usage AND session_counts <> '{}'"
    assert observed == past.total("count(*)", MIDNIGHT, END, where=is_observation) > 0
    assert received == past.total("sum(rx_bytes)", END, NOW) > 0


async def test_the_command_says_what_is_included(past: Coder, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (dry_run,) = await past.command(folder, dry_run=True)
    assert not folder.exists()
    summary, agents = await past.command(folder)
    repeated = await past.command(folder)
    without, *more = await past.command(tmp_path / "without", with_agent_stats=False)

    assert (
        agents
        == repeated[1]
        == (
            "Agent statistics from 2026-10-06T15:00:00+00:00 to 2026-10-07T12:00:00+00:00 are included. If "
            f"{folder / STATE_FILE_NAME} is agent_stats.state_file at the first start of the exporter, "
            "its counters continue."
        )
    )
    assert more == []
    assert series_of(dry_run) == pytest.approx(series_of(summary), rel=0.1)
    assert series_of(without) < series_of(summary) - 300


def series_of(line: str) -> int:
    """Return the number of series in a line."""
    match = re.search(r"(\d+) series", line)
    assert match is not None
    return int(match[1])


async def test_days_without_reports_have_no_agent_statistics(coder: Coder, tmp_path: Path) -> None:
    await coder.insert(NOW - timedelta(hours=1), NOW, create=True)

    _, agents = await coder.command(tmp_path)

    assert agents == "Agent statistics were left out: Coder holds no agent reports of these days."
    assert agent_samples(read_files(tmp_path)) == {}
    assert not (tmp_path / STATE_FILE_NAME).exists()


async def test_small_groups_leave_agent_statistics_out(past: Coder, tmp_path: Path) -> None:
    privacy = PrivacySettings(users=UsernameMode.OFF, min_group_size=2)

    assert agent_samples(await past.backfill(tmp_path, past.settings(privacy=privacy))) == {}


async def test_client_programs_are_described_as_apps(past: Coder, tmp_path: Path) -> None:
    settings = past.settings()
    agent_stats = settings.agent_stats.model_copy(update={"by_client": True})

    files = await past.backfill(tmp_path, settings.model_copy(update={"agent_stats": agent_stats}))
    apps = {dict(labels)["app"] for _, labels in agent_samples(files) if "app" in dict(labels)}
    described = {
        dict(labels)["app"]
        for (name, labels) in read_samples([files["2026-10-06.openmetrics"]])
        if name == "coder_insights_app_info"
    }

    assert "cursor" in apps
    assert apps <= described


async def test_an_unreachable_database_is_one_clear_line(past: Coder, tmp_path: Path) -> None:
    dsn = LiteralSecret(Secret(f"postgresql://postgres@127.0.0.1:{free_port()}/coder"))
    agent_stats = past.settings().agent_stats.model_copy(update={"dsn": dsn})

    with pytest.raises(BackfillError) as error:
        await past.backfill(tmp_path, past.settings(agent_stats=agent_stats))

    assert re.fullmatch(
        r"agent statistics: The database cannot be reached: .+\. With --no-agent-stats, they are left out\. "
        r"0 of 3 days are written; the same command continues\.",
        str(error.value),
    )


def _rise(name: str, start: datetime, end: datetime) -> str:
    """Return the query for the rise of all series, whose samples are at both times or begin with 0."""
    # A second more includes the sample at the start.
    range_ = f"{(end - start).seconds + 1}s"
    return f"sum(max_over_time({name}[{range_}]) - min_over_time({name}[{range_}]))"
