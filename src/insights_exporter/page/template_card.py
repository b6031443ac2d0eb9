"""One template's panels, as on Coder's own page."""

from __future__ import annotations

from insights_exporter.page.chart import bands, bars, meter
from insights_exporter.page.facts import TemplateFacts, Values
from insights_exporter.page.markup import Markup, element, name
from insights_exporter.page.numbers import UNKNOWN, band, count, duration, milliseconds, share

__all__ = ["card", "charts", "latency_text", "window_title"]

_USERS, _APPS, _PARAMETERS, _CHOICES = 6, 8, 12, 6


def card(template: TemplateFacts, *, people: bool) -> Markup:
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


def charts(template: TemplateFacts) -> Markup:
    """Return the active users by day and by week."""
    return element(
        "div",
        bars("Daily active users", "users per day", template.days) if template.days else _nothing(),
        bars("Weekly active users", "users per week", template.weeks) if template.weeks else None,
        class_="charts",
    )


def latency_text(seconds: float | None) -> Markup | str:
    """Return a latency with the colour, the sign and the word of its band."""
    if seconds is None:
        return UNKNOWN
    kind = band(seconds)
    sign = element("span", kind.sign, class_="sign", aria_hidden="true")
    return element(
        "span",
        sign,
        milliseconds(seconds),
        element("span", f" {kind.word}", class_="unseen"),
        class_=kind.word,
    )


def _summary(template: TemplateFacts) -> Markup:
    organization = template.key.organization_name if template.key else ""
    return element(
        "summary",
        name(template.title, class_="title"),
        element(
            "span",
            name(organization),
            " / ",
            name(template.key.template_name if template.key else ""),
            class_="soft",
        ),
        element("span", "deprecated", class_="chip none") if template.deprecated else None,
        element(
            "span",
            element("span", element("b", count(template.users)), " active users"),
            element("span", element("b", duration(template.seconds)), " used"),
            element("span", "median ", latency_text(template.latency_median)),
            element(
                "span", element("b", count(template.running)), f" of {count(template.workspaces)} running"
            ),
            class_="facts",
        ),
    )


def _panel(title: str, content: Markup) -> Markup:
    return element("section", element("h3", title), content)


def _nothing(text: str = "No data available.") -> Markup:
    return element("p", text, class_="soft small")


def _latency(template: TemplateFacts, *, people: bool) -> Markup:
    if not sum(template.latency_bands.values()):
        return _nothing("Nobody's latency was measured." if template.unmeasured else "No data available.")
    rows = [
        element(
            "tr",
            element("th", name(one.username), scope="row"),
            element("td", latency_text(one.p50), class_="n"),
            element("td", milliseconds(one.p95), class_="n"),
        )
        for one in template.latency[:_USERS]
    ]
    head = [
        element("th", text, scope="col", class_=css)
        for text, css in (("User", ""), ("p50", "n"), ("p95", "n"))
    ]
    table = element("table", element("thead", element("tr", head)), element("tbody", rows))
    rest = len(template.latency) - _USERS
    unmeasured = f"{count(template.unmeasured)} without a measurement." if template.unmeasured else ""
    more = f"And {count(rest)} more with less. " if people and rest > 0 else ""
    return element(
        "div",
        bands(dict(template.latency_bands)),
        table if people and rows else None,
        element("p", more, unmeasured, class_="soft small") if more or unmeasured else None,
    )


def _apps(template: TemplateFacts) -> Markup:
    total = sum(seconds for _, _, seconds, _ in template.apps)
    if not template.apps:
        return _nothing()
    rows = [
        element(
            "li",
            element(
                "div",
                name(title, title=slug[:128]),
                element(
                    "span",
                    _opened(opens),
                    element("b", duration(seconds)),
                    ", ",
                    share(seconds, total),
                    class_="soft",
                ),
            ),
            meter(seconds / total),
        )
        for title, slug, seconds, opens in template.apps[:_APPS]
    ]
    rest = template.apps[_APPS:]
    left = sum(seconds for _, _, seconds, _ in rest)
    more = f"{count(len(rest))} more apps: {duration(left)}, {share(left, total)}."
    return element(
        "div", element("ul", rows, class_="apps"), element("p", more, class_="soft small") if rest else None
    )


def _opened(opens: int | None) -> str:
    return "" if not opens else f"opened {count(opens)} time{'' if opens == 1 else 's'}, "


def _activity(template: TemplateFacts, *, people: bool) -> Markup:
    if not people:
        text = f"{duration(template.seconds)} of {count(template.users)} users. Names are switched off."
        return element("p", text, class_="small")
    if not template.activity:
        return _nothing()
    rows = [
        element("tr", element("th", name(user), scope="row"), element("td", duration(seconds), class_="n"))
        for user, seconds in template.activity[:_USERS]
    ]
    rest = template.activity[_USERS:]
    more = f"And {count(len(rest))} more with {duration(sum(seconds for _, seconds in rest))}."
    return element(
        "div",
        element("table", element("tbody", rows)),
        element("p", more, class_="soft small") if rest else None,
    )


def _parameters(template: TemplateFacts) -> Markup:
    shown = [_values(one) for one in template.parameters[:_PARAMETERS]]
    rest = len(template.parameters) - _PARAMETERS
    return element(
        "div",
        element("div", shown, class_="parameters"),
        element("p", f"And {count(rest)} more parameters.", class_="soft small") if rest > 0 else None,
    )


def _values(values: Values) -> Markup:
    rows = [
        element("tr", element("th", name(value), scope="row"), element("td", count(workspaces), class_="n"))
        for value, workspaces in values.rows[:_CHOICES]
    ]
    rest = values.rows[_CHOICES:]
    if rest:
        left = sum(workspaces for _, workspaces in rest)
        rows.append(_sum(f"{count(len(rest))} more values", left))
    if values.hidden:
        rows.append(_sum("free text, not shown", values.hidden))
    return element(
        "table", element("caption", name(values.label)), element("tbody", rows or _sum("no values", 0))
    )


def _sum(text: str, workspaces: int) -> Markup:
    return element(
        "tr",
        element("th", text, scope="row", class_="soft"),
        element("td", count(workspaces), class_="n"),
    )
