"""What the page says of the exporter itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from insights_exporter.landing_page.formatting import format_age, format_timestamp
from insights_exporter.landing_page.markup import Markup, element

__all__ = ["CollectorState", "ExporterStatus", "collectors"]


@dataclass(frozen=True, slots=True)
class CollectorState:
    """How a collector fares: ``at`` is its last success, ``fault`` why its last run failed, if it did.

    ``served`` says whether its numbers are in the snapshot, ``configured`` whether it runs at all.
    """

    name: str
    last_success: datetime | None = None
    error: str = ""
    served: bool = False
    configured: bool = True


@dataclass(frozen=True, slots=True)
class ExporterStatus:
    """The moment of the page, the exporter's version, why it is not ready, and its collectors."""

    now: datetime
    version: str
    not_ready_reason: str = ""
    collectors: Sequence[CollectorState] = ()
    names_shown: bool = True


_LABELS = {
    "inventory": "Templates, workspaces, users",
    "insights": "Insights",
    "deployment": "Deployment",
    "agent_stats": "Agent reports",
}


def collectors(status: ExporterStatus) -> Markup:
    """Return the collectors with their state and age."""
    rows = [
        element(
            "tr",
            element("th", _LABELS.get(one.name, one.name), scope="row"),
            element("td", _chip(one), _fault(one)),
            element("td", _age(one, status.now), class_="n"),
        )
        for one in status.collectors
    ]
    head = element(
        "tr",
        element("th", "Collector", scope="col"),
        element("th", "State", scope="col"),
        element("th", "Last success", scope="col", class_="n"),
    )
    return element("table", element("thead", head), element("tbody", rows))


def _chip(one: CollectorState) -> Markup:
    if not one.configured:
        return _colored("none", "○", "off")
    if one.error:
        return _colored("fair", "▲", "failing") if one.served else _colored("slow", "■", "no data")
    return _colored("good", "●", "ok") if one.served else _colored("none", "○", "waiting")


def _colored(kind: str, sign: str, word: str) -> Markup:
    return element("span", element("span", sign, aria_hidden="true"), word, class_=f"chip {kind}")


def _fault(one: CollectorState) -> Markup | None:
    text = one.error.replace("_", " ")
    return element("div", text, class_="soft small") if text and one.configured else None


def _age(one: CollectorState, now: datetime) -> Markup | str:
    if one.last_success is None:
        return "never" if one.configured else ""
    ago = format_age(max(0.0, (now - one.last_success).total_seconds()))
    return element(
        "time",
        ago,
        datetime=one.last_success.isoformat(timespec="seconds"),
        title=format_timestamp(one.last_success),
    )
