"""The row at the top of each dashboard: data age, and the cause while data is old, missing or incomplete."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard

from dashboards.generator import units
from dashboards.generator.dashboard import GridRow, Row
from dashboards.generator.panels import Panel
from dashboards.generator.queries import QUERY, self_metrics
from dashboards.generator.stats import Stat, stat_panel
from dashboards.generator.theme import AMBER, GREY, RED, TRANSPARENT, health_link
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.promql import not_equal
from insights_exporter.metrics import catalogue

__all__ = ["status_row"]

_TITLE = "Data status"
_NO_VALUE = (
    "No exporter data. Likely causes: Prometheus does not scrape the exporter; the wrong data source or "
    "job is selected; the exporter has been down for 7 days"
)


def status_row(users: str = "") -> Row:
    """Return the row; ``users`` is the number of users in the selection, for dashboards with a window."""
    return Row("", [GridRow(2, [(24, _status_panel(users))])])


def _status_panel(users: str) -> Panel:
    runbooks = InstallOptions().runbook_url
    panel = stat_panel(
        _TITLE,
        [*_data_ages(), *_failures(), *_limits(), *([_no_usage(users)] if users else [])],
        description="Is the data fresh and complete? Causes appear while they apply.",
        no_value=_NO_VALUE,
        is_one_line=True,
    )
    panel.links = [
        _panel_link(health_link(), new_tab=False),
        _panel_link({"title": "Runbook", "url": f"{runbooks}/CoderInsightsDataStale.md"}, new_tab=True),
    ]
    return panel


def _panel_link(link: dict[str, str], *, new_tab: bool) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(title=link["title"], url=link["url"], target_blank=new_tab)


def _data_ages() -> list[Stat]:
    """Return one cell: a query for each colour, because thresholds cannot depend on the poll interval."""
    age, interval = f"({self_metrics.data_age()})", self_metrics.poll_interval()
    late, old = (f"{polls} * {interval}" for polls in (self_metrics.LATE_POLLS, self_metrics.OLD_POLLS))
    queries = {
        "fresh": (f"{age} < {late}", TRANSPARENT),
        "late": (f"{age} >= {late} < {old}", AMBER),
        "old": (f"{age} >= {old}", RED),
    }
    return [
        Stat(
            name=name,
            label="Data age",
            query=query,
            unit=units.SECONDS,
            description=(
                "time since the exporter last read Coder's insights: amber after three poll intervals, red "
                "after six"
            ),
            steps=((None, color),),
            hide_if_absent=True,
        )
        for name, (query, color) in queries.items()
    ]


def _failures() -> list[Stat]:
    return [
        _state("Exporter", self_metrics.exporter_silent(), "Down", RED, "Prometheus has no metrics of it"),
        _state("Token", self_metrics.token_rejected(), "Rejected", RED, "Coder answers 401"),
        _state("Coder", self_metrics.coder_failing(), "Not readable", RED, "the last poll failed"),
    ]


def _limits() -> list[Stat]:
    disabled = QUERY.latest(catalogue.COLLECTION_ENABLED).max().binary_op("== 0")
    used = QUERY.latest(catalogue.TEMPLATE_USAGE_WINDOW, window="7d").max().binary_op("> 0")
    named = QUERY.latest(catalogue.USER_ACTIVITY_WINDOW, window="7d", username=not_equal(catalogue.OTHER))
    deployments = QUERY.latest(catalogue.DEPLOYMENT_INFO).count("deployment_id").count().binary_op("> 1")
    return [
        _state("Usage statistics", f"{disabled} + 1", "Off in Coder", RED, "zeros then mean off, not idle"),
        _state(
            "User names", f"{used} * 0 + 1 unless on () {named.count()}", "Off", GREY, "privacy.users is off"
        ),
        Stat(
            name="Deployments",
            query=deployments,
            unit=units.count_of("deployments"),
            description="several Coder deployments are selected and their numbers are added",
            steps=((None, AMBER),),
            hide_if_absent=True,
        ),
    ]


def _no_usage(users: str) -> Stat:
    return _state(
        "Usage", f"({users}) + 1", "None in window", GREY, "the selection has no users in the window"
    )


def _state(name: str, query: str, text: str, color: str, description: str) -> Stat:
    return Stat(
        name=name,
        query=query,
        unit=units.BOOLEAN,
        description=description,
        value_mappings={"1": (text, color)},
        hide_if_absent=True,
    )
