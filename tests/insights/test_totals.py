"""Totals equal what Coder counted since the anchor, on every replica and after every restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.config.settings import InsightsSettings, PollSettings
from insights_exporter.insights.collector import InsightsCollector
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import Inventory, Template, TemplateKey, Totals
from tests.support.clock import FakeClock
from tests.support.monotonic_checker import MonotonicChecker, SeriesKey
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ScriptedCoder, UsageEvent

ANCHOR = date(2026, 1, 1)
START = datetime(2026, 1, 3, 21, 0, 20, tzinfo=UTC)
TEMPLATES = ("go", "rust", "idle")
MAX_DELAY = timedelta(hours=2)
POLL = PollSettings()


class Replica:
    """One exporter and the totals that it exported last."""

    def __init__(self, coder: ScriptedCoder, offset: int = 0) -> None:
        self.coder = coder
        self.settings = InsightsSettings(anchor=ANCHOR, utc_offset=offset)
        self.restart()

    def restart(self) -> None:
        """Restart the process, which loses all state."""
        self.telemetry = RecordingTelemetry()
        self.collector = InsightsCollector(
            self.settings, poll=POLL, filters=Filters(), telemetry=self.telemetry
        )
        self.checker = MonotonicChecker()

    async def poll(self) -> dict[SeriesKey, float]:
        """Return all totals by template, kind and name."""
        templates = [Template(name, TemplateKey("acme", name)) for name in TEMPLATES]
        now = self.coder.clock.now()
        result = await self.collector.collect(self.coder, now=now, inventory=Inventory(templates))
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
    """Return what Coder has counted up to now, by template and for the deployment."""
    now = coder.clock.now()
    totals: dict[SeriesKey, float] = {}
    for entry in (usage for entries in coder.usage_events.values() for usage in entries):
        if entry.used_at.date() < ANCHOR or entry.used_at > now or entry.visible_from > now:
            continue
        for name in ("", entry.template):
            for key in ((name, "seconds", ""), (name, "app", entry.app), (name, "user", entry.user)):
                totals[key] = totals.get(key, 0) + entry.seconds
    return totals


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
    """Totals are exact and equal for any order of polls, midnights, late data, outages and restarts."""
    coder = ScriptedCoder(FakeClock(START))
    coder.add_usage(*(entry for entry in happened if is_unambiguous(entry, offset)))
    replicas = {"first": Replica(coder, offset), "second": Replica(coder, offset)}

    async def run() -> None:
        for seconds, polling_replicas, restarted_replica in steps:
            coder.clock.advance(seconds)
            if restarted_replica is not None:
                replicas[restarted_replica].restart()
            for name in sorted(polling_replicas):
                exported = await replicas[name].poll()
                replicas[name].checker.check(exported, expected_totals(coder))
        # After one more poll, no total is 0 in place of its value.
        final_totals = [[await replica.poll() for _ in range(2)][-1] for replica in replicas.values()]
        for exported in final_totals:
            assert {key: value for key, value in exported.items() if value} == expected_totals(coder)

        assert sum(replica.telemetry.corrected_counters for replica in replicas.values()) == 0

    asyncio.run(run())


def is_unambiguous(entry: UsageEvent, offset: int) -> bool:
    """Return whether the event is on the same side of the anchor in both time zones."""
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
    # The template and the deployment each have totals by user, by app and for all users.
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
    """The first of April starts a new quarter; earlier usage no longer counts."""
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
    """All days since the anchor are one request. A new settled day needs no further request.

    Once a day all of them are read again.
    """
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
    repeated_calls = sorted(
        (call.endpoint, call.template)
        for call in coder.calls
        if call.start == datetime(2026, 1, 1, tzinfo=UTC)
    )

    assert [(call.endpoint, call.template) for call in backfill_calls] == [
        ("report", ""),
        ("activity", ""),
        # The activity of the template is part of the deployment's.
        ("report", "go"),
    ]
    assert repeated_calls == [("activity", ""), ("activity", "go"), ("report", ""), ("report", "go")]
    assert exported["go", "seconds", ""] == 11 * 60
