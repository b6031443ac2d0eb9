"""The totals of two replicas under random faults, as a hypothesis state machine."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from insights_exporter.coder import models
from insights_exporter.config.settings import InsightsSettings, PollSettings
from insights_exporter.errors import ExporterError
from insights_exporter.insights.collector import InsightsCollector
from insights_exporter.privacy import Filters
from insights_exporter.snapshot import Insights, Inventory, Template, TemplateKey, TemplateUsage
from tests.insights.harness import NOT_FOUND, SERVER_ERROR, SwitchedBudget
from tests.support.clock import FakeClock
from tests.support.counter_judge import CounterJudge
from tests.support.recording_telemetry import RecordingTelemetry
from tests.support.scripted_coder import ApiCall, ScriptedCoder, UsageEvent

ANCHOR = date(2026, 1, 1)
START = datetime(2026, 1, 4, 20, 0, 20, tzinfo=UTC)
TEMPLATES = ("go", "rust", "idle")
USERS = ("id-1", "id-2", "id-3")
INSIGHTS = InsightsSettings(anchor=ANCHOR, windows=("today", "yesterday", "7d"), days=3, weeks=2)
POLL = PollSettings()
ENDPOINTS = ("report", "activity", "latency")
EVENTS = st.tuples(
    st.sampled_from(TEMPLATES[:2]),
    st.sampled_from(USERS),
    st.sampled_from(("vscode", "ssh", "jupyter")),
    st.integers(0, 7 * 1440),
    st.sampled_from((0, 0, 0, 60, 4 * 60, 50 * 60)),
)
"""Template, user, app, minutes since the use, and minutes until its rollup."""

SeriesKey = tuple[str, str, str]
"""Template, kind and name. The deployment has no template. A user is identified by id, not by username."""


class Replica:
    """One exporter process: its totals are monotonic, and a series that vanishes has a reason."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.restart()

    def restart(self) -> None:
        """Restart the process, which loses all state."""
        self.telemetry = RecordingTelemetry()
        self.api_time = SwitchedBudget()
        self.collector = InsightsCollector(
            INSIGHTS, poll=POLL, filters=Filters(), telemetry=self.telemetry, api_time=self.api_time
        )
        self.judge: CounterJudge[SeriesKey] = CounterJudge()
        self.fresh_at = dict.fromkeys(("", *TEMPLATES), START - timedelta(days=1))
        """When the data of the deployment and of each template was last polled without a fault."""

    def poll(self) -> None:
        """Poll once, and check the exported totals against the previous ones and against Coder's."""
        now = self.world.clock.now()
        self.api_time.used_up = self.world.is_slow
        try:
            result = asyncio.run(
                self.collector.collect(self.world.coder, now=now, inventory=self.world.inventory)
            )
        except ExporterError:
            # The poller keeps the last snapshot until it expires.
            return
        for template in self.fresh_at:
            if not self.world.is_faulty(template):
                self.fresh_at[template] = now
        assert not self.judge.check(
            self.world.series_of(result.value),
            may_vanish=lambda key: now > self.fresh_at[key[0]] + timedelta(seconds=POLL.max_staleness),
            upper_bounds=self.world.expected_totals(),
        )
        self._check_pending(result.value)

    def _check_pending(self, insights: Insights) -> None:
        """Assert that missing totals are reported as pending."""
        for usage in insights.templates:
            assert usage.totals is not None or usage.key in insights.pending_totals, usage.key


class World:
    """A Coder deployment, its usage, and the faults of its API."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.coder = ScriptedCoder(self.clock)
        self.generations = dict.fromkeys(USERS, 0)
        self.invalid_rows: set[tuple[str, str]] = set()
        self.denied: set[str] = set()
        self.failing: set[str] = set()
        self.hidden: set[str] = set()
        self.list_is_complete = True
        self.is_slow = False
        """Whether the exporter's budget of Coder's time is used up."""
        self.rename("id-1")
        self.coder.has_invalid_row = lambda call: (call.endpoint, call.template) in self.invalid_rows
        self.coder.error_for = self._find_error

    @property
    def inventory(self) -> Inventory:
        """The template list, without the hidden templates."""
        templates = [
            Template(name, TemplateKey("acme", name)) for name in TEMPLATES if name not in self.hidden
        ]
        return Inventory(templates, templates_complete=self.list_is_complete)

    def rename(self, user: str) -> None:
        """Give a user another username; the part before the slash identifies the user."""
        self.generations[user] += 1
        self.coder.user_list = [
            models.User(user_id, f"{user_id}/{generation}")
            for user_id, generation in self.generations.items()
        ]

    def remove_faults(self) -> None:
        """Let Coder respond to every request with all rows."""
        self.invalid_rows.clear()
        self.denied.clear()
        self.failing.clear()
        self.hidden.clear()
        self.list_is_complete = True
        self.is_slow = False

    def is_faulty(self, template: str) -> bool:
        """Return whether a fault affects the data of a template, or of the deployment."""
        # The deployment's responses show which templates are active, unless access to it is denied.
        sources = {template} if "" in self.denied else {"", template}
        return bool(
            template in self.hidden | self.denied
            or sources & self.failing
            or sources & {name for _, name in self.invalid_rows}
        )

    def expected_totals(self) -> dict[SeriesKey, float]:
        """Return what Coder has counted up to now."""
        now, totals = self.clock.now(), dict[SeriesKey, float]()
        for event in (event for events in self.coder.usage_events.values() for event in events):
            if event.used_at.date() >= ANCHOR and max(event.used_at, event.visible_from) <= now:
                for name in ("", event.template):
                    keys = ((name, "all", ""), (name, "app", event.app), (name, "user", event.user))
                    for key in keys:
                        totals[key] = totals.get(key, 0) + event.seconds
        return totals

    def series_of(self, insights: Insights) -> dict[SeriesKey, float]:
        """Return all totals; assert that every username is the current one."""
        series: dict[SeriesKey, float] = {}
        for usage in (insights.deployment, *insights.templates):
            name = usage.key.template_name if usage.key else ""
            if usage.totals is not None:
                series[name, "all", ""] = usage.totals.seconds
                series |= {(name, "app", slug): value for (slug, _), value in usage.totals.apps.items()}
                series |= {
                    (name, "user", username.partition("/")[0]): value
                    for username, value in usage.totals.users.items()
                }
            self._check_usernames(usage)
        return series

    def _check_usernames(self, usage: TemplateUsage) -> None:
        """Assert that a user has one name in all windows and totals."""
        names = set() if usage.totals is None else set(usage.totals.users)
        for window_usage in usage.windows:
            names |= window_usage.activity.keys() | set(window_usage.latency.users)
        assert len({name.partition("/")[0] for name in names}) == len(names), names

    def _find_error(self, call: ApiCall) -> Exception | None:
        if call.template in self.denied:
            return NOT_FOUND
        return SERVER_ERROR if call.template in self.failing else None


class TotalsStateMachine(RuleBasedStateMachine):
    """Polls of two replicas between usage, midnights, faults, renames and restarts."""

    @initialize(events=st.lists(EVENTS, min_size=4, max_size=8))
    def start(self, events: list[tuple[str, str, str, int, int]]) -> None:
        """Start two replicas of a deployment with some usage."""
        self.world = World()
        self.replicas = [Replica(self.world), Replica(self.world)]
        self.use(events)
        self.poll(5, 2, 1)

    def use(self, events: list[tuple[str, str, str, int, int]]) -> None:
        """Use apps; Coder rolls it up now, or minutes, hours or days later."""
        now = self.world.clock.now()
        for template, user, app, minutes_ago, late_by in events:
            # A rollup in the past would have been part of earlier responses.
            visible_from = now + timedelta(minutes=late_by)
            used_at = now - timedelta(minutes=minutes_ago)
            self.world.coder.add_usage(UsageEvent(template, user, used_at, 60, app, visible_from, latency=20))

    @rule(
        events=st.lists(EVENTS, max_size=3),
        minutes=st.sampled_from((5, 5, 5, 30, 60, 4 * 60, 26 * 60)),
        which=st.sampled_from((0, 1, 2, 2)),
        count=st.integers(1, 8),
    )
    def use_and_poll(
        self, events: list[tuple[str, str, str, int, int]], minutes: int, which: int, count: int
    ) -> None:
        """Use apps, and poll one replica or both, several times."""
        self.use(events)
        self.poll(minutes, which, count)

    def poll(self, minutes: int, which: int, count: int) -> None:
        """Advance the clock, and poll one replica or both, several times."""
        for _ in range(count):
            self.world.clock.advance(60 * minutes)
            for number, replica in enumerate(self.replicas):
                if which in {number, 2}:
                    replica.poll()

    @rule(
        kind=st.sampled_from(
            ("rows", "rows", "hidden", "denied", "failing", "slow", "rename", "restart", "recover")
        ),
        template=st.sampled_from(("", "", *TEMPLATES)),
        endpoint=st.sampled_from(ENDPOINTS),
        complete=st.booleans(),
        number=st.integers(0, 2),
    )
    def disturb(self, kind: str, template: str, endpoint: str, number: int, *, complete: bool) -> None:
        """Begin or end a fault, rename a user, or restart a replica.

        The faults are an invalid row in each response, a list without a template, a denied permission,
        failing requests, and a Coder so slow that requests are postponed.
        """
        world = self.world
        if kind == "rows":
            world.invalid_rows ^= {(endpoint, template)}
        elif kind == "hidden":
            world.hidden ^= {template or TEMPLATES[0]}
            world.list_is_complete = complete
        elif kind == "denied":
            world.denied ^= {template}
        elif kind == "failing":
            world.failing ^= {template}
        elif kind == "slow":
            world.is_slow = not world.is_slow
        elif kind == "rename":
            world.rename(USERS[number])
        elif kind == "restart":
            self.replicas[number % 2].restart()
        else:
            world.remove_faults()

    def teardown(self) -> None:
        """After a day without faults, all processes export exactly what Coder counted, as the same series."""
        if not hasattr(self, "world"):
            return
        self.world.remove_faults()
        # All usage becomes visible before the last day begins.
        self.world.clock.advance(51 * 3600)
        for _ in range(14):
            self.world.clock.advance(2 * 3600)
            for replica in self.replicas:
                replica.poll()
        fresh = Replica(self.world)
        fresh.poll()
        expected = self.world.expected_totals()
        for replica in (*self.replicas, fresh):
            replica.poll()
            assert {key: value for key, value in replica.judge.served.items() if value} == expected
            assert replica.judge.served.keys() == fresh.judge.served.keys()
            assert replica.telemetry.corrected_counters == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning")
class TestTotals(TotalsStateMachine.TestCase):  # type: ignore[valid-type,misc]  # Built at run time.
    """Runs the state machine."""

    settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
