"""One template's panels, as on Coder's own page."""

from __future__ import annotations

from insights_exporter.landing_page.charts import bar_chart, latency_bar, meter
from insights_exporter.landing_page.formatting import (
    UNKNOWN_VALUE,
    format_count,
    format_duration,
    format_milliseconds,
    format_percent,
    latency_band,
)
from insights_exporter.landing_page.markup import Markup, element, isolated_name
from insights_exporter.landing_page.view_model import ParameterCounts, TemplateModel

__all__ = ["card", "charts", "latency_text", "window_title"]

_USERS, _APPS, _PARAMETERS, _CHOICES = 6, 8, 12, 6


def card(template: TemplateModel, *, people: bool) -> Markup:
    """Return one template with its panels; without people those that name users give sums instead."""
    within = window_title(template.window)
    parameters = _panel(f"Parameters, {within}", _parameters(template)) if template.parameters else None
    wide = element("div", charts(template), _panel(f"App and IDE usage, {within}", _apps(template)))
    narrow = element(
        "div",
        _panel(f"Latency by user, {within}", _latency(template, people=people)),
        _panel(f"Activity by user, {within}", _activity(template, people=people)),
    )
    panels = element("div", wide, narrow, parameters, class_="panels")
    return element("details", _summary(template), panels, class_="card", id=template.anchor, open=True)


def window_title(window: str) -> str:
    """Return a window's name in words."""
    days = window.removesuffix("d")
    return f"last {days} days" if days.isdigit() else window or "no window"


def charts(template: TemplateModel) -> Markup:
    """Return the active users by day and by week."""
    return element(
        "div",
        bar_chart("Daily active users", "users per day", template.days) if template.days else _nothing(),
        bar_chart("Weekly active users", "users per week", template.weeks) if template.weeks else None,
        class_="charts",
    )


def latency_text(seconds: float | None) -> Markup | str:
    """Return a latency with the colour, the sign and the word of its band."""
    if seconds is None:
        return UNKNOWN_VALUE
    kind = latency_band(seconds)
    sign = element("span", kind.symbol, class_="sign", aria_hidden="true")
    return element(
        "span",
        sign,
        format_milliseconds(seconds),
        element("span", f" {kind.label}", class_="unseen"),
        class_=kind.label,
    )


def _summary(template: TemplateModel) -> Markup:
    organization = template.key.organization_name if template.key else ""
    return element(
        "summary",
        isolated_name(template.title, class_="title"),
        element(
            "span",
            isolated_name(organization),
            " / ",
            isolated_name(template.key.template_name if template.key else ""),
            class_="soft",
        ),
        element("span", "deprecated", class_="chip none") if template.deprecated else None,
        element(
            "span",
            element("span", element("b", format_count(template.users)), " active users"),
            element("span", element("b", format_duration(template.seconds)), " used"),
            element("span", "median ", latency_text(template.latency_median)),
            element(
                "span",
                element("b", format_count(template.running_workspaces)),
                f" of {format_count(template.workspaces)} running",
            ),
            class_="facts",
        ),
    )


def _panel(title: str, content: Markup) -> Markup:
    return element("section", element("h3", title), content)


def _nothing(text: str = "No data available.") -> Markup:
    return element("p", text, class_="soft small")


def _latency(template: TemplateModel, *, people: bool) -> Markup:
    if not sum(template.latency_bands.values()):
        return _nothing(
            "Nobody's latency was measured." if template.users_without_latency else "No data available."
        )
    rows = [
        element(
            "tr",
            element("th", isolated_name(one.username), scope="row"),
            element("td", latency_text(one.p50), class_="n"),
            element("td", format_milliseconds(one.p95), class_="n"),
        )
        for one in template.user_latency[:_USERS]
    ]
    head = [
        element("th", text, scope="col", class_=css)
        for text, css in (("User", ""), ("p50", "n"), ("p95", "n"))
    ]
    table = element("table", element("thead", element("tr", head)), element("tbody", rows))
    rest = len(template.user_latency) - _USERS
    unmeasured = (
        f"{format_count(template.users_without_latency)} without a measurement."
        if template.users_without_latency
        else ""
    )
    more = f"And {format_count(rest)} more with less. " if people and rest > 0 else ""
    return element(
        "div",
        latency_bar(dict(template.latency_bands)),
        table if people and rows else None,
        element("p", more, unmeasured, class_="soft small") if more or unmeasured else None,
    )


def _apps(template: TemplateModel) -> Markup:
    total = sum(seconds for _, _, seconds, _ in template.apps)
    if not template.apps:
        return _nothing()
    rows = [
        element(
            "li",
            element(
                "div",
                isolated_name(title, title=slug[:128]),
                element(
                    "span",
                    _opened(opens),
                    element("b", format_duration(seconds)),
                    ", ",
                    format_percent(seconds, total),
                    class_="soft",
                ),
            ),
            meter(seconds / total),
        )
        for title, slug, seconds, opens in template.apps[:_APPS]
    ]
    rest = template.apps[_APPS:]
    left = sum(seconds for _, _, seconds, _ in rest)
    more = f"{format_count(len(rest))} more apps: {format_duration(left)}, {format_percent(left, total)}."
    return element(
        "div", element("ul", rows, class_="apps"), element("p", more, class_="soft small") if rest else None
    )


def _opened(opens: int | None) -> str:
    return "" if not opens else f"opened {format_count(opens)} time{'' if opens == 1 else 's'}, "


def _activity(template: TemplateModel, *, people: bool) -> Markup:
    if not people:
        text = f"{format_duration(template.seconds)} of {format_count(template.users)} users. Names are switched off."
        return element("p", text, class_="small")
    if not template.user_activity:
        return _nothing()
    rows = [
        element(
            "tr",
            element("th", isolated_name(user), scope="row"),
            element("td", format_duration(seconds), class_="n"),
        )
        for user, seconds in template.user_activity[:_USERS]
    ]
    rest = template.user_activity[_USERS:]
    more = f"And {format_count(len(rest))} more with {format_duration(sum(seconds for _, seconds in rest))}."
    return element(
        "div",
        element("table", element("tbody", rows)),
        element("p", more, class_="soft small") if rest else None,
    )


def _parameters(template: TemplateModel) -> Markup:
    shown = [_values(one) for one in template.parameters[:_PARAMETERS]]
    rest = len(template.parameters) - _PARAMETERS
    return element(
        "div",
        element("div", shown, class_="parameters"),
        element("p", f"And {format_count(rest)} more parameters.", class_="soft small") if rest > 0 else None,
    )


def _values(values: ParameterCounts) -> Markup:
    rows = [
        element(
            "tr",
            element("th", isolated_name(value), scope="row"),
            element("td", format_count(workspaces), class_="n"),
        )
        for value, workspaces in values.counts[:_CHOICES]
    ]
    rest = values.counts[_CHOICES:]
    if rest:
        left = sum(workspaces for _, workspaces in rest)
        rows.append(_sum(f"{format_count(len(rest))} more values", left))
    if values.hidden_count:
        rows.append(_sum("free text, not shown", values.hidden_count))
    return element(
        "table",
        element("caption", isolated_name(values.label)),
        element("tbody", rows or _sum("no values", 0)),
    )


def _sum(text: str, workspaces: int) -> Markup:
    return element(
        "tr",
        element("th", text, scope="row", class_="soft"),
        element("td", format_count(workspaces), class_="n"),
    )
