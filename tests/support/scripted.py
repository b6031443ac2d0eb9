"""A deployment that consists of what a test writes down, asked without HTTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from insights_exporter.coder import responses
from insights_exporter.coder.authorization import Check
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.version import Feature, ServerVersion
from insights_exporter.collectors.parts import BUILTIN
from tests.support.clock import FakeClock

__all__ = ["Call", "ScriptedCoder", "Used", "template"]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EMPTY = {"display_name": "", "icon": ""}


@dataclass(frozen=True)
class Used:
    """A stretch of use that counts from ``seen_at`` on: the rollup needs its time."""

    template: str
    user: str
    at: datetime
    seconds: int = 60
    app: str = "vscode"
    seen_at: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    latency: float = -1


@dataclass(frozen=True)
class Call:
    """A question that was asked."""

    endpoint: str
    template: str = ""
    start: datetime | None = None
    end: datetime | None = None


def template(
    identity: str,
    *,
    organization: str = "acme",
    created_at: datetime = datetime(2025, 1, 1, tzinfo=UTC),
    version: str = "",
) -> responses.Template:
    """Return a template named like its id."""
    return responses.Template(
        id=identity,
        name=identity,
        organization_id=f"id-of-{organization}",
        organization_name=organization,
        active_version_id=version,
        created_at=created_at,
    )


@dataclass
class ScriptedCoder:
    """Answers like Coder; ``fault`` may return an error to raise instead."""

    clock: FakeClock
    listed: list[responses.Template] = field(default_factory=list)
    accounts: list[responses.User] = field(default_factory=list)
    machines: list[responses.Workspace] = field(default_factory=list)
    declared: dict[str, list[responses.RichParameter]] = field(default_factory=dict)
    chosen: dict[str, list[tuple[datetime, responses.ParameterUsage]]] = field(default_factory=dict)
    licence: responses.Entitlements = responses.Entitlements()  # noqa: RUF009 - it is frozen.
    statuses: dict[str, list[responses.StatusCount]] = field(default_factory=dict)
    expiry: datetime | None = None
    refused: set[str] = field(default_factory=set)
    version: ServerVersion | None = ServerVersion(2, 35, 1)  # noqa: RUF009 - as above.
    clock_skew: float | None = None
    fault: Callable[[Call], Exception | None] = lambda _: None
    calls: list[Call] = field(default_factory=list)
    extra_apps: dict[str, list[responses.AppUsage]] = field(default_factory=dict)
    uses: dict[str, list[Used]] = field(default_factory=lambda: defaultdict(list))

    def within(self, seconds: float) -> ScriptedCoder:
        """Return itself: no deadline ends what takes no time."""
        assert seconds > 0
        return self

    def use(self, *uses: Used) -> None:
        """Write down some use."""
        for one in uses:
            self.uses[one.template].append(one)

    def lacks(self, feature: Feature) -> bool:
        """Judge by the version."""
        return self.version is not None and not self.version.supports(feature)

    # Identity

    async def build_info(self) -> responses.BuildInfo:
        """Return the version."""
        self._count(Call("build_info"))
        return responses.BuildInfo(str(self.version), "deployment-1", "https://coder.example.com")

    async def authcheck(self, checks: Mapping[str, Check]) -> dict[str, bool]:
        """Grant all but what the test refuses."""
        self._count(Call("authcheck"))
        return {key: key not in self.refused for key in checks}

    async def token_expiry(self) -> datetime | None:
        """Return what the test wrote."""
        self._count(Call("token_expiry"))
        return self.expiry

    async def entitlements(self) -> responses.Entitlements:
        """Return what the test wrote."""
        self._count(Call("entitlements"))
        return self.licence

    async def user_status_counts(self) -> dict[str, list[responses.StatusCount]]:
        """Return what the test wrote."""
        self._count(Call("user_status_counts"))
        return self.statuses

    # Inventory

    async def templates(self) -> list[responses.Template]:
        """Return what the test wrote."""
        self._count(Call("templates"))
        return list(self.listed)

    async def users(self) -> list[responses.User]:
        """Return what the test wrote."""
        self._count(Call("users"))
        return list(self.accounts)

    async def workspaces(self) -> list[responses.Workspace]:
        """Return what the test wrote."""
        self._count(Call("workspaces"))
        return list(self.machines)

    async def rich_parameters(self, version_id: str) -> list[responses.RichParameter]:
        """Return what the test wrote."""
        self._count(Call("rich_parameters", version_id))
        return self.declared.get(version_id, [])

    # Insights

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,
        sections: Sequence[Section] = ("report",),
    ) -> responses.TemplateInsights:
        """Add up the use of a range."""
        self._count(Call("report", ",".join(template_ids), start, end))
        self._check(start, end)
        report, intervals = None, []
        if "report" in sections:
            report = self._report(start, end, template_ids)
        if interval is not None and "interval_reports" in sections:
            step = DAY * (7 if interval == "week" else 1)
            while start < end:
                found = self._found(start, min(start + step, end), template_ids)
                intervals.append(
                    responses.IntervalReport(
                        start_time=start,
                        end_time=min(start + step, end),
                        active_users=len({one.user for one in found}),
                        interval=interval,
                        template_ids=sorted({one.template for one in found}),
                    )
                )
                start += step
        return responses.TemplateInsights(report, intervals)

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> responses.UserActivityReport:
        """Add up the time of each user."""
        self._count(Call("activity", ",".join(template_ids), start, end))
        self._check(start, end)
        seconds: dict[str, int] = defaultdict(int)
        for one in self._found(start, end, template_ids):
            seconds[one.user] += one.seconds
        users = [
            responses.UserActivity(user_id=user, seconds=seconds[user], username=self._name(user))
            for user in sorted(seconds)
        ]
        return responses.UserActivityReport(start, end, users=users)

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> responses.LatencyReport:
        """Return the greatest latency of each user as both percentiles."""
        self._count(Call("latency", ",".join(template_ids), start, end))
        self._check(start, end)
        latency: dict[str, float] = {}
        for one in self._found(start, end, template_ids):
            latency[one.user] = max(latency.get(one.user, -1), one.latency)
        users = [
            responses.UserLatency(
                user, self._name(user), responses.ConnectionLatency(latency[user], latency[user])
            )
            for user in sorted(latency)
        ]
        return responses.LatencyReport(start, end, users=users)

    # How it is done

    def _count(self, call: Call) -> None:
        self.calls.append(call)
        if (error := self.fault(call)) is not None:
            raise error

    def _check(self, start: datetime, end: datetime) -> None:
        """Refuse what Coder refuses."""
        now = self.clock.now()
        midnight = (0, 0, 0)
        assert (start.hour, start.minute, start.second) == midnight
        assert start <= end <= now.replace(minute=0, second=0, microsecond=0) + HOUR
        today = now.astimezone(end.tzinfo).date()
        assert (end.minute, end.second) == (0, 0)
        assert end.hour == 0 or end.date() == today

    def _found(self, start: datetime, end: datetime, template_ids: Sequence[str]) -> list[Used]:
        now = self.clock.now()
        return [
            one
            for identity in template_ids or self.uses
            for one in self.uses.get(identity, ())
            if start <= one.at < end and one.seen_at <= now and one.at <= now
        ]

    def _report(self, start: datetime, end: datetime, ids: Sequence[str]) -> responses.TemplateReport:
        found = self._found(start, end, ids)
        seconds: dict[str, int] = defaultdict(int)
        for one in found:
            seconds[one.app] += one.seconds
        apps = [
            responses.AppUsage(slug, seconds.pop(slug, 0), "builtin", name, icon, 0)
            for slug, (name, icon) in BUILTIN.items()
        ]
        apps += [responses.AppUsage(slug, seconds[slug], "app", slug, "", 1) for slug in sorted(seconds)]
        for identity in ids or self.extra_apps:
            apps += self.extra_apps.get(identity, []) if found else []
        return responses.TemplateReport(
            start,
            end,
            active_users=len({one.user for one in found}),
            template_ids=sorted({one.template for one in found}),
            apps_usage=apps,
            parameters_usage=list(self._parameters(start, end, ids)),
        )

    def _parameters(
        self, start: datetime, end: datetime, ids: Sequence[str]
    ) -> Iterable[responses.ParameterUsage]:
        for identity in ids or self.chosen:
            for at, usage in self.chosen.get(identity, ()):
                if start <= at < end and at <= self.clock.now():
                    yield usage

    def _name(self, user: str) -> str:
        return next((one.username for one in self.accounts if one.id == user), user)
