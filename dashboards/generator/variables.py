"""What can be chosen at the top of a dashboard."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

from dashboards.generator.theme import DATASOURCE
from insights_exporter.bundle.promql import TARGET_MATCHERS, QueryBuilder, regex
from insights_exporter.metrics import catalogue

__all__ = [
    "DEFAULT_WINDOW",
    "Variables",
    "multi_template_variables",
    "single_template_variables",
    "target_variables",
    "user_variables",
]

Variables = list[build.QueryVariable | build.DatasourceVariable]

DEFAULT_WINDOW: Final = "7d"
"""Today and the six days before, where Coder's page begins."""

_ALL_VALUE: Final = ".+"


def _query_variable(name: str, label: str, values: str, *, multi: bool) -> build.QueryVariable:
    query = f"label_values({values})"
    variable = (
        build.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .include_all(multi)
    )
    if multi:
        all_option = dashboard.VariableOption(text="All", value="$__all", selected=True)
        variable = variable.all_value(_ALL_VALUE).current(all_option)
    return variable


def target_variables() -> Variables:
    """Return the data source, and which exporters: jobs and instances."""
    build_info = catalogue.BUILD_INFO
    job_selector = QueryBuilder(TARGET_MATCHERS[:1]).selector(build_info)
    datasource = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        datasource.multi(False).include_all(False),
        _query_variable("job", "Job", f"{build_info.name}, job", multi=True),
        _query_variable("instance", "Instance", f"{job_selector}, instance", multi=True),
    ]


def _template_variables(*, multi: bool) -> Variables:
    family, builder = catalogue.TEMPLATE_INFO, QueryBuilder(TARGET_MATCHERS)
    organization = regex("$organization") if multi else "$organization"
    organization_selector = builder.selector(family, organization_name=organization)
    return [
        _query_variable(
            "organization", "Organization", f"{builder.selector(family)}, organization_name", multi=multi
        ),
        _query_variable("template", "Template", f"{organization_selector}, template_name", multi=multi),
    ]


def _user_variable() -> build.QueryVariable:
    selector = QueryBuilder(TARGET_MATCHERS).selector(catalogue.USER_INFO)
    return _query_variable("username", "User", f"{selector}, username", multi=True)


def _window_variable(default_window: str) -> build.QueryVariable:
    selector = QueryBuilder(TARGET_MATCHERS).selector(catalogue.DEPLOYMENT_UNIQUE_USERS)
    default = dashboard.VariableOption(text=default_window, value=default_window, selected=True)
    return _query_variable("window", "Window", f"{selector}, window", multi=False).current(default)


def single_template_variables() -> Variables:
    """Return the choice of one template and a window."""
    return [*target_variables(), *_template_variables(multi=False), _window_variable(DEFAULT_WINDOW)]


def multi_template_variables(*, window: str = DEFAULT_WINDOW) -> Variables:
    """Return the choice of any number of templates and a window."""
    return [*target_variables(), *_template_variables(multi=True), _window_variable(window)]


def user_variables() -> Variables:
    """Return the choice of any number of templates and of users, and a window."""
    return [
        *target_variables(),
        *_template_variables(multi=True),
        _user_variable(),
        _window_variable(DEFAULT_WINDOW),
    ]
