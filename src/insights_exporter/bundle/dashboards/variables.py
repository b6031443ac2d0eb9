"""What can be chosen at the top of a dashboard."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

from insights_exporter.bundle.dashboards.house import PROMETHEUS
from insights_exporter.bundle.queries import HOUSE, Scope, like
from insights_exporter.metrics import catalogue

__all__ = ["DEFAULT_WINDOW", "Variables", "one_template", "several_people", "several_templates", "targets"]

Variables = list[build.QueryVariable | build.DatasourceVariable]

DEFAULT_WINDOW: Final = "7d"
"""Today and the six days before, where Coder's page begins."""

_ALL: Final = ".+"


def _query(name: str, label: str, values: str, *, several: bool) -> build.QueryVariable:
    query = f"label_values({values})"
    variable = (
        build.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .definition(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    if several:
        everything = dashboard.VariableOption(text="All", value="$__all", selected=True)
        variable = variable.all_value(_ALL).current(everything)
    return variable


def targets() -> Variables:
    """Return the data source, and which exporters: jobs and instances."""
    up = catalogue.BUILD_INFO
    of_job = Scope(HOUSE[:1]).select(up)
    source = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        source.multi(False).include_all(False),
        _query("job", "Job", f"{up.name}, job", several=True),
        _query("instance", "Instance", f"{of_job}, instance", several=True),
    ]


def _templates(*, several: bool) -> Variables:
    family, house = catalogue.TEMPLATE_INFO, Scope(HOUSE)
    organization = like("$organization") if several else "$organization"
    of_organization = house.select(family, organization_name=organization)
    return [
        _query("organization", "Organization", f"{house.select(family)}, organization_name", several=several),
        _query("template", "Template", f"{of_organization}, template_name", several=several),
    ]


def _people() -> build.QueryVariable:
    names = Scope(HOUSE).select(catalogue.USER_INFO)
    return _query("username", "User", f"{names}, username", several=True)


def _window(first: str) -> build.QueryVariable:
    windows = Scope(HOUSE).select(catalogue.DEPLOYMENT_UNIQUE_USERS)
    default = dashboard.VariableOption(text=first, value=first, selected=True)
    return _query("window", "Window", f"{windows}, window", several=False).current(default)


def one_template() -> Variables:
    """Return the choice of one template and a window."""
    return [*targets(), *_templates(several=False), _window(DEFAULT_WINDOW)]


def several_templates(*, window: str = DEFAULT_WINDOW) -> Variables:
    """Return the choice of any number of templates and a window."""
    return [*targets(), *_templates(several=True), _window(window)]


def several_people() -> Variables:
    """Return the choice of any number of templates and of users, and a window."""
    return [*targets(), *_templates(several=True), _people(), _window(DEFAULT_WINDOW)]
