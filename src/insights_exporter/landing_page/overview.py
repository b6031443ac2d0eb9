"""The deployment as a whole: notices, key figures and active users."""

from __future__ import annotations

from insights_exporter.landing_page.charts import latency_bar
from insights_exporter.landing_page.formatting import (
    UNKNOWN_VALUE,
    LatencyBand,
    format_count,
    format_duration,
    format_percent,
)
from insights_exporter.landing_page.markup import Child, Markup, element, fragment
from insights_exporter.landing_page.status import ExporterStatus
from insights_exporter.landing_page.template_card import charts, window_title
from insights_exporter.landing_page.view_model import PageModel

__all__ = ["deployment_chart", "notices", "tiles"]


def notices(found: PageModel, status: ExporterStatus) -> Markup:
    """Return what the reader should know before the numbers."""
    parts = []
    if status.not_ready_reason:
        parts.append(
            element(
                "p", element("b", "Not ready. "), status.not_ready_reason, class_="notice slow", role="status"
            )
        )
    if found.collection_enabled is False:
        text = "Coder's collection of usage statistics is switched off, so zeros mean off and not idle."
        parts.append(element("p", element("b", "Statistics are off. "), text, class_="notice"))
    return fragment(parts)


def tiles(found: PageModel) -> Markup:
    """Return the key figures."""
    whole = found.deployment
    window = window_title(whole.window) if whole else "no data yet"
    today = whole.days[-1].value if whole and whole.days else None
    used = sum(1 for one in found.templates if one.users or one.seconds)
    return element(
        "dl",
        _tile(
            "Active users today",
            format_count(today),
            f"{format_count(whole.users if whole else None)} in the {window}",
        ),
        _tile("Time in workspaces", format_duration(whole.seconds) if whole else UNKNOWN_VALUE, window),
        _tile(
            "Templates in use",
            format_count(used) if found.templates else UNKNOWN_VALUE,
            f"of {format_count(len(found.templates))}, {window}" if found.templates else window,
        ),
        _latency(found, window),
        _fleet(found),
        _seats(found),
        class_="tiles",
    )


def deployment_chart(found: PageModel) -> Markup:
    """Return the active users of the whole deployment."""
    if found.deployment is None:
        return element("p", "The first poll has not succeeded yet.", class_="soft")
    return charts(found.deployment)


def _tile(title: str, number: str, *below: Child) -> Markup:
    return element(
        "div",
        element("dt", title),
        element("dd", number, class_="big"),
        element("dd", *below, class_="soft small"),
    )


def _latency(found: PageModel, window: str) -> Markup:
    counted: dict[LatencyBand, int] = dict(found.deployment.latency_bands) if found.deployment else {}
    total = sum(counted.values())
    if not total:
        return _tile("Users under 150 ms", UNKNOWN_VALUE, "no latency was measured")
    return element(
        "div",
        element("dt", "Users under 150 ms"),
        element("dd", format_percent(counted[LatencyBand.GOOD], total), class_="big"),
        element("dd", latency_bar(counted), title=window),
    )


def _fleet(found: PageModel) -> Markup:
    fleet = found.workspace_totals
    if fleet is None:
        return _tile("Workspaces running", UNKNOWN_VALUE, "no workspaces are visible to the token")
    return _tile(
        "Workspaces running",
        format_count(fleet.running),
        f"of {format_count(fleet.workspaces)}; {format_count(fleet.connected)} of {format_count(fleet.agents)} agents connected, "
        f"{format_count(fleet.outdated)} outdated",
    )


def _seats(found: PageModel) -> Markup:
    if found.seats is None:
        return _tile("Active accounts", format_count(found.seats_used), "no licence limit is known")
    left = found.seats - (found.seats_used or 0)
    return _tile(
        "Seats in use",
        format_count(found.seats_used),
        f"of {format_count(found.seats)}, {format_count(left)} left",
    )
