"""A fuzz campaign: exporter processes poll a simulated Coder whose responses are mutated.

Two exporters, one of which hashes usernames, read the API and coderd's metrics over sockets. Their clock and
that of the simulator advance together, so that weeks pass in minutes. Meanwhile responses are mutated,
processes are killed at a random answer, users are renamed, templates are hidden, permissions are lost and
usage statistics are switched off. After each round the page is judged. In the first half of a campaign all
mutations are recognizable: after two polls without a fault, totals must equal Coder's. In the second half,
rows and lists may also be missing silently, and totals must be exact after a day without faults.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from aiohttp import web

from insights_exporter.config.settings import UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.simulator.api import http_server
from insights_exporter.simulator.api.accounts import SITE_ROLES, Account
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from insights_exporter.simulator.rollup import RollupDelay, UsageRollup
from tests.fuzz.mutations import Answer, mutate
from tests.fuzz.replica import AGENTS, EVERYTHING, Page, ProcessKilledError, Replica, SeriesKey

__all__ = ["Campaign", "Summary", "run_campaign"]

ANCHOR = date(2026, 1, 10)
START = datetime(2026, 1, 13, 13, 0, 25, tzinfo=UTC)
HASH_KEY = "fuzz-hash-key-of-some-length"
MAX_RESPONSE_BYTES = 4 << 20
STEPS = (60, 60, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 1200, 3600, 5 * 3600, 26 * 3600)
"""Seconds between two rounds; most are one poll interval."""

CLEAN_DAY_STEPS = (300, *(4 * 3600,) * 6, 300, 300)
"""Seconds between the rounds of the day without faults."""

MUTATION_RATES = (0.0, 0.0, 0.02, 0.02, 0.05, 0.1, 0.3, 1.0)
"""Shares of mutated responses; the campaign changes the share every few rounds."""

_MAX_SHOWN = 50
"""Findings in the text of a summary; one fault is found on many pages."""

EXPORTER_USER = Account(token=DEMO_TOKEN).user
EXPORTER_ROLES = Account(token=DEMO_TOKEN).roles
PERMISSION_LOSSES: tuple[Mapping[str, object], ...] = (
    {"roles": frozenset({"member"}) & SITE_ROLES.keys()},
    {"roles": frozenset({"user-admin"})},
    {"roles": frozenset({"auditor"})},
    {"status": "suspended"},
)


@dataclass
class Summary:
    """The results of a campaign."""

    seed: int
    answers: int = 0
    mutations: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    starts: int = 0
    pages: int = 0
    compared_series: int = 0
    findings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    simulated_days: float = 0.0

    def __str__(self) -> str:
        """Return the summary as text."""
        rows = {
            "seed": self.seed,
            "answers": self.answers,
            "mutated answers": self.mutations.total(),
            **{f"  {name}": count for name, count in sorted(self.mutations.items())},
            "events": self.events.total(),
            **{f"  {name}": count for name, count in sorted(self.events.items())},
            "kills": self.kills,
            "process starts": self.starts,
            "judged pages": self.pages,
            "compared series": self.compared_series,
            "simulated days": f"{self.simulated_days:.1f}",
            "seconds": f"{self.seconds:.0f}",
            "findings": len(self.findings),
        }
        lines = [f"{name:<24}{value:>10}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"FINDING: {finding}" for finding in self.findings[:_MAX_SHOWN])])


@dataclass
class Campaign:
    """The simulated deployment with its faults, and the exporters that poll it."""

    seed: int
    folder: Path
    summary: Summary = field(init=False)
    random: Random = field(init=False)
    deployment: SimulatedDeployment = field(init=False)
    replicas: list[Replica] = field(default_factory=list)
    polling: Replica | None = None
    mutation_rate: float = 0.0
    has_silent_mutations: bool = False
    kill_after: int | None = None
    """The number of answers until the polling process is killed; None for no kill."""
    _time: datetime = START
    _requests: Counter[str] = field(default_factory=Counter)
    _usernames: dict[str, str] = field(default_factory=dict)
    """Every username so far, with the first one of the same user."""
    _urls: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        """Create the deployment: late rollups, no rate limit, four templates."""
        self.folder.mkdir()
        self.summary = Summary(self.seed)
        self.random = Random(self.seed)
        self.deployment = demo_deployment(
            Size(templates=4, users=7),
            seed=self.seed,
            now=lambda: self._time,
            options=ApiOptions(rate_limit=0),
        )
        self.deployment.world.rollup_delay = RollupDelay(seed=self.seed)
        self._usernames = {user.username: user.username for user in self.deployment.world.users}

    # The deployment

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Serve the API and coderd's metrics within the context."""
        async with AsyncExitStack() as stack:
            urls = []
            for app in (
                http_server.create_app(self.deployment),
                http_server.create_metrics_app(self.deployment),
            ):
                app.middlewares.append(self._middleware)
                runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
            self._urls = urls[0], urls[1]
            yield

    @property
    def _middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        @web.middleware
        async def middleware(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            return await self._respond(request, handler)

        return middleware

    async def _respond(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer a request, perhaps with a mutated response, and perhaps after a scrape or a kill."""
        self.summary.answers += 1
        # The order of concurrent requests must not change their mutations.
        name = f"{self._time}/{self.polling.name if self.polling else ''}/{request.method} {request.path_qs}"
        self._requests[name] += 1
        random = Random(f"{self.seed}/{name}/{self._requests[name]}")
        response = await handler(request)
        if self.kill_after is not None and self.polling is not None:
            self.kill_after -= 1
            if self.kill_after <= 0:
                self.kill_after = None
                await asyncio.sleep(random.choice((0.0, 0.0, random.uniform(0.0, 0.02))))
                self.polling.kill()
                return response
        if self.polling is not None and self.kill_after is None and random.random() < 0.01:
            # The exporter must serve its page while it waits for Coder.
            await self.polling.judge_page()
        if random.random() >= self.mutation_rate or not isinstance(response, web.Response):
            return response
        if self.polling is not None:
            self.polling.dirty.add(self._scope(request))
        return await self._send_mutated(request, response, random)

    async def _send_mutated(
        self, request: web.Request, response: web.Response, random: Random
    ) -> web.StreamResponse:
        body = response.body if isinstance(response.body, bytes) else b""
        answer = Answer(response.status, body, dict(response.headers))
        self.summary.mutations[mutate(answer, random, silent=self.has_silent_mutations)] += 1
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.is_aborted and not answer.sent_bytes:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        answer.headers.pop("Transfer-Encoding", None)
        # An answer in pieces, so that its encoding header is sent as it is.
        stream = web.StreamResponse(status=answer.status, headers=answer.headers)
        stream.content_length = len(answer.body)
        await stream.prepare(request)
        await stream.write(answer.body[: answer.sent_bytes] if answer.is_aborted else answer.body)
        if answer.is_aborted:
            assert request.transport is not None
            request.transport.abort()
        return stream

    def _scope(self, request: web.Request) -> str:
        if not request.path.startswith("/api/"):
            return AGENTS
        template_ids = request.query.get("template_ids", "")
        return next(
            (one.name for one in self.deployment.world.templates if one.id == template_ids.lower()),
            EVERYTHING,
        )

    # Exporters

    def new_replica(self, name: str, *, mode: UsernameMode) -> Replica:
        """Return an exporter with agent statistics and a state file; it does not run yet."""
        folder = self.folder / name
        folder.mkdir()
        for file, secret in (("token", DEMO_TOKEN), ("hash-key", HASH_KEY)):
            (folder / file).write_text(secret)
            (folder / file).chmod(0o600)
        api_url, metrics_url = self._urls
        config = {
            "coder": {
                "url": api_url,
                "token_file": str(folder / "token"),
                "retries": 1,
                "concurrency": 1,
                "max_response_bytes": MAX_RESPONSE_BYTES,
            },
            "poll": {"jitter": 0},
            "insights": {"windows": ["today", "7d"], "days": 2, "weeks": 1, "anchor": str(ANCHOR)},
            "privacy": {"users": mode.value, "hash_key_file": str(folder / "hash-key")},
            "agent_stats": {
                "source": "coderd_metrics",
                "metrics_url": metrics_url,
                "state_file": str(folder / "state"),
            },
            "server": {"port": 0},
        }
        return Replica(
            name,
            folder,
            config,
            now=lambda: self._time,
            canonical=self._first_username,
            report=self._report,
            is_disabled=lambda: not self.deployment.world.usage_stats_enabled,
            secrets=(DEMO_TOKEN, HASH_KEY),
            all_scopes=frozenset(
                {EVERYTHING, AGENTS, *(one.name for one in self.deployment.world.templates)}
            ),
        )

    def _first_username(self, replica: str, username: str) -> str:
        policy = _username_policy(replica)
        return next(
            (first for name, first in self._usernames.items() if policy.pseudonymize(name) == username),
            f"unknown user {username}",
        )

    def _report(self, problem: str) -> None:
        self.summary.findings.append(f"{self._time:%Y-%m-%d %H:%M:%S} {problem}")

    # Rounds

    async def run(self, answers: int, kills: int) -> None:
        """Run rounds until enough answers were sent and processes killed, then compare the totals."""
        self.replicas = [
            self.new_replica("named", mode=UsernameMode.NAMED),
            self.new_replica("hashed", mode=UsernameMode.HASHED),
        ]
        self.mutation_rate = 0.1
        for replica in self.replicas:
            await self._start(replica)
        round_number = 1
        while self.summary.answers < answers or self.summary.kills < kills:
            self.has_silent_mutations = self.summary.answers > answers / 2
            if round_number % 4 == 0:
                self.mutation_rate = self.random.choice(MUTATION_RATES)
            # Most faults of the deployment are short, so that exporters recover between them.
            if self.random.random() < 0.3:
                self._end_world_faults()
            if self.random.random() < 0.15:
                self._change_world()
            # Spread the kills over the campaign.
            is_kill_due = self.summary.kills < kills * min(1.0, self.summary.answers / answers)
            await self._round(self.random.choice(STEPS), kill=is_kill_due)
            round_number += 1
        await self._compare_after_clean_day()
        for replica in self.replicas:
            await replica.stop()

    async def _round(self, seconds: float, *, kill: bool = False) -> None:
        self._time += timedelta(seconds=seconds)
        victim = self.random.choice(self.replicas) if kill else None
        for replica in self.replicas:
            self.kill_after = self.random.randrange(1, 12) if replica is victim else None
            await self._advance(replica)

    async def _advance(self, replica: Replica) -> None:
        self._mark_world_faults(replica)
        self.polling = replica
        previous = replica.page
        try:
            await replica.advance()
            # Two polls, because the first one can export a new total as 0.
            if replica.has_polled and replica.clean_polls >= 2 and not self.has_silent_mutations:
                self._compare_with_coder(replica, previous)
        except ProcessKilledError:
            self.summary.kills += 1
            self.kill_after = None
            await self._start(replica)
        finally:
            self.polling = None

    async def _start(self, replica: Replica) -> None:
        self._mark_world_faults(replica)
        self.polling = replica
        self.summary.starts += 1
        await replica.start()
        self.polling = None

    def _mark_world_faults(self, replica: Replica) -> None:
        deployment = self.deployment
        account = next(one for one in deployment.accounts if one.user == EXPORTER_USER)
        if account.roles != EXPORTER_ROLES or account.status != "active":
            replica.dirty.add(EVERYTHING)
        if not deployment.world.usage_stats_enabled:
            replica.dirty |= {EVERYTHING, AGENTS}
        for template in deployment.world.templates:
            if template.id in deployment.deleted_template_ids:
                replica.dirty.add(template.name)

    def _change_world(self) -> None:
        """Rename a user, or begin a fault: a hidden template, a lost permission, no statistics."""
        deployment, random = self.deployment, self.random
        event = random.choice(("rename", "template", "permission", "switch"))
        self.summary.events[event] += 1
        if event == "rename":
            self._rename(random.choice(deployment.world.users).username)
        elif event == "template":
            deployment.deleted_template_ids.add(random.choice(deployment.world.templates).id)
        elif event == "permission":
            deployment.accounts.update(EXPORTER_USER, **random.choice(PERMISSION_LOSSES))
        else:
            deployment.world.usage_stats_enabled = False

    def _rename(self, username: str) -> None:
        new_name = f"renamed-{len(self._usernames)}"
        self._usernames[new_name] = self._usernames[username]
        self.deployment.rename_user(username, new_name)

    def _end_world_faults(self) -> None:
        self.deployment.accounts.update(EXPORTER_USER, roles=EXPORTER_ROLES, status="active")
        self.deployment.world.usage_stats_enabled = True
        self.deployment.deleted_template_ids.clear()

    # The truth

    async def _compare_after_clean_day(self) -> None:
        """After one simulated day without faults, compare all processes with a fresh one and with Coder."""
        self.mutation_rate = 0.0
        self._end_world_faults()
        for seconds in CLEAN_DAY_STEPS:
            await self._round(seconds)
        self.summary.simulated_days = (self._time - START) / timedelta(days=1)
        for replica in list(self.replicas):
            fresh = self.new_replica(f"{replica.name}-fresh", mode=_mode(replica.name))
            await self._start(fresh)
            self._report_differences(
                f"{replica.name} and a fresh process",
                replica.page.insights_counters(),
                fresh.page.insights_counters(),
            )
            await fresh.stop()
            self.summary.pages += replica.pages + fresh.pages
        for replica in self.replicas:
            self._compare_with_coder(replica, replica.page)
            self._check_agent_totals(replica)

    def _compare_with_coder(self, replica: Replica, previous: Page) -> None:
        """Report totals that differ from Coder's, except a new one that is exported as 0 first."""
        expected = self._expected_totals()
        served = {key: value for key, value in replica.page.insights_counters().items() if value}
        new = {key for key in expected if key not in previous.counters and key not in served}
        self._report_differences(
            f"{replica.name} and Coder",
            served,
            {key: value for key, value in expected.items() if key not in new},
        )

    def _check_agent_totals(self, replica: Replica) -> None:
        """Report agent statistics that are missing, or that exceed all reports: a report counted twice."""
        reports, received = Counter[str](), Counter[str]()
        names = {one.id: one.name for one in self.deployment.world.templates}
        for report in self.deployment.world.agent_reports(START - timedelta(minutes=5), self._time):
            received[names[report.template_id]] += report.rx_bytes
            # coderd shows the newest report of each minute.
            reports[names[report.template_id]] += report.created_at.second == 0 and report.latency_ms > 0
        limits = {
            f"{catalogue.CONNECTION_LATENCY.name}_count": reports,
            catalogue.RECEIVED_BYTES.name: received,
        }
        for name, limit in limits.items():
            served = Counter[str]()
            for (sample, labels), value in replica.page.counters.items():
                if sample == name:
                    served[dict(labels)["template_name"]] += int(value)
            if not served:
                self._report(f"{replica.name}: no {name} after a day without faults")
            for template, value in served.items():
                if value > limit[template]:
                    self._report(f"{replica.name}: {name} of {template}: {value} exceeds {limit[template]}")

    def _report_differences(
        self, what: str, served: Mapping[SeriesKey, float], expected: Mapping[SeriesKey, float]
    ) -> None:
        self.summary.compared_series += len(expected)
        for key in sorted(served.keys() | expected.keys()):
            if served.get(key) != expected.get(key):
                self._report(f"{what} differ: {served.get(key)} and {expected.get(key)}: {key}")

    def _expected_totals(self) -> dict[SeriesKey, float]:
        """Return the totals since the anchor by the simulator's own events."""
        world, totals = self.deployment.world, dict[SeriesKey, float]()
        since, until = datetime(*ANCHOR.timetuple()[:3], tzinfo=UTC), self._time + timedelta(hours=1)

        def add(family: Family, seconds: float, labels: Mapping[str, str]) -> None:
            if seconds:
                key = family.name, tuple(sorted(labels.items()))
                totals[key] = totals.get(key, 0) + seconds

        for template in world.templates:
            rollup = world.rollup(since, until, now=self._time, templates=frozenset({template.id}))
            labels = {"organization_name": template.organization.name, "template_name": template.name}
            add(catalogue.TEMPLATE_USAGE, 60 * sum(rollup.user_minutes.values()), labels)
            for user, minutes in rollup.user_minutes.items():
                username = self._usernames[world.users[user].username]
                add(catalogue.USER_ACTIVITY, 60 * minutes, {**labels, "username": username})
            for app_labels, seconds in _app_seconds(rollup):
                add(catalogue.TEMPLATE_APP_USAGE, seconds, {**labels, **app_labels})
        for app_labels, seconds in _app_seconds(world.rollup(since, until, now=self._time)):
            add(catalogue.DEPLOYMENT_APP_USAGE, seconds, app_labels)
        return totals


def _app_seconds(rollup: UsageRollup) -> list[tuple[dict[str, str], int]]:
    """Return the seconds by the labels of the app."""
    return [
        ({"app": family.replace("_", "-"), "app_type": "builtin"}, 60 * minutes)
        for family, minutes in rollup.builtin_minutes.items()
    ] + [
        ({"app": slug, "app_type": "app"}, 60 * minutes)
        for (slug, _, _), minutes in rollup.custom_minutes.items()
    ]


def _mode(replica: str) -> UsernameMode:
    return UsernameMode(replica.removesuffix("-fresh"))


def _username_policy(replica: str) -> UsernamePolicy:
    return UsernamePolicy(_mode(replica), HASH_KEY.encode())


async def run_campaign(folder: Path, *, answers: int, kills: int, seed: int) -> Summary:
    """Run a campaign in a new folder and return its summary; the folder stays if there are findings."""
    started_at = time.monotonic()
    campaign = Campaign(seed, folder)
    async with campaign.serve():
        try:
            await campaign.run(answers, kills)
        finally:
            for replica in campaign.replicas:
                replica.kill()
    campaign.summary.seconds = time.monotonic() - started_at
    if not campaign.summary.findings:
        shutil.rmtree(folder)
    return campaign.summary
