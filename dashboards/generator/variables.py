"""Dashboard variables."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

from dashboards.generator.theme import DATASOURCE
from insights_exporter.bundle.promql import TARGET_MATCHERS, QueryBuilder, regex
from insights_exporter.metrics import catalogue

__all__ = [
    "Variables",
    "multi_template_variables",
    "single_template_variables",
    "target_variables",
    "user_variables",
]

Variables = list[build.QueryVariable | build.DatasourceVariable]

_DEFAULT_WINDOW: Final = "7d"
"""Default range of Coder's page: today and the six days before."""

_PARAMETER_REGEX: Final = '/(?:display_name="(?<text>[^"]+)", ?)?parameter_name="(?<value>[^"]+)"/'
_NO_PARAMETERS: Final = "No parameters"
_ALL_VALUE: Final = ".+"
_QUERY: Final = QueryBuilder(TARGET_MATCHERS)

_TEMPLATES: Final = catalogue.TEMPLATE_CREATED
"""A family with a series for each template, also on days before the first scrape that were backfilled."""


def _query_variable(
    name: str, label: str, values: str, *, multi: bool, hidden: bool = False
) -> build.QueryVariable:
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
    if hidden:
        variable = variable.hide(dashboard.VariableHide.HIDE_VARIABLE)
    if multi:
        all_option = dashboard.VariableOption(text="All", value="$__all", selected=True)
        variable = variable.all_value(_ALL_VALUE).current(all_option)
    return variable


def target_variables() -> Variables:
    """Return the data source, and job and instance of the exporter.

    Job and instance are hidden; ``insights-exporter bundle --show-targets`` shows them.
    """
    build_info = catalogue.BUILD_INFO
    job_selector = QueryBuilder(TARGET_MATCHERS[:1]).selector(build_info)
    datasource = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        datasource.multi(False).include_all(False),
        _query_variable("job", "Job", f"{build_info.name}, job", multi=True, hidden=True),
        _query_variable("instance", "Instance", f"{job_selector}, instance", multi=True, hidden=True),
    ]


def _window_variable(default_window: str) -> build.QueryVariable:
    selector = _QUERY.selector(catalogue.DEPLOYMENT_UNIQUE_USERS)
    default = dashboard.VariableOption(text=default_window, value=default_window, selected=True)
    return _query_variable("window", "Window", f"{selector}, window", multi=False).current(default)


def _parameter_variable() -> build.QueryVariable:
    """Return the parameters of the template: names as values, display names as texts.

    Days before the first scrape have chosen values, but no display names. Without a parameter there is one
    that does not exist. Its block says why there are none.
    """
    template = {"organization_name": "$organization", "template_name": "$template"}
    named = _QUERY.latest(catalogue.PARAMETER_INFO, **template).count("display_name", "parameter_name")
    chosen = _QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **template).count("parameter_name")
    parameters = f"({named} or on (parameter_name) {chosen})"
    none = f'label_replace(vector(0), "parameter_name", "{_NO_PARAMETERS}", "", "")'
    query = f"query_result({parameters} or ({none} unless on () {parameters}))"
    variable = _query_variable("parameter", "Parameter", "", multi=True, hidden=True)
    return variable.query(query).definition(query).regex(_PARAMETER_REGEX)


def single_template_variables() -> Variables:
    """Return one template, a window, and the hidden variable that repeats the block of a parameter."""
    organization_selector = _QUERY.selector(_TEMPLATES, organization_name="$organization")
    return [
        *target_variables(),
        _query_variable(
            "organization", "Organization", f"{_QUERY.selector(_TEMPLATES)}, organization_name", multi=False
        ),
        _query_variable("template", "Template", f"{organization_selector}, template_name", multi=False),
        _window_variable(_DEFAULT_WINDOW),
        _parameter_variable(),
    ]


def multi_template_variables(*, window: str = _DEFAULT_WINDOW) -> Variables:
    """Return any number of templates, and a window.

    The names are plural, so that a link from a template's own dashboard does not filter the others.
    """
    organization_selector = _QUERY.selector(_TEMPLATES, organization_name=regex("$organizations"))
    return [
        *target_variables(),
        _query_variable(
            "organizations", "Organization", f"{_QUERY.selector(_TEMPLATES)}, organization_name", multi=True
        ),
        _query_variable("templates", "Template", f"{organization_selector}, template_name", multi=True),
        _window_variable(window),
    ]


def user_variables() -> Variables:
    """Return any number of templates and users, and a window."""
    users = _query_variable(
        "username", "User", f"{_QUERY.selector(catalogue.USER_INFO)}, username", multi=True
    )
    *variables, window = multi_template_variables()
    return [*variables, users, window]
