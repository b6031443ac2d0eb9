"""Render the landing page from its templates."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from typing import Final

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from insights_exporter.landing_page import charts, formatting
from insights_exporter.landing_page.formatting import LatencyBand
from insights_exporter.landing_page.status import ExporterStatus
from insights_exporter.landing_page.view_model import (
    PageModel,
    TemplateModel,
    ViewOptions,
    build_page_model,
)
from insights_exporter.server import BASE_CONTENT_SECURITY_POLICY, HtmlPage
from insights_exporter.snapshot import Snapshot

__all__ = ["BASE_STYLES", "CONTENT_SECURITY_POLICY", "LandingPage", "create_environment", "split_templates"]


@dataclass(frozen=True, slots=True)
class PanelLimits:
    """Rows that a panel shows; the rest is summed up in its last line."""

    templates: int = 20
    users: int = 6
    apps: int = 8
    parameters: int = 12
    parameter_values: int = 6


PANEL_LIMITS: Final = PanelLimits()

BASE_STYLES: Final = "".join(
    files(__package__).joinpath(name).read_text(encoding="utf-8")
    for name in ("palette.css", "components.css")
)
"""Stylesheets that the report shares: colours, light and dark (print is always light), and components."""

_STYLESHEET: Final = BASE_STYLES + files(__package__).joinpath("style.css").read_text(encoding="utf-8")

CONTENT_SECURITY_POLICY: Final = (
    f"{BASE_CONTENT_SECURITY_POLICY}; form-action 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLESHEET.encode()).digest()).decode()}'"
)
"""Content-Security-Policy of the page: the stylesheet by its hash, no script, no other source."""


def create_environment(loader: BaseLoader) -> Environment:
    """Return a jinja2 environment with all filters and functions that ``macros.html`` needs.

    Autoescape is on, undefined names are errors.
    """
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=formatting.replace_control_characters,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "age": formatting.format_age,
        "count": formatting.format_count,
        "duration": formatting.format_duration,
        "milliseconds": formatting.format_milliseconds,
        "percent_of": formatting.format_percent,
        "timestamp": formatting.format_timestamp,
    }
    environment.globals |= {
        "LatencyBand": LatencyBand,
        "UNKNOWN_VALUE": formatting.UNKNOWN_VALUE,
        "bar_chart": charts.bar_chart,
        "latency_band": formatting.latency_band,
        "latency_segments": charts.latency_segments,
        "meter_width": charts.meter_width,
    }
    return environment


def _create_page_environment() -> Environment:
    environment = create_environment(PackageLoader(__package__))
    environment.globals |= {
        "limits": PANEL_LIMITS,
        "stylesheet": Markup(_STYLESHEET),  # noqa: S704  # Files of this package.
    }
    return environment


_ENVIRONMENT: Final = _create_page_environment()


@dataclass(frozen=True, slots=True)
class _RenderedSnapshot:
    """The parts of the page that depend on the snapshot alone."""

    model: PageModel
    tiles: Markup
    deployment_charts: Markup
    templates: Markup


@dataclass(slots=True)
class LandingPage:
    """Renders the page; caches what depends on the snapshot, and renders that off the event loop."""

    options: ViewOptions
    _snapshot: Snapshot | None = field(default=None, init=False)
    _rendered: _RenderedSnapshot | None = field(default=None, init=False)
    _render_lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def render(self, snapshot: Snapshot | None, status: ExporterStatus) -> HtmlPage:
        """Return the page of a snapshot; ``snapshot`` is None before the first poll has finished."""
        async with self._render_lock:
            if self._rendered is None or snapshot is not self._snapshot:
                self._rendered = await asyncio.to_thread(_render_snapshot, snapshot, self.options)
                self._snapshot = snapshot
            rendered = self._rendered
        html = _ENVIRONMENT.get_template("page.html").render(rendered=rendered, status=status)
        return HtmlPage(html.encode(), CONTENT_SECURITY_POLICY)


def _render_snapshot(snapshot: Snapshot | None, options: ViewOptions) -> _RenderedSnapshot:
    model = PageModel() if snapshot is None else build_page_model(snapshot, options)
    expanded, others = split_templates(model.templates)
    return _RenderedSnapshot(
        model,
        tiles=_render("tiles.html", page=model),
        deployment_charts=_render("deployment_charts.html", page=model),
        templates=_render(
            "template_list.html",
            page=model,
            expanded=expanded,
            others=others,
            shows_users=not options.username_policy.hides_users,
        ),
    )


def _render(template: str, **context: object) -> Markup:
    html = _ENVIRONMENT.get_template(template).render(context)
    return Markup(html)  # noqa: S704  # jinja2 has escaped every value in it.


def split_templates(
    templates: Sequence[TemplateModel],
) -> tuple[Sequence[TemplateModel], Sequence[TemplateModel]]:
    """Return the templates to show with all panels, and the others, which go into a table."""
    used = [template for template in templates if template.is_used]
    expanded = (used or templates)[: PANEL_LIMITS.templates]
    expanded_ids = {id(template) for template in expanded}
    return expanded, [template for template in templates if id(template) not in expanded_ids]
