"""The landing page: what the exporter knows, at a glance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from insights_exporter.page.facts import Facts, Lens, TemplateFacts, facts
from insights_exporter.page.markup import Markup, element, fragment, name
from insights_exporter.page.numbers import count, duration, moment
from insights_exporter.page.overview import deployment_chart, notices, tiles
from insights_exporter.page.status import Status, collectors
from insights_exporter.page.style import POLICY, STYLE
from insights_exporter.page.template_card import card, latency_text, window_title
from insights_exporter.server.routes import Page
from insights_exporter.snapshot import Snapshot

__all__ = ["Landing"]

EXPANDED = 20
"""How many templates show their panels; the rest stand in a table."""


@dataclass(frozen=True, slots=True)
class _Body:
    """What is written once per snapshot."""

    facts: Facts
    tiles: Markup
    chart: Markup
    templates: Markup


@dataclass(slots=True)
class Landing:
    """Writes the page; what depends on the snapshot alone is written once per snapshot, off the loop."""

    lens: Lens
    _snapshot: Snapshot | None = field(default=None, init=False)
    _body: _Body | None = field(default=None, init=False)
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def page(self, snapshot: Snapshot | None, status: Status) -> Page:
        """Return the page of a snapshot; None is before the first poll."""
        async with self._writing:
            if self._body is None or snapshot is not self._snapshot:
                self._body = await asyncio.to_thread(_body, snapshot, self.lens)
                self._snapshot = snapshot
        return Page(_document(self._body, status).encode(), POLICY)


def _body(snapshot: Snapshot | None, lens: Lens) -> _Body:
    found = Facts() if snapshot is None else facts(snapshot, lens)
    return _Body(
        found, tiles(found), deployment_chart(found), _templates(found, people=not lens.redaction.off)
    )


def _document(body: _Body, status: Status) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="robots", content="noindex"),
        element("title", "Coder Template Insights"),
        element("style", Markup(STYLE)),
    )
    main = element(
        "main",
        notices(body.facts, status),
        body.tiles,
        element(
            "div",
            element("section", body.chart, class_="card", aria_label="Active users of the deployment"),
            element("section", collectors(status), class_="card", aria_label="Collectors"),
            class_="two",
        ),
        body.templates,
        id="main",
    )
    skip = element("a", "Skip to the numbers", href="#main", class_="skip")
    return "<!doctype html>" + element(
        "html", head, element("body", skip, _header(body, status), main, _footer(status)), lang="en"
    )


def _header(body: _Body, status: Status) -> Markup:
    kind, sign, word = ("slow", "■", "not ready") if status.unready else ("good", "●", "ready")
    about = [element("span", "Coder ", name(body.facts.version), class_="soft")] if body.facts.version else []
    links = [
        element("a", text, href=href)
        for text, href in (
            ("Metrics", "metrics"),
            ("Configuration", "config"),
            ("Health", "-/healthy"),
            ("Readiness", "-/ready"),
        )
    ]
    return element(
        "header",
        element(
            "div",
            element("h1", "Coder Template Insights"),
            element("span", element("span", sign, aria_hidden="true"), word, class_=f"chip {kind}"),
            about,
            element("nav", links, aria_label="Pages"),
        ),
    )


def _footer(status: Status) -> Markup:
    return element("footer", f"insights_exporter {status.version}, {moment(status.now)}.")


def _templates(found: Facts, *, people: bool) -> Markup:
    if not found.templates:
        return element("p", "No templates are known yet.", class_="soft")
    used = [one for one in found.templates if one.users or one.seconds]
    shown = (used or list(found.templates))[:EXPANDED]
    apart = {id(one) for one in shown}
    rest = [one for one in found.templates if id(one) not in apart]
    title = (
        "Templates"
        if not rest
        else f"Templates with the most users ({len(shown)} of {len(found.templates):,})"
    )
    return fragment(
        element("h2", title),
        [card(one, people=people) for one in shown],
        _table(rest, used=len(used)) if rest else None,
    )


_COLUMNS = (
    ("Template", None),
    ("Organization", None),
    ("Active users", "n"),
    ("Time", "n"),
    ("Median latency", "n"),
    ("Workspaces", "n"),
    ("Most used app", None),
)


def _table(templates: list[TemplateFacts], *, used: int) -> Markup:
    window = window_title(templates[0].window)
    heads = [element("th", text, scope="col", class_=css) for text, css in _COLUMNS]
    table = element(
        "table",
        element("caption", f"The {window}. {count(used)} templates are in use."),
        element("thead", element("tr", heads)),
        element("tbody", map(_row, templates)),
    )
    title = "Other templates"
    region = element("div", table, class_="scroll", tabindex=0, role="region", aria_label=title)
    return fragment(element("h2", title, id="others"), element("div", region, class_="card"))


def _row(template: TemplateFacts) -> Markup:
    return element(
        "tr",
        element("th", name(template.title), scope="row", id=template.anchor),
        element("td", name(template.key.organization_name if template.key else "")),
        element("td", count(template.users), class_="n"),
        element("td", duration(template.seconds), class_="n"),
        element("td", latency_text(template.latency_median), class_="n"),
        element("td", count(template.workspaces), class_="n"),
        element("td", name(template.apps[0][0]) if template.apps else ""),
    )
