"""The deployment as a whole: notices, key figures and active users."""

from __future__ import annotations

from insights_exporter.page.chart import bands
from insights_exporter.page.facts import Facts
from insights_exporter.page.markup import Child, Markup, element, fragment
from insights_exporter.page.numbers import UNKNOWN, Band, count, duration, share
from insights_exporter.page.status import Status
from insights_exporter.page.template_card import charts, window_title

__all__ = ["deployment_chart", "notices", "tiles"]


def notices(found: Facts, status: Status) -> Markup:
    """Return what the reader should know before the numbers."""
    parts = []
    if status.unready:
        parts.append(
            element("p", element("b", "Not ready. "), status.unready, class_="notice slow", role="status")
        )
    if found.collection_enabled is False:
        text = "Coder's collection of usage statistics is switched off, so zeros mean off and not idle."
        parts.append(element("p", element("b", "Statistics are off. "), text, class_="notice"))
    return fragment(parts)


def tiles(found: Facts) -> Markup:
    """Return the key figures."""
    whole = found.deployment
    window = window_title(whole.window) if whole else "no data yet"
    today = whole.days[-1].value if whole and whole.days else None
    used = sum(1 for one in found.templates if one.users or one.seconds)
    return element(
        "dl",
        _tile("Active users today", count(today), f"{count(whole.users if whole else None)} in the {window}"),
        _tile("Time in workspaces", duration(whole.seconds) if whole else UNKNOWN, window),
        _tile(
            "Templates in use",
            count(used) if found.templates else UNKNOWN,
            f"of {count(len(found.templates))}, {window}" if found.templates else window,
        ),
        _latency(found, window),
        _fleet(found),
        _seats(found),
        class_="tiles",
    )


def deployment_chart(found: Facts) -> Markup:
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


def _latency(found: Facts, window: str) -> Markup:
    counted: dict[Band, int] = dict(found.deployment.latency_bands) if found.deployment else {}
    total = sum(counted.values())
    if not total:
        return _tile("Users under 150 ms", UNKNOWN, "no latency was measured")
    return element(
        "div",
        element("dt", "Users under 150 ms"),
        element("dd", share(counted[Band.GOOD], total), class_="big"),
        element("dd", bands(counted), title=window),
    )


def _fleet(found: Facts) -> Markup:
    fleet = found.fleet
    if fleet is None:
        return _tile("Workspaces running", UNKNOWN, "no workspaces are visible to the token")
    return _tile(
        "Workspaces running",
        count(fleet.running),
        f"of {count(fleet.workspaces)}; {count(fleet.connected)} of {count(fleet.agents)} agents connected, "
        f"{count(fleet.outdated)} outdated",
    )


def _seats(found: Facts) -> Markup:
    if found.seats is None:
        return _tile("Active accounts", count(found.seats_used), "no licence limit is known")
    left = found.seats - (found.seats_used or 0)
    return _tile("Seats in use", count(found.seats_used), f"of {count(found.seats)}, {count(left)} left")
