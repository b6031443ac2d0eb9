"""Build the data of the landing page: selected, sorted and filtered by the privacy settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from statistics import median

from insights_exporter.coder import time_ranges
from insights_exporter.landing_page.formatting import DisplayName, LatencyBand, display_name, latency_band
from insights_exporter.privacy import UsernamePolicy, parameter_value_filter
from insights_exporter.snapshot import (
    Inventory,
    Latency,
    ParameterUsage,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    WindowUsage,
    Workspace,
)

__all__ = [
    "AppUsageRow",
    "Bar",
    "PageModel",
    "ParameterCounts",
    "TemplateModel",
    "UserLatencyRow",
    "ViewOptions",
    "WorkspaceTotals",
    "build_page_model",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """Settings that change what the page shows.

    ``max_name_length`` is in characters, ``utc_offset`` in hours.
    """

    username_policy: UsernamePolicy
    max_name_length: int
    show_free_text: bool = False
    utc_offset: int = 0

    def name(self, text: str, *, tooltip: str = "") -> DisplayName:
        """Return a name cut to the configured length."""
        return display_name(text, self.max_name_length, tooltip=tooltip)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart: its full label, a short label below it or none; ``incomplete`` values still grow."""

    label: str
    value: int | None
    tick: str = ""
    incomplete: bool = False


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """Workspaces by value of one parameter; ``hidden_count`` workspaces have a value that is hidden."""

    label: DisplayName
    counts: Sequence[tuple[DisplayName, int]]
    hidden_count: int = 0


@dataclass(frozen=True, slots=True)
class AppUsageRow:
    """Usage of one app; ``opens`` is None if Coder does not count them."""

    name: DisplayName
    seconds: float
    opens: int | None


@dataclass(frozen=True, slots=True)
class UserLatencyRow:
    """Latency of one user in seconds."""

    user: DisplayName
    p50: float
    p95: float | None


@dataclass(frozen=True, slots=True)
class TemplateModel:
    """One template, or the whole deployment if ``key`` is None. Times are in seconds."""

    key: TemplateKey | None
    title: DisplayName
    organization: DisplayName
    template_name: DisplayName
    window: str
    users: int | None = None
    seconds: float = 0.0
    apps: Sequence[AppUsageRow] = ()
    days: Sequence[Bar] = ()
    weeks: Sequence[Bar] = ()
    user_latency: Sequence[UserLatencyRow] = ()
    latency_bands: Mapping[LatencyBand, int] = field(default_factory=dict)
    latency_median: float | None = None
    users_without_latency: int = 0
    user_activity: Sequence[tuple[DisplayName, float]] = ()
    parameters: Sequence[ParameterCounts] = ()
    deprecated: bool = False
    running_workspaces: int | None = 0
    workspaces: int | None = 0

    @property
    def anchor(self) -> str:
        """HTML id of the template; the same after each poll, and free of characters of the name."""
        text = "\0".join(self.key or ())
        return "t-" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]

    @property
    def is_used(self) -> bool:
        """Whether the template was used in the window."""
        return bool(self.users or self.seconds)

    @property
    def window_title(self) -> str:
        """Window in words."""
        days = self.window.removesuffix("d")
        return f"last {days} days" if days.isdigit() else self.window or "no window"


@dataclass(frozen=True, slots=True)
class WorkspaceTotals:
    """Workspaces of the deployment and the agents of running ones."""

    workspaces: int = 0
    running: int = 0
    agents: int = 0
    connected: int = 0
    outdated: int = 0


@dataclass(frozen=True, slots=True)
class PageModel:
    """Everything that the page shows of a snapshot; unknown parts are None or empty."""

    deployment: TemplateModel | None = None
    templates: Sequence[TemplateModel] = ()
    workspace_totals: WorkspaceTotals | None = None
    version: DisplayName | None = None
    seats_used: int | None = None
    seats: int | None = None
    collection_enabled: bool | None = None
    has_inventory: bool = False
    withholds_workspaces: bool = False
    has_deployment: bool = False

    @property
    def active_users_today(self) -> int | None:
        """Active users of the deployment since midnight."""
        return self.deployment.days[-1].value if self.deployment and self.deployment.days else None

    @property
    def used_templates(self) -> int:
        """Number of templates that were used in the window."""
        return sum(template.is_used for template in self.templates)


def build_page_model(snapshot: Snapshot, options: ViewOptions) -> PageModel:
    """Return the data of the page; templates are sorted by users, then usage, then name."""
    inventory = snapshot.inventory.value if snapshot.inventory else None
    templates_by_key = (
        {} if inventory is None else {template.key: template for template in inventory.templates}
    )
    counts_by_template = {} if inventory is None else _workspace_counts(inventory)
    deployment, templates = None, []
    if snapshot.insights:
        today = time_ranges.local_day(snapshot.insights.at, options.utc_offset)
        insights = snapshot.insights.value
        deployment = _build_template_model(insights.deployment, None, (0, 0), options, today)
        if not any(deployment.latency_bands.values()):
            deployment = replace(
                deployment, latency_bands=_count_bands(_worst_latency_by_user(insights.templates).values())
            )
        for usage in insights.templates:
            if usage.key is not None:
                # With few owners the number is withheld, which is not 0.
                is_withheld = inventory is not None and usage.key in inventory.withheld_templates
                workspace_counts = (None, None) if is_withheld else counts_by_template.get(usage.key, (0, 0))
                templates.append(
                    _build_template_model(
                        usage, templates_by_key.get(usage.key), workspace_counts, options, today
                    )
                )
        templates.sort(
            key=lambda template_model: (
                -(template_model.users or 0),
                -template_model.seconds,
                template_model.key or ("", ""),
            )
        )
    seats = snapshot.deployment.value if snapshot.deployment else None
    return PageModel(
        deployment=deployment,
        templates=templates,
        workspace_totals=None
        if inventory is None or not inventory.workspaces
        else _workspace_totals(inventory),
        version=options.name(seats.version) if seats and seats.version else None,
        seats_used=_seats(seats.license_used) if seats else None,
        seats=_seats(seats.license_limits) if seats else None,
        collection_enabled=snapshot.insights.value.collection_enabled if snapshot.insights else None,
        has_inventory=inventory is not None,
        withholds_workspaces=inventory is not None and bool(inventory.withheld_templates),
        has_deployment=seats is not None,
    )


def _build_template_model(
    usage: TemplateUsage,
    template: Template | None,
    workspace_counts: tuple[int | None, int | None],
    options: ViewOptions,
    today: date,
) -> TemplateModel:
    window = _select_window(usage.windows)
    organization_name, template_name = usage.key or ("", "All templates")
    display_name_of_template = template.display_name if template is not None else ""
    window_latency = Latency() if window is None else window.latency
    medians = list(window_latency.p50.values())
    return TemplateModel(
        key=usage.key,
        title=options.name(display_name_of_template or template_name),
        organization=options.name(organization_name),
        template_name=options.name(template_name),
        window="" if window is None else window.window,
        users=None if window is None else window.active_users,
        seconds=0.0 if window is None else window.seconds,
        apps=() if window is None else _app_usage(window, options),
        days=_day_bars(usage.days, today),
        weeks=_week_bars(usage.weeks, today),
        user_latency=_user_latency(window_latency, options),
        latency_bands=_count_bands(medians),
        latency_median=median(medians) if medians else None,
        users_without_latency=len(window_latency.users) - len(window_latency.p50),
        user_activity=() if window is None else _user_activity(window.activity, options),
        parameters=()
        if window is None
        else tuple(_parameter_counts(parameter, options) for parameter in window.parameters),
        deprecated=template is not None and template.deprecated,
        running_workspaces=workspace_counts[0],
        workspaces=workspace_counts[1],
    )


def _select_window(usages: Sequence[WindowUsage]) -> WindowUsage | None:
    """Return the window of seven days, with which Coder's page starts, or else the longest."""
    week = next((usage for usage in usages if usage.window == "7d"), None)
    return week or max(usages, key=lambda usage: usage.end - usage.start, default=None)


def _app_usage(window: WindowUsage, options: ViewOptions) -> tuple[AppUsageRow, ...]:
    used = sorted((app for app in window.apps if app.seconds > 0), key=lambda app: (-app.seconds, app.slug))
    return tuple(
        AppUsageRow(options.name(app.display_name or app.slug, tooltip=app.slug), app.seconds, app.opens)
        for app in used
    )


def _day_bars(users_by_day: Sequence[int | None], today: date) -> tuple[Bar, ...]:
    bars = []
    for days_ago in reversed(range(len(users_by_day))):
        day = today - timedelta(days=days_ago)
        label = f"{day:%a} {day.day} {day:%b}" + (" (so far)" if days_ago == 0 else "")
        bars.append(
            Bar(
                label,
                users_by_day[days_ago],
                "today" if days_ago == 0 else f"{day:%a}",
                incomplete=days_ago == 0,
            )
        )
    return tuple(bars)


def _week_bars(users_by_week: Sequence[int | None], today: date) -> tuple[Bar, ...]:
    bars = []
    for weeks_ago in reversed(range(len(users_by_week))):
        end = today - timedelta(days=2 + 7 * weeks_ago)
        start = end - timedelta(days=6)
        label = f"{start.day} {start:%b} to {end.day} {end:%b}"
        bars.append(
            Bar(label, users_by_week[weeks_ago], f"{start.day} {start:%b}" if weeks_ago % 3 == 1 else "")
        )
    return tuple(bars)


def _user_latency(latency: Latency, options: ViewOptions) -> tuple[UserLatencyRow, ...]:
    """Return the users with a latency, the slowest first."""
    visible = [
        (name, p50, latency.p95.get(user))
        for user, p50 in latency.p50.items()
        if (name := options.username_policy.pseudonymize(user)) is not None
    ]
    visible.sort(key=lambda row: (-row[1], row[0]))
    return tuple(UserLatencyRow(options.name(name), p50, p95) for name, p50, p95 in visible)


def _count_bands(latencies: Iterable[float]) -> dict[LatencyBand, int]:
    counts = dict.fromkeys(LatencyBand, 0)
    for seconds in latencies:
        counts[latency_band(seconds)] += 1
    return counts


def _worst_latency_by_user(usages: Iterable[TemplateUsage]) -> dict[str, float]:
    """Return the latency of each user in the template where it is highest, so that users count once."""
    worst: dict[str, float] = {}
    for usage in usages:
        window = _select_window(usage.windows)
        for user, p50 in () if window is None else window.latency.p50.items():
            worst[user] = max(p50, worst.get(user, 0.0))
    return worst


def _user_activity(
    seconds_by_user: Mapping[str, float], options: ViewOptions
) -> tuple[tuple[DisplayName, float], ...]:
    """Return the time of each user, the most active first."""
    visible = [
        (name, seconds)
        for user, seconds in seconds_by_user.items()
        if (name := options.username_policy.pseudonymize(user)) is not None
    ]
    visible.sort(key=lambda row: (-row[1], row[0]))
    return tuple((options.name(name), seconds) for name, seconds in visible)


def _parameter_counts(usage: ParameterUsage, options: ViewOptions) -> ParameterCounts:
    names = {option.value: option.name or option.value for option in usage.options}
    is_visible = parameter_value_filter(usage, show_free_text=options.show_free_text)
    rows = [
        (names.get(value, value) or "(empty)", workspaces)
        for value, workspaces in usage.values.items()
        if is_visible(value)
    ]
    rows.sort(key=lambda row: (-row[1], row[0]))
    hidden_count = sum(workspaces for value, workspaces in usage.values.items() if not is_visible(value))
    return ParameterCounts(
        options.name(usage.display_name or usage.name),
        [(options.name(name), workspaces) for name, workspaces in rows],
        hidden_count,
    )


def _seats(amounts: Mapping[str, float]) -> int | None:
    """Return the amount of the licence's seats."""
    seats = amounts.get("user_limit")
    return None if seats is None else int(seats)


def _user_workspaces(inventory: Inventory) -> list[Workspace]:
    """Return the workspaces without prebuilt ones."""
    return [workspace for workspace in inventory.workspaces if not workspace.is_prebuild]


def _workspace_counts(inventory: Inventory) -> dict[TemplateKey, tuple[int, int]]:
    """Return the running and all workspaces of each template."""
    counts: dict[TemplateKey, tuple[int, int]] = {}
    for workspace in _user_workspaces(inventory):
        running, total = counts.get(workspace.key, (0, 0))
        counts[workspace.key] = (running + (workspace.status == "running"), total + 1)
    return counts


def _workspace_totals(inventory: Inventory) -> WorkspaceTotals:
    workspaces = _user_workspaces(inventory)
    running = [workspace for workspace in workspaces if workspace.status == "running"]
    agents = [agent for workspace in running for agent in workspace.agents]
    connected = [agent for agent in agents if agent.status == "connected"]
    return WorkspaceTotals(
        workspaces=len(workspaces),
        running=len(running),
        agents=len(agents),
        connected=len(connected),
        outdated=sum(agent.outdated for agent in connected),
    )
