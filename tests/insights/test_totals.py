"""Totals are what Coder counted since the anchor, whoever asks and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.collectors import InsightsCollector
from insights_exporter.config.settings import InsightsSettings, PollSettings
from insights_exporter.filters import Filters
from insights_exporter.snapshot import Inventory, Template, TemplateKey, Totals
from tests.support.clock import FakeClock
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ScriptedCoder, UsageEvent

ANCHOR = date(2026, 1, 1)
START = datetime(2026, 1, 3, 21, 0, 20, tzinfo=UTC)
TEMPLATES = ("go", "rust", "idle")
MAX_DELAY = timedelta(hours=2)
POLL = PollSettings()

SeriesKey = tuple[str, str, str]


class Replica:
    """One exporter that serves totals, and what it served before."""

    def __init__(self, coder: ScriptedCoder, offset: int = 0) -> None:
        self.coder = coder
        self.settings = InsightsSettings(anchor=ANCHOR, utc_offset=offset)
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self.telemetry = RecordingTelemetry()
        self.collector = InsightsCollector(
            self.settings, poll=POLL, filters=Filters(), telemetry=self.telemetry
        )
        self.exported: dict[SeriesKey, float] = {}
        self.poll_count = 0

    async def poll(self) -> dict[SeriesKey, float]:
        """Return all totals by template, kind and name."""
        templates = [Template(name, TemplateKey("acme", name)) for name in TEMPLATES]
        now = self.coder.clock.now()
        result = await self.collector.collect(self.coder, now=now, inventory=Inventory(templates))
        self.poll_count += 1
        exported = to_series("", result.value.deployment.totals)
        for usage in result.value.templates:
            exported |= to_series(usage.key.template_name if usage.key else "", usage.totals)
        return exported


def to_series(name: str, totals: Totals | None) -> dict[SeriesKey, float]:
    """Return one entry per series."""
    assert totals is not None
    series = {(name, "seconds", ""): totals.seconds}
    series |= {(name, "app", slug): seconds for (slug, _), seconds in totals.apps.items()}
    return series | {(name, "user", user): seconds for user, seconds in totals.users.items()}


def expected_totals(coder: ScriptedCoder) -> dict[SeriesKey, float]:
    """Return what has been counted up to now, of one template and of all."""
    now = coder.clock.now()
    totals: dict[SeriesKey, float] = {}
    for entry in (usage for entries in coder.usage_events.values() for usage in entries):
        if entry.used_at.date() < ANCHOR or entry.used_at > now or entry.visible_from > now:
            continue
        for name in ("", entry.template):
            for key in ((name, "seconds", ""), (name, "app", entry.app), (name, "user", entry.user)):
                totals[key] = totals.get(key, 0) + entry.seconds
    return totals


def check_monotonic(
    replica: Replica, exported: dict[SeriesKey, float], expected: dict[SeriesKey, float]
) -> None:
    """Every total is the truth, or 0 once where it appears late; it never falls."""
    for key, value in expected.items():
        appears_late = key not in replica.exported and replica.poll_count > 1
        assert exported[key] == (0 if appears_late else value), key
    for key, value in exported.items():
        assert value >= replica.exported.get(key, 0)
        assert value == 0 or key in expected
    assert replica.exported.keys() <= exported.keys()
    replica.exported = exported


usage_strategy = st.builds(
    lambda template, user, minutes, late, app, seconds: UsageEvent(
        template,
        user,
        START + timedelta(minutes=minutes),
        seconds * 60,
        app,
        START + timedelta(minutes=minutes) + late,
    ),
    template=st.sampled_from(TEMPLATES[:2]),
    user=st.sampled_from(("ada", "bob", "cy")),
    minutes=st.integers(-4 * 1440, 4 * 1440),
    late=st.timedeltas(timedelta(), MAX_DELAY),
    app=st.sampled_from(("vscode", "ssh", "jupyter")),
    seconds=st.integers(1, 30),
)
step_strategy = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 12).map(lambda n: n * 300), st.integers(1, 30).map(lambda n: n * 3600)),
        st.sets(st.sampled_from(("first", "second"))),
        st.sampled_from((None, None, None, "first", "second")),
    ),
    max_size=25,
)


@settings(max_examples=120)
@given(
    happened=st.lists(usage_strategy, max_size=30), steps=step_strategy, offset=st.sampled_from((0, 0, -5, 9))
)
def test_totals_are_exact_on_every_replica(
    happened: Sequence[UsageEvent], steps: Sequence[tuple[int, set[str], str | None]], offset: int
) -> None:
    """Whatever the order of polls, midnights, late data, outages and restarts, totals are exact and agree."""
    coder = ScriptedCoder(FakeClock(START))
    coder.add_usage(*(entry for entry in happened if is_unambiguous(entry, offset)))
    replicas = {"first": Replica(coder, offset), "second": Replica(coder, offset)}

    async def run() -> None:
        for seconds, polling_replicas, restarted_replica in steps:
            coder.clock.advance(seconds)
            if restarted_replica is not None:
                replicas[restarted_replica].restart()
            for name in sorted(polling_replicas):
                check_monotonic(replicas[name], await replicas[name].poll(), expected_totals(coder))
        # Once more without any change, so that nothing waits at 0 and all must agree.
        final_totals = [[await replica.poll() for _ in range(2)][-1] for replica in replicas.values()]
        for exported in final_totals:
            assert {key: value for key, value in exported.items() if value} == expected_totals(coder)

        assert sum(replica.telemetry.corrected_counters for replica in replicas.values()) == 0

    asyncio.run(run())


def is_unambiguous(entry: UsageEvent, offset: int) -> bool:
    """Leave out what lies between the two midnights of the anchor's day, to keep the truth simple."""
    local = entry.used_at + timedelta(hours=offset)
    return (local.date() >= ANCHOR) == (entry.used_at.date() >= ANCHOR)


async def test_decreased_total_is_clamped_and_reported_once() -> None:
    coder = ScriptedCoder(FakeClock(START))
    coder.add_usage(UsageEvent("go", "ada", START - timedelta(minutes=30), 600))
    replica = Replica(coder)
    before = await replica.poll()
    coder.usage_events["go"] = [UsageEvent("go", "ada", START - timedelta(minutes=30), 300)]
    coder.clock.advance(300)
    after = await replica.poll()
    coder.clock.advance(300)
    await replica.poll()

    assert before == after
    # The template and the deployment have each a total of the user, of the app, and of all.
    assert replica.telemetry.corrected_counters == 6


async def test_clamped_total_resumes_increasing() -> None:
    coder = ScriptedCoder(FakeClock(START))
    coder.add_usage(UsageEvent("go", "ada", START - timedelta(minutes=30), 600))
    replica = Replica(coder)
    await replica.poll()
    coder.usage_events["go"] = [UsageEvent("go", "ada", START - timedelta(minutes=30), 300)]
    coder.clock.advance(300)
    await replica.poll()
    coder.add_usage(UsageEvent("go", "ada", START - timedelta(minutes=20), 420))
    coder.clock.advance(300)
    exported = await replica.poll()

    assert exported["go", "user", "ada"] == 720


async def test_totals_reset_when_anchor_changes() -> None:
    """The first of April is a new quarter; what came before is no longer counted."""
    clock = FakeClock(datetime(2026, 3, 31, 23, 55, tzinfo=UTC))
    coder = ScriptedCoder(clock)
    coder.add_usage(UsageEvent("go", "ada", datetime(2026, 3, 31, 9, tzinfo=UTC), 600))
    coder.add_usage(UsageEvent("go", "ada", datetime(2026, 4, 1, 0, 2, tzinfo=UTC), 60))
    replica = Replica(coder)
    replica.settings = InsightsSettings()
    replica.restart()
    before = await replica.poll()
    clock.advance(600)
    after = await replica.poll()

    assert before["go", "user", "ada"] == 600
    assert after["go", "user", "ada"] == 60


async def test_settled_days_are_fetched_once_in_one_range() -> None:
    """Afterwards the day that closes is the one that was open, so no further question is needed."""
    coder = ScriptedCoder(FakeClock(datetime(2026, 2, 10, 12, 0, 20, tzinfo=UTC)))
    for day in range(1, 12):
        coder.add_usage(UsageEvent("go", "ada", datetime(2026, 2, day, 10, tzinfo=UTC), 60))
    replica = Replica(coder)
    await replica.poll()
    backfill_calls = [call for call in coder.calls if call.start == datetime(2026, 1, 1, tzinfo=UTC)]
    coder.calls.clear()
    for _ in range(12 * 24):
        coder.clock.advance(300)
        exported = await replica.poll()
    repeated_calls = [call for call in coder.calls if call.start == datetime(2026, 1, 1, tzinfo=UTC)]

    assert [(call.endpoint, call.template) for call in backfill_calls] == [
        ("report", ""),
        ("activity", ""),
        ("report", "go"),
        ("activity", "go"),
    ]
    assert repeated_calls == []
    assert exported["go", "seconds", ""] == 11 * 60
