"""A CoderApi with data that a test defines, without HTTP."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec

from insights_exporter.coder import models
from insights_exporter.coder.client import Interval, Section
from insights_exporter.coder.models import AuthorizationCheck
from insights_exporter.coder.pagination import Rows
from insights_exporter.coder.versions import Feature, ServerVersion
from insights_exporter.insights.reports import BUILTIN_APPS
from tests.support.clock import FakeClock

__all__ = ["ApiCall", "ScriptedCoder", "UsageEvent", "template"]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EMPTY_NAMES = {"display_name": "", "icon": ""}


@dataclass(frozen=True)
class UsageEvent:
    """Usage that the rollup contains from ``visible_from`` on."""

    template: str
    user: str
    used_at: datetime
    seconds: int = 60
    app: str = "vscode"
    visible_from: datetime = datetime(2000, 1, 1, tzinfo=UTC)
    latency: float = -1


@dataclass(frozen=True)
class ApiCall:
    """A recorded request; ``template`` joins the ids of several templates with commas."""

    endpoint: str
    template: str = ""
    start: datetime | None = None
    end: datetime | None = None

    def by_template(self) -> Iterator[ApiCall]:
        """Yield a call for each of the templates."""
        if "," not in self.template:
            yield self
            return
        for template_id in self.template.split(","):
            yield replace(self, template=template_id)


def template(
    template_id: str,
    *,
    organization: str = "acme",
    created_at: datetime = datetime(2025, 1, 1, tzinfo=UTC),
    version: str = "",
) -> models.Template:
    """Return a template whose name is its id."""
    return models.Template(
        id=template_id,
        name=template_id,
        organization_id=f"id-of-{organization}",
        organization_name=organization,
        active_version_id=version,
        created_at=created_at,
    )


@dataclass
class ScriptedCoder:
    """Returns the data of the test; ``error_for`` may return an error to raise instead."""

    clock: FakeClock
    template_list: list[models.Template] = field(default_factory=list)
    user_list: list[models.User] = field(default_factory=list)
    workspace_list: list[models.Workspace] = field(default_factory=list)
    group_list: list[models.Group] = field(default_factory=list)
    parameters_by_version: dict[str, list[models.RichParameter]] = field(default_factory=dict)
    parameter_usage: dict[str, list[tuple[datetime, models.ParameterUsage]]] = field(default_factory=dict)
    entitlements_response: models.Entitlements = models.Entitlements()  # noqa: RUF009 # It is immutable.
    token_expires_at: datetime | None = None
    denied_checks: set[str] = field(default_factory=set)
    version: ServerVersion | None = ServerVersion(2, 35, 1)  # noqa: RUF009 # As above.
    clock_skew: float | None = None
    error_for: Callable[[ApiCall], Exception | None] = lambda _: None
    has_invalid_row: Callable[[ApiCall], bool] = lambda _: False
    """Whether the last row of a response is invalid, and therefore dropped."""
    calls: list[ApiCall] = field(default_factory=list)
    extra_apps: dict[str, list[models.AppUsage]] = field(default_factory=dict)
    usage_events: dict[str, list[UsageEvent]] = field(default_factory=lambda: defaultdict(list))

    def with_timeout(self, seconds: float) -> ScriptedCoder:
        """Return itself: requests take no time."""
        assert seconds > 0
        return self

    def add_usage(self, *events: UsageEvent) -> None:
        """Add usage."""
        for event in events:
            self.usage_events[event.template].append(event)

    def is_unsupported(self, feature: Feature) -> bool:
        """Compare with the version."""
        return self.version is not None and not self.version.supports(feature)

    # Identity

    async def build_info(self) -> models.BuildInfo:
        """Return the version."""
        self._record_call(ApiCall("build_info"))
        return models.BuildInfo(str(self.version), "deployment-1", "https://coder.example.com")

    async def authcheck(self, checks: Mapping[str, AuthorizationCheck]) -> dict[str, bool]:
        """Grant all checks except the denied ones."""
        self._record_call(ApiCall("authcheck"))
        return {key: key not in self.denied_checks for key in checks}

    async def token_expiry(self) -> datetime | None:
        """Return the data of the test."""
        self._record_call(ApiCall("token_expiry"))
        return self.token_expires_at

    async def entitlements(self) -> models.Entitlements:
        """Return the data of the test."""
        self._record_call(ApiCall("entitlements"))
        return self.entitlements_response

    async def user_count(self, status: str) -> int:
        """Count the users of the test."""
        self._record_call(ApiCall("user_count", status))
        return sum(user.status == status for user in self.user_list)

    # Inventory

    async def templates(self) -> Rows[models.Template]:
        """Return the data of the test."""
        call = ApiCall("templates")
        self._record_call(call)
        if self._has_invalid_row(call):
            return Rows(self.template_list[:-1], dropped=1)
        return Rows(self.template_list)

    async def users(self) -> list[models.User]:
        """Return the data of the test."""
        self._record_call(ApiCall("users"))
        return list(self.user_list)

    async def workspaces(self) -> list[models.Workspace]:
        """Return the data of the test."""
        self._record_call(ApiCall("workspaces"))
        return list(self.workspace_list)

    async def groups(self) -> Rows[models.Group]:
        """Return the data of the test."""
        self._record_call(ApiCall("groups"))
        return Rows(self.group_list)

    async def deployment_stats(self) -> models.DeploymentStats:
        """Count the workspaces of the test by build status."""
        self._record_call(ApiCall("deployment_stats"))
        statuses = Counter(row.latest_build.status for row in self.workspace_list)
        stats = {"workspaces": dict(statuses), "session_count": {}}
        return msgspec.convert(stats, models.DeploymentStats)

    async def rich_parameters(self, version_id: str) -> Rows[models.RichParameter]:
        """Return the data of the test."""
        call = ApiCall("rich_parameters", version_id)
        self._record_call(call)
        rows = self.parameters_by_version.get(version_id, [])
        return Rows(rows[:-1], dropped=1) if self._has_invalid_row(call) else Rows(rows)

    # Insights

    async def template_insights(
        self,
        start: datetime,
        end: datetime,
        *,
        template_ids: Sequence[str] = (),
        interval: Interval | None = None,
        sections: Sequence[Section] = ("report",),
    ) -> models.TemplateInsights:
        """Sum the usage of a range."""
        call = ApiCall("report", ",".join(template_ids), start, end)
        self._record_call(call)
        self._validate_range(start, end)
        report, intervals = None, []
        if "report" in sections:
            report = self._report(start, end, template_ids)
        if interval is not None and "interval_reports" in sections:
            step = DAY * (7 if interval == "week" else 1)
            while start < end:
                events = self._usage_in(start, min(start + step, end), template_ids)
                intervals.append(
                    models.IntervalReport(
                        start_time=start,
                        end_time=min(start + step, end),
                        active_users=len({event.user for event in events}),
                        interval=interval,
                        template_ids=sorted({event.template for event in events}),
                    )
                )
                start += step
        if report is not None and self._has_invalid_row(call):
            # The last app with use, and the last template, are lost.
            used = [app for app in report.apps_usage if app.seconds][-1:]
            apps = [app for app in report.apps_usage if app not in used]
            report = msgspec.structs.replace(report, apps_usage=apps, template_ids=report.template_ids[:-1])
            return models.TemplateInsights(report, intervals, dropped=1)
        return models.TemplateInsights(report, intervals)

    async def user_activity(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserActivityReport:
        """Sum the seconds by user."""
        call = ApiCall("activity", ",".join(template_ids), start, end)
        self._record_call(call)
        self._validate_range(start, end)
        seconds: dict[str, int] = defaultdict(int)
        templates: dict[str, set[str]] = defaultdict(set)
        for event in self._usage_in(start, end, template_ids):
            seconds[event.user] += event.seconds
            templates[event.user].add(event.template)
        users = [
            models.UserActivity(user, seconds[user], self._username(user), sorted(templates[user]))
            for user in sorted(seconds)
        ]
        if self._has_invalid_row(call):
            return models.UserActivityReport(start, end, users=users[:-1], dropped=1)
        return models.UserActivityReport(start, end, users=users)

    async def user_latency(
        self, start: datetime, end: datetime, *, template_ids: Sequence[str] = ()
    ) -> models.UserLatencyReport:
        """Return the greatest latency of each user as both percentiles."""
        call = ApiCall("latency", ",".join(template_ids), start, end)
        self._record_call(call)
        self._validate_range(start, end)
        latency: dict[str, float] = {}
        templates: dict[str, set[str]] = defaultdict(set)
        for event in self._usage_in(start, end, template_ids):
            latency[event.user] = max(latency.get(event.user, -1), event.latency)
            templates[event.user].add(event.template)
        users = [
            models.UserLatency(
                user,
                self._username(user),
                models.ConnectionLatency(latency[user], latency[user]),
                sorted(templates[user]),
            )
            for user in sorted(latency)
        ]
        if self._has_invalid_row(call):
            return models.UserLatencyReport(start, end, users=users[:-1], dropped=1)
        return models.UserLatencyReport(start, end, users=users)

    # Internals

    def _record_call(self, call: ApiCall) -> None:
        """Record a call; a fault of one template affects every request that contains it."""
        self.calls.append(call)
        for one in call.by_template():
            if (error := self.error_for(one)) is not None:
                raise error

    def _has_invalid_row(self, call: ApiCall) -> bool:
        return any(map(self.has_invalid_row, call.by_template()))

    def _validate_range(self, start: datetime, end: datetime) -> None:
        """Reject ranges that Coder rejects."""
        now = self.clock.now()
        midnight = (0, 0, 0)
        assert (start.hour, start.minute, start.second) == midnight
        assert start <= end <= now.replace(minute=0, second=0, microsecond=0) + HOUR
        today = now.astimezone(end.tzinfo).date()
        assert (end.minute, end.second) == (0, 0)
        assert end.hour == 0 or end.date() == today

    def _usage_in(self, start: datetime, end: datetime, template_ids: Sequence[str]) -> list[UsageEvent]:
        now = self.clock.now()
        return [
            event
            for template_id in template_ids or self.usage_events
            for event in self.usage_events.get(template_id, ())
            if start <= event.used_at < end and event.visible_from <= now and event.used_at <= now
        ]

    def _report(self, start: datetime, end: datetime, ids: Sequence[str]) -> models.TemplateReport:
        events = self._usage_in(start, end, ids)
        seconds: dict[str, int] = defaultdict(int)
        for event in events:
            seconds[event.app] += event.seconds
        apps = [
            models.AppUsage(slug, seconds.pop(slug, 0), "builtin", name, icon, 0)
            for slug, (name, icon) in BUILTIN_APPS.items()
        ]
        apps += [models.AppUsage(slug, seconds[slug], "app", slug, "", 1) for slug in sorted(seconds)]
        for template_id in ids or self.extra_apps:
            apps += self.extra_apps.get(template_id, []) if events else []
        return models.TemplateReport(
            start,
            end,
            active_users=len({event.user for event in events}),
            template_ids=sorted({event.template for event in events}),
            apps_usage=apps,
            parameters_usage=list(self._parameters(start, end, ids)),
        )

    def _parameters(
        self, start: datetime, end: datetime, ids: Sequence[str]
    ) -> Iterable[models.ParameterUsage]:
        for template_id in ids or self.parameter_usage:
            for created_at, usage in self.parameter_usage.get(template_id, ()):
                if start <= created_at < end and created_at <= self.clock.now():
                    yield usage

    def _username(self, user: str) -> str:
        return next((account.username for account in self.user_list if account.id == user), user)
