"""What the page shows of a snapshot: chosen, sorted and made fit for other eyes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from hashlib import sha256
from statistics import median

from insights_exporter.coder import windows
from insights_exporter.page.chart import Bar
from insights_exporter.page.numbers import Band, band
from insights_exporter.redaction import Redaction
from insights_exporter.snapshot import (
    Inventory,
    Latency,
    ParameterUse,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUse,
    UserLatency,
    WindowUse,
)

__all__ = ["Facts", "Fleet", "Lens", "TemplateFacts", "Values", "facts"]


@dataclass(frozen=True, slots=True)
class Lens:
    """How the page looks at a snapshot; the offset is in hours, ``free_text`` as in the privacy settings."""

    redaction: Redaction
    free_text: bool = False
    utc_offset: int = 0


@dataclass(frozen=True, slots=True)
class Values:
    """A parameter with how many workspaces have which value; ``hidden`` have one that is not shown."""

    label: str
    rows: Sequence[tuple[str, int]]
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """One template, or all of them together where ``key`` is None; times are seconds."""

    key: TemplateKey | None
    title: str
    window: str
    users: int | None = None
    seconds: float = 0.0
    apps: Sequence[tuple[str, str, float, int | None]] = ()
    days: Sequence[Bar] = ()
    weeks: Sequence[Bar] = ()
    latency: Sequence[UserLatency] = ()
    latency_bands: Mapping[Band, int] = field(default_factory=dict)
    latency_median: float | None = None
    unmeasured: int = 0
    activity: Sequence[tuple[str, float]] = ()
    parameters: Sequence[Values] = ()
    deprecated: bool = False
    running: int = 0
    workspaces: int = 0

    @property
    def anchor(self) -> str:
        """What an address behind ``#`` says: the same at each poll, and of harmless letters."""
        text = "\0".join(self.key or ())
        return "t-" + sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workspaces and their agents; None where they may not be seen."""

    workspaces: int = 0
    running: int = 0
    agents: int = 0
    connected: int = 0
    outdated: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the page shows of a snapshot; a part that is unknown is None or empty."""

    deployment: TemplateFacts | None = None
    templates: Sequence[TemplateFacts] = ()
    fleet: Fleet | None = None
    version: str = ""
    url: str = ""
    seats_used: int | None = None
    seats: int | None = None
    collection_enabled: bool | None = None


def facts(snapshot: Snapshot, lens: Lens) -> Facts:
    """Return what the page shows, templates by users and then by time and name."""
    inventory = snapshot.inventory.value if snapshot.inventory else None
    known = {} if inventory is None else {template.key: template for template in inventory.templates}
    homes = {} if inventory is None else _homes(inventory)
    deployment, templates = None, []
    if snapshot.insights:
        today = windows.local_day(snapshot.insights.at, lens.utc_offset)
        insights = snapshot.insights.value
        deployment = _template(insights.deployment, None, (0, 0), lens, today)
        if not any(deployment.latency_bands.values()):
            deployment = replace(deployment, latency_bands=_bands(_slowest(insights.templates).values()))
        for use in insights.templates:
            if use.key is not None:
                home = homes.get(use.key, (0, 0))
                templates.append(_template(use, known.get(use.key), home, lens, today))
        templates.sort(key=lambda one: (-(one.users or 0), -one.seconds, one.key or ("", "")))
    seats = snapshot.deployment.value if snapshot.deployment else None
    return Facts(
        deployment=deployment,
        templates=templates,
        fleet=None if inventory is None or not inventory.workspaces else _fleet(inventory),
        version=seats.version if seats else "",
        url=seats.dashboard_url if seats else "",
        seats_used=seats.users.get("active") if seats else None,
        seats=seats.license_user_limit if seats else None,
        collection_enabled=snapshot.insights.value.collection_enabled if snapshot.insights else None,
    )


def _template(
    use: TemplateUse, template: Template | None, home: tuple[int, int], lens: Lens, today: date
) -> TemplateFacts:
    window = _window(use.windows)
    title = "All templates" if use.key is None else use.key.template_name
    if template is not None and template.display_name:
        title = template.display_name
    latency = Latency() if window is None else window.latency
    middle = list(latency.p50.values())
    return TemplateFacts(
        key=use.key,
        title=title,
        window="" if window is None else window.window,
        users=None if window is None else window.active_users,
        seconds=0.0 if window is None else window.seconds,
        apps=() if window is None else _apps(window),
        days=_days(use.days, today),
        weeks=_weeks(use.weeks, today),
        latency=_latency(latency, lens.redaction),
        latency_bands=_bands(middle),
        latency_median=median(middle) if middle else None,
        unmeasured=len(latency.users) - len(latency.p50),
        activity=() if window is None else _activity(window.activity, lens.redaction),
        parameters=() if window is None else tuple(_values(one, lens) for one in window.parameters),
        deprecated=template is not None and template.deprecated,
        running=home[0],
        workspaces=home[1],
    )


def _window(found: Sequence[WindowUse]) -> WindowUse | None:
    """Return the week that Coder's page begins with, or the longest window there is."""
    week = next((one for one in found if one.window == "7d"), None)
    return week or max(found, key=lambda one: one.end - one.start, default=None)


def _apps(window: WindowUse) -> tuple[tuple[str, str, float, int | None], ...]:
    used = sorted((one for one in window.apps if one.seconds > 0), key=lambda one: (-one.seconds, one.slug))
    return tuple((one.display_name or one.slug, one.slug, one.seconds, one.opens) for one in used)


def _days(found: Sequence[int | None], today: date) -> tuple[Bar, ...]:
    bars = []
    for ago in reversed(range(len(found))):
        day = today - timedelta(days=ago)
        label = f"{day:%a} {day.day} {day:%b}" + (" (so far)" if ago == 0 else "")
        bars.append(Bar(label, found[ago], "today" if ago == 0 else f"{day:%a}", open=ago == 0))
    return tuple(bars)


def _weeks(found: Sequence[int | None], today: date) -> tuple[Bar, ...]:
    bars = []
    for ago in reversed(range(len(found))):
        end = today - timedelta(days=2 + 7 * ago)
        begin = end - timedelta(days=6)
        label = f"{begin.day} {begin:%b} to {end.day} {end:%b}"
        bars.append(Bar(label, found[ago], f"{begin.day} {begin:%b}" if ago % 3 == 1 else ""))
    return tuple(bars)


def _latency(latency: Latency, redaction: Redaction) -> tuple[UserLatency, ...]:
    shown = [
        UserLatency(name, p50, latency.p95.get(user))
        for user, p50 in latency.p50.items()
        if (name := redaction.name(user)) is not None
    ]
    return tuple(sorted(shown, key=lambda one: (-(one.p50 or 0), one.username)))


def _bands(measured: Iterable[float]) -> dict[Band, int]:
    found = dict.fromkeys(Band, 0)
    for seconds in measured:
        found[band(seconds)] += 1
    return found


def _slowest(uses: Iterable[TemplateUse]) -> dict[str, float]:
    """Return each user's latency in the template where it is worst, so that nobody counts twice."""
    found: dict[str, float] = {}
    for use in uses:
        window = _window(use.windows)
        for user, p50 in () if window is None else window.latency.p50.items():
            found[user] = max(p50, found.get(user, 0.0))
    return found


def _activity(found: Mapping[str, float], redaction: Redaction) -> tuple[tuple[str, float], ...]:
    shown = [(name, seconds) for user, seconds in found.items() if (name := redaction.name(user)) is not None]
    return tuple(sorted(shown, key=lambda one: (-one[1], one[0])))


def _values(use: ParameterUse, lens: Lens) -> Values:
    names = {option.value: option.name or option.value for option in use.options}
    # True and false are all that a switch can say, so they tell of nobody.
    closed = set(names) | ({"true", "false"} if use.type == "bool" else set())
    rows = [
        (names.get(value, value), workspaces)
        for value, workspaces in use.values.items()
        if lens.free_text or value in closed
    ]
    hidden = sum(
        workspaces for value, workspaces in use.values.items() if not lens.free_text and value not in closed
    )
    return Values(use.display_name or use.name, sorted(rows, key=lambda row: (-row[1], row[0])), hidden)


def _homes(inventory: Inventory) -> dict[TemplateKey, tuple[int, int]]:
    """Return how many workspaces of each template run, and how many there are."""
    found: dict[TemplateKey, tuple[int, int]] = {}
    for workspace in inventory.workspaces:
        running, every = found.get(workspace.key, (0, 0))
        found[workspace.key] = (running + (workspace.status == "running"), every + 1)
    return found


def _fleet(inventory: Inventory) -> Fleet:
    running = [one for one in inventory.workspaces if one.status == "running"]
    agents = [agent for workspace in running for agent in workspace.agents]
    connected = [agent for agent in agents if agent.status == "connected"]
    return Fleet(
        workspaces=len(inventory.workspaces),
        running=len(running),
        agents=len(agents),
        connected=len(connected),
        outdated=sum(agent.outdated for agent in connected),
    )
