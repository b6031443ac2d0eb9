"""Totals are what Coder counted since the anchor, whoever asks and whenever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.collectors import InsightsCollector
from insights_exporter.filters import Filters
from insights_exporter.settings import InsightsSettings, PollSettings
from insights_exporter.snapshot import Inventory, Template, TemplateKey, Totals
from tests.support.clock import FakeClock
from tests.support.scripted import ScriptedCoder, Used
from tests.support.told import Told

ANCHOR = date(2026, 1, 1)
BEGIN = datetime(2026, 1, 3, 21, 0, 20, tzinfo=UTC)
TEMPLATES = ("go", "rust", "idle")
LATE = timedelta(hours=2)
POLL = PollSettings()

Label = tuple[str, str, str]


class Replica:
    """One exporter that serves totals, and what it served before."""

    def __init__(self, coder: ScriptedCoder, offset: int = 0) -> None:
        self.coder = coder
        self.settings = InsightsSettings(anchor=ANCHOR, utc_offset=offset)
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        self.told = Told()
        self.collector = InsightsCollector(self.settings, poll=POLL, filters=Filters(), telemetry=self.told)
        self.served: dict[Label, float] = {}
        self.polls = 0

    async def poll(self) -> dict[Label, float]:
        """Return all totals by template, kind and name."""
        templates = [Template(one, TemplateKey("acme", one)) for one in TEMPLATES]
        now = self.coder.clock.now()
        found = await self.collector.collect(self.coder, now=now, inventory=Inventory(templates))
        self.polls += 1
        served = labelled("", found.value.deployment.totals)
        for use in found.value.templates:
            served |= labelled(use.key.template_name if use.key else "", use.totals)
        return served


def labelled(name: str, totals: Totals | None) -> dict[Label, float]:
    """Return one entry per series."""
    assert totals is not None
    found = {(name, "seconds", ""): totals.seconds}
    found |= {(name, "app", slug): seconds for (slug, _), seconds in totals.apps.items()}
    return found | {(name, "user", user): seconds for user, seconds in totals.users.items()}


def truth(coder: ScriptedCoder) -> dict[Label, float]:
    """Return what has been counted up to now, of one template and of all."""
    now = coder.clock.now()
    found: dict[Label, float] = {}
    for one in (use for uses in coder.uses.values() for use in uses):
        if one.at.date() < ANCHOR or one.at > now or one.seen_at > now:
            continue
        for name in ("", one.template):
            for label in ((name, "seconds", ""), (name, "app", one.app), (name, "user", one.user)):
                found[label] = found.get(label, 0) + one.seconds
    return found


def check(replica: Replica, served: dict[Label, float], expected: dict[Label, float]) -> None:
    """Every total is the truth, or 0 once where it appears late; it never falls."""
    for label, value in expected.items():
        late = label not in replica.served and replica.polls > 1
        assert served[label] == (0 if late else value), label
    for label, value in served.items():
        assert value >= replica.served.get(label, 0)
        assert value == 0 or label in expected
    assert replica.served.keys() <= served.keys()
    replica.served = served


uses = st.builds(
    lambda template, user, minutes, late, app, seconds: Used(
        template,
        user,
        BEGIN + timedelta(minutes=minutes),
        seconds * 60,
        app,
        BEGIN + timedelta(minutes=minutes) + late,
    ),
    template=st.sampled_from(TEMPLATES[:2]),
    user=st.sampled_from(("ada", "bob", "cy")),
    minutes=st.integers(-4 * 1440, 4 * 1440),
    late=st.timedeltas(timedelta(), LATE),
    app=st.sampled_from(("vscode", "ssh", "jupyter")),
    seconds=st.integers(1, 30),
)
steps = st.lists(
    st.tuples(
        st.one_of(st.integers(1, 12).map(lambda n: n * 300), st.integers(1, 30).map(lambda n: n * 3600)),
        st.sets(st.sampled_from(("first", "second"))),
        st.sampled_from((None, None, None, "first", "second")),
    ),
    max_size=25,
)


@settings(max_examples=120)
@given(happened=st.lists(uses, max_size=30), steps=steps, offset=st.sampled_from((0, 0, -5, 9)))
def test_totals_are_the_truth_for_every_replica(
    happened: Sequence[Used], steps: Sequence[tuple[int, set[str], str | None]], offset: int
) -> None:
    """Whatever the order of polls, midnights, late data, outages and restarts, totals are exact and agree."""
    coder = ScriptedCoder(FakeClock(BEGIN))
    coder.use(*(one for one in happened if aligned(one, offset)))
    replicas = {"first": Replica(coder, offset), "second": Replica(coder, offset)}

    async def live() -> None:
        for seconds, polling, restarting in steps:
            coder.clock.advance(seconds)
            if restarting is not None:
                replicas[restarting].restart()
            for name in sorted(polling):
                check(replicas[name], await replicas[name].poll(), truth(coder))
        # Once more without any change, so that nothing waits at 0 and all must agree.
        last = [[await replica.poll() for _ in range(2)][-1] for replica in replicas.values()]
        for served in last:
            assert {label: value for label, value in served.items() if value} == truth(coder)

        assert sum(replica.told.corrections for replica in replicas.values()) == 0

    asyncio.run(live())


def aligned(one: Used, offset: int) -> bool:
    """Leave out what lies between the two midnights of the anchor's day, to keep the truth simple."""
    local = one.at + timedelta(hours=offset)
    return (local.date() >= ANCHOR) == (one.at.date() >= ANCHOR)


async def test_total_that_falls_is_held_and_told_once() -> None:
    coder = ScriptedCoder(FakeClock(BEGIN))
    coder.use(Used("go", "ada", BEGIN - timedelta(minutes=30), 600))
    replica = Replica(coder)
    before = await replica.poll()
    coder.uses["go"] = [Used("go", "ada", BEGIN - timedelta(minutes=30), 300)]
    coder.clock.advance(300)
    after = await replica.poll()
    coder.clock.advance(300)
    await replica.poll()

    assert before == after
    # The template and the deployment have each a total of the user, of the app, and of all.
    assert replica.told.corrections == 6


async def test_total_goes_on_from_where_it_was_held() -> None:
    coder = ScriptedCoder(FakeClock(BEGIN))
    coder.use(Used("go", "ada", BEGIN - timedelta(minutes=30), 600))
    replica = Replica(coder)
    await replica.poll()
    coder.uses["go"] = [Used("go", "ada", BEGIN - timedelta(minutes=30), 300)]
    coder.clock.advance(300)
    await replica.poll()
    coder.use(Used("go", "ada", BEGIN - timedelta(minutes=20), 420))
    coder.clock.advance(300)
    served = await replica.poll()

    assert served["go", "user", "ada"] == 720


async def test_totals_begin_anew_when_the_anchor_moves() -> None:
    """The first of April is a new quarter; what came before is no longer counted."""
    clock = FakeClock(datetime(2026, 3, 31, 23, 55, tzinfo=UTC))
    coder = ScriptedCoder(clock)
    coder.use(Used("go", "ada", datetime(2026, 3, 31, 9, tzinfo=UTC), 600))
    coder.use(Used("go", "ada", datetime(2026, 4, 1, 0, 2, tzinfo=UTC), 60))
    replica = Replica(coder)
    replica.settings = InsightsSettings()
    replica.restart()
    before = await replica.poll()
    clock.advance(600)
    after = await replica.poll()

    assert before["go", "user", "ada"] == 600
    assert after["go", "user", "ada"] == 60


async def test_closed_days_are_asked_for_once_and_in_one_range() -> None:
    """Afterwards the day that closes is the one that was open, so no further question is needed."""
    coder = ScriptedCoder(FakeClock(datetime(2026, 2, 10, 12, 0, 20, tzinfo=UTC)))
    for day in range(1, 12):
        coder.use(Used("go", "ada", datetime(2026, 2, day, 10, tzinfo=UTC), 60))
    replica = Replica(coder)
    await replica.poll()
    wide = [call for call in coder.calls if call.start == datetime(2026, 1, 1, tzinfo=UTC)]
    coder.calls.clear()
    for _ in range(12 * 24):
        coder.clock.advance(300)
        served = await replica.poll()
    again = [call for call in coder.calls if call.start == datetime(2026, 1, 1, tzinfo=UTC)]

    assert [(call.endpoint, call.template) for call in wide] == [
        ("report", ""),
        ("activity", ""),
        ("report", "go"),
        ("activity", "go"),
    ]
    assert again == []
    assert served["go", "seconds", ""] == 11 * 60
