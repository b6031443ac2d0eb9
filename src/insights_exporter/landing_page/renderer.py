"""The landing page: what the exporter knows, at a glance."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from insights_exporter.landing_page.formatting import format_count, format_duration, format_timestamp
from insights_exporter.landing_page.markup import Markup, element, fragment, isolated_name
from insights_exporter.landing_page.overview import deployment_chart, notices, tiles
from insights_exporter.landing_page.status import ExporterStatus, collectors
from insights_exporter.landing_page.style import CONTENT_SECURITY_POLICY, STYLESHEET
from insights_exporter.landing_page.template_card import card, latency_text, window_title
from insights_exporter.landing_page.view_model import PageModel, TemplateModel, ViewOptions, build_page_model
from insights_exporter.server.routes import HtmlPage
from insights_exporter.snapshot import Snapshot

__all__ = ["LandingPage"]

MAX_EXPANDED_TEMPLATES = 20
"""How many templates show their panels; the rest stand in a table."""


@dataclass(frozen=True, slots=True)
class _RenderedSnapshot:
    """What is written once per snapshot."""

    model: PageModel
    tiles: Markup
    chart: Markup
    templates: Markup


@dataclass(slots=True)
class LandingPage:
    """Writes the page; what depends on the snapshot alone is written once per snapshot, off the loop."""

    options: ViewOptions
    _snapshot: Snapshot | None = field(default=None, init=False)
    _rendered: _RenderedSnapshot | None = field(default=None, init=False)
    _render_lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def render(self, snapshot: Snapshot | None, status: ExporterStatus) -> HtmlPage:
        """Return the page of a snapshot; None is before the first poll."""
        async with self._render_lock:
            if self._rendered is None or snapshot is not self._snapshot:
                self._rendered = await asyncio.to_thread(_render_snapshot, snapshot, self.options)
                self._snapshot = snapshot
        return HtmlPage(_document(self._rendered, status).encode(), CONTENT_SECURITY_POLICY)


def _render_snapshot(snapshot: Snapshot | None, options: ViewOptions) -> _RenderedSnapshot:
    model = PageModel() if snapshot is None else build_page_model(snapshot, options)
    return _RenderedSnapshot(
        model,
        tiles(model),
        deployment_chart(model),
        _templates(model, people=not options.username_policy.hides_users),
    )


def _document(rendered: _RenderedSnapshot, status: ExporterStatus) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="robots", content="noindex"),
        element("title", "Coder Template Insights"),
        element("style", Markup(STYLESHEET)),
    )
    main = element(
        "main",
        notices(rendered.model, status),
        rendered.tiles,
        element(
            "div",
            element("section", rendered.chart, class_="card", aria_label="Active users of the deployment"),
            element("section", collectors(status), class_="card", aria_label="Collectors"),
            class_="two",
        ),
        rendered.templates,
        id="main",
    )
    skip = element("a", "Skip to the numbers", href="#main", class_="skip")
    return "<!doctype html>" + element(
        "html", head, element("body", skip, _header(rendered, status), main, _footer(status)), lang="en"
    )


def _header(body: _RenderedSnapshot, status: ExporterStatus) -> Markup:
    kind, sign, word = ("slow", "■", "not ready") if status.not_ready_reason else ("good", "●", "ready")
    about = (
        [element("span", "Coder ", isolated_name(body.model.version), class_="soft")]
        if body.model.version
        else []
    )
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


def _footer(status: ExporterStatus) -> Markup:
    return element("footer", f"insights_exporter {status.version}, {format_timestamp(status.now)}.")


def _templates(found: PageModel, *, people: bool) -> Markup:
    if not found.templates:
        return element("p", "No templates are known yet.", class_="soft")
    used = [one for one in found.templates if one.users or one.seconds]
    shown = (used or list(found.templates))[:MAX_EXPANDED_TEMPLATES]
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


def _table(templates: list[TemplateModel], *, used: int) -> Markup:
    window = window_title(templates[0].window)
    heads = [element("th", text, scope="col", class_=css) for text, css in _COLUMNS]
    table = element(
        "table",
        element("caption", f"The {window}. {format_count(used)} templates are in use."),
        element("thead", element("tr", heads)),
        element("tbody", map(_row, templates)),
    )
    title = "Other templates"
    region = element("div", table, class_="scroll", tabindex=0, role="region", aria_label=title)
    return fragment(element("h2", title, id="others"), element("div", region, class_="card"))


def _row(template: TemplateModel) -> Markup:
    return element(
        "tr",
        element("th", isolated_name(template.title), scope="row", id=template.anchor),
        element("td", isolated_name(template.key.organization_name if template.key else "")),
        element("td", format_count(template.users), class_="n"),
        element("td", format_duration(template.seconds), class_="n"),
        element("td", latency_text(template.latency_median), class_="n"),
        element("td", format_count(template.workspaces), class_="n"),
        element("td", isolated_name(template.apps[0][0]) if template.apps else ""),
    )
