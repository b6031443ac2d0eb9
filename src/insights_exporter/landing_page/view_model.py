"""What the page shows of a snapshot: chosen, sorted and made fit for other eyes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from statistics import median

from insights_exporter.coder import time_ranges
from insights_exporter.landing_page.charts import Bar
from insights_exporter.landing_page.formatting import LatencyBand, latency_band
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import (
    Inventory,
    Latency,
    ParameterUsage,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    UserLatency,
    WindowUsage,
)

__all__ = [
    "PageModel",
    "ParameterCounts",
    "TemplateModel",
    "ViewOptions",
    "WorkspaceTotals",
    "build_page_model",
]


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """How the page looks at a snapshot; the offset is in hours, ``free_text`` as in the privacy settings."""

    username_policy: UsernamePolicy
    show_free_text: bool = False
    utc_offset: int = 0


@dataclass(frozen=True, slots=True)
class ParameterCounts:
    """A parameter with how many workspaces have which value; ``hidden`` have one that is not shown."""

    label: str
    counts: Sequence[tuple[str, int]]
    hidden_count: int = 0


@dataclass(frozen=True, slots=True)
class TemplateModel:
    """One template, or all of them together where ``key`` is None; times are seconds."""

    key: TemplateKey | None
    title: str
    window: str
    users: int | None = None
    seconds: float = 0.0
    apps: Sequence[tuple[str, str, float, int | None]] = ()
    days: Sequence[Bar] = ()
    weeks: Sequence[Bar] = ()
    user_latency: Sequence[UserLatency] = ()
    latency_bands: Mapping[LatencyBand, int] = field(default_factory=dict)
    latency_median: float | None = None
    users_without_latency: int = 0
    user_activity: Sequence[tuple[str, float]] = ()
    parameters: Sequence[ParameterCounts] = ()
    deprecated: bool = False
    running_workspaces: int = 0
    workspaces: int = 0

    @property
    def anchor(self) -> str:
        """What an address behind ``#`` says: the same at each poll, and of harmless letters."""
        text = "\0".join(self.key or ())
        return "t-" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class WorkspaceTotals:
    """Workspaces and their agents; None where they may not be seen."""

    workspaces: int = 0
    running: int = 0
    agents: int = 0
    connected: int = 0
    outdated: int = 0


@dataclass(frozen=True, slots=True)
class PageModel:
    """All that the page shows of a snapshot; a part that is unknown is None or empty."""

    deployment: TemplateModel | None = None
    templates: Sequence[TemplateModel] = ()
    workspace_totals: WorkspaceTotals | None = None
    version: str = ""
    url: str = ""
    seats_used: int | None = None
    seats: int | None = None
    collection_enabled: bool | None = None


def build_page_model(snapshot: Snapshot, options: ViewOptions) -> PageModel:
    """Return what the page shows, templates by users and then by time and name."""
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
                workspace_counts = counts_by_template.get(usage.key, (0, 0))
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
        version=seats.version if seats else "",
        url=seats.dashboard_url if seats else "",
        seats_used=seats.users.get("active") if seats else None,
        seats=seats.license_user_limit if seats else None,
        collection_enabled=snapshot.insights.value.collection_enabled if snapshot.insights else None,
    )


def _build_template_model(
    usage: TemplateUsage,
    template: Template | None,
    workspace_counts: tuple[int, int],
    options: ViewOptions,
    today: date,
) -> TemplateModel:
    window = _select_window(usage.windows)
    title = "All templates" if usage.key is None else usage.key.template_name
    if template is not None and template.display_name:
        title = template.display_name
    window_latency = Latency() if window is None else window.latency
    medians = list(window_latency.p50.values())
    return TemplateModel(
        key=usage.key,
        title=title,
        window="" if window is None else window.window,
        users=None if window is None else window.active_users,
        seconds=0.0 if window is None else window.seconds,
        apps=() if window is None else _app_usage(window),
        days=_day_bars(usage.days, today),
        weeks=_week_bars(usage.weeks, today),
        user_latency=_user_latency(window_latency, options.username_policy),
        latency_bands=_count_bands(medians),
        latency_median=median(medians) if medians else None,
        users_without_latency=len(window_latency.users) - len(window_latency.p50),
        user_activity=() if window is None else _user_activity(window.activity, options.username_policy),
        parameters=()
        if window is None
        else tuple(_parameter_counts(parameter, options) for parameter in window.parameters),
        deprecated=template is not None and template.deprecated,
        running_workspaces=workspace_counts[0],
        workspaces=workspace_counts[1],
    )


def _select_window(usages: Sequence[WindowUsage]) -> WindowUsage | None:
    """Return the week that Coder's page begins with, or the longest window there is."""
    week = next((usage for usage in usages if usage.window == "7d"), None)
    return week or max(usages, key=lambda usage: usage.end - usage.start, default=None)


def _app_usage(window: WindowUsage) -> tuple[tuple[str, str, float, int | None], ...]:
    used = sorted((app for app in window.apps if app.seconds > 0), key=lambda app: (-app.seconds, app.slug))
    return tuple((app.display_name or app.slug, app.slug, app.seconds, app.opens) for app in used)


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


def _user_latency(latency: Latency, username_policy: UsernamePolicy) -> tuple[UserLatency, ...]:
    visible = [
        UserLatency(name, p50, latency.p95.get(user))
        for user, p50 in latency.p50.items()
        if (name := username_policy.pseudonymize(user)) is not None
    ]
    return tuple(sorted(visible, key=lambda user_latency: (-(user_latency.p50 or 0), user_latency.username)))


def _count_bands(latencies: Iterable[float]) -> dict[LatencyBand, int]:
    counts = dict.fromkeys(LatencyBand, 0)
    for seconds in latencies:
        counts[latency_band(seconds)] += 1
    return counts


def _worst_latency_by_user(usages: Iterable[TemplateUsage]) -> dict[str, float]:
    """Return each user's latency in the template where it is worst, so that nobody counts twice."""
    worst: dict[str, float] = {}
    for usage in usages:
        window = _select_window(usage.windows)
        for user, p50 in () if window is None else window.latency.p50.items():
            worst[user] = max(p50, worst.get(user, 0.0))
    return worst


def _user_activity(
    seconds_by_user: Mapping[str, float], username_policy: UsernamePolicy
) -> tuple[tuple[str, float], ...]:
    visible = [
        (name, seconds)
        for user, seconds in seconds_by_user.items()
        if (name := username_policy.pseudonymize(user)) is not None
    ]
    return tuple(sorted(visible, key=lambda row: (-row[1], row[0])))


def _parameter_counts(usage: ParameterUsage, options: ViewOptions) -> ParameterCounts:
    names = {option.value: option.name or option.value for option in usage.options}
    # True and false are all that a switch can say, so they tell of nobody.
    declared_values = set(names) | ({"true", "false"} if usage.type == "bool" else set())
    rows = [
        (names.get(value, value), workspaces)
        for value, workspaces in usage.values.items()
        if options.show_free_text or value in declared_values
    ]
    hidden = sum(
        workspaces
        for value, workspaces in usage.values.items()
        if not options.show_free_text and value not in declared_values
    )
    return ParameterCounts(
        usage.display_name or usage.name, sorted(rows, key=lambda row: (-row[1], row[0])), hidden
    )


def _workspace_counts(inventory: Inventory) -> dict[TemplateKey, tuple[int, int]]:
    """Return how many workspaces of each template run, and how many there are."""
    counts: dict[TemplateKey, tuple[int, int]] = {}
    for workspace in inventory.workspaces:
        running, total = counts.get(workspace.key, (0, 0))
        counts[workspace.key] = (running + (workspace.status == "running"), total + 1)
    return counts


def _workspace_totals(inventory: Inventory) -> WorkspaceTotals:
    running = [one for one in inventory.workspaces if one.status == "running"]
    agents = [agent for workspace in running for agent in workspace.agents]
    connected = [agent for agent in agents if agent.status == "connected"]
    return WorkspaceTotals(
        workspaces=len(inventory.workspaces),
        running=len(running),
        agents=len(agents),
        connected=len(connected),
        outdated=sum(agent.outdated for agent in connected),
    )
