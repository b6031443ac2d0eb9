"""Alerts link to existing panels and to complete runbooks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import PanelLink, dashboard_url
from insights_exporter.bundle.registry import DASHBOARDS as DASHBOARD_INFOS
from insights_exporter.bundle.registry import iter_panels, load_dashboard
from insights_exporter.config.schema import SECTIONS
from tests.bundle.alerts.rule_files import ALERTS_FOLDER, alerting_rules, assert_known_series, rule_name

DASHBOARDS: Final = {info.uid: load_dashboard(info.slug) for info in DASHBOARD_INFOS}
HEADINGS: Final = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
RUNBOOKS: Final = {path.stem: path.read_text() for path in sorted((ALERTS_FOLDER / "runbooks").glob("*.md"))}
CONFIG_KEYS: Final = {
    name
    for section in SECTIONS
    for key in section.keys
    for name in (key.path, f"{key.path}_file", section.path)
}


def panels_by_id(dashboard: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    return {panel["id"]: panel for panel in iter_panels(dashboard["panels"])}


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_the_dashboard_exists_and_has_the_panel_and_the_variables(rule: dict[str, Any]) -> None:
    url = urlsplit(rule["annotations"]["dashboard_url"])
    query = parse_qs(url.query)
    dashboard = DASHBOARDS[url.path.split("/")[2]]
    known_variables = {f"var-{variable['name']}" for variable in dashboard["templating"]["list"]}

    assert int(query.pop("viewPanel")[0]) in panels_by_id(dashboard)
    assert "var-job" in query
    assert set(query) <= known_variables
    assert all(re.fullmatch(r"\{\{ \$labels\.\w+ \| urlquery \}\}", value[0]) for value in query.values())


def test_a_duplicate_title_links_to_the_time_series_panel() -> None:
    url = dashboard_url(PanelLink("deployment-overview", "Active users, deployment"), InstallOptions())
    number = int(parse_qs(urlsplit(url).query)["viewPanel"][0])

    assert panels_by_id(DASHBOARDS["coder-insights-deployment-overview"])[number]["type"] == "timeseries"


def test_an_unknown_panel_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"Expected a panel of exporter-health \(.+\), got 'Weather'"):
        dashboard_url(PanelLink("exporter-health", "Weather"), InstallOptions())


def test_alerts_and_runbooks_correspond() -> None:
    assert sorted(RUNBOOKS) == sorted(rule["alert"] for rule in alerting_rules())


@pytest.mark.parametrize("rule", alerting_rules(), ids=rule_name)
def test_runbook_urls_end_with_the_file_name(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook_url"].rsplit("/", 1)[1] == f"{rule['alert']}.md"


def sections(name: str) -> dict[str, str]:
    _, *parts = re.split(r"^## (.+)\n", RUNBOOKS[name], flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbooks_have_four_filled_sections(name: str) -> None:
    text_by_heading = sections(name)

    assert list(text_by_heading) == HEADINGS
    assert min(len(text.split()) for text in text_by_heading.values()) >= 8


@pytest.mark.parametrize("name", RUNBOOKS)
def test_diagnosis_has_a_query_a_panel_link_and_the_check_command(name: str) -> None:
    text = sections(name)["Diagnosis"]
    (number,) = re.findall(r"viewPanel=(\d+)\)", text)
    (uid,) = re.findall(r"/d/([\w-]+)/", text)

    assert int(number) in panels_by_id(DASHBOARDS[uid])
    assert "insights-exporter check --config exporter.yaml" in text
    assert "```promql" in text


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbook_queries_use_known_series(name: str) -> None:
    """The rule itself is the first query; at least one more helps with the diagnosis."""
    queries = re.findall(r"^ *```promql\n(.+?)^ *```", RUNBOOKS[name], flags=re.MULTILINE | re.DOTALL)

    assert len(queries) >= 2
    for query in queries:
        assert_known_series(query)


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbooks_reference_only_existing_metrics_and_keys(name: str) -> None:
    for metric in re.findall(r"`(coder_insights_\w+|\w+:coder_insights_\w+:\w+)", sections_text(name)):
        assert_known_series(metric)

    assert referenced_keys(RUNBOOKS[name]) <= CONFIG_KEYS


def test_runbooks_reference_metrics_and_keys() -> None:
    """The patterns of the test above match the notations of the texts."""
    texts = "".join(map(sections_text, RUNBOOKS))

    assert len(referenced_keys(texts)) > 10
    assert len(set(re.findall(r"`(coder_insights_\w+|\w+:coder_insights_\w+:\w+)", texts))) >= 4


def referenced_keys(text: str) -> set[str]:
    roots = "|".join(sorted({section.path.split(".")[0] for section in SECTIONS}))
    return set(re.findall(rf"`((?:{roots})\.[a-z_.]+)", text))


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbooks_name_existing_panels(name: str) -> None:
    """A title in italics is a panel, a page of another product, or a role."""
    text = re.sub(r"```.*?```", "", sections_text(name), flags=re.DOTALL)
    titles = set(re.findall(r"(?<![*\w])\*([^*]+)\*(?!\*)", " ".join(text.split())))
    panel_titles = {
        panel["title"] for dashboard in DASHBOARDS.values() for panel in panels_by_id(dashboard).values()
    }
    other_titles = {
        "Admin settings, Users",
        "Deployment, Licenses",
        "Health",
        "Insights",
        "Settings, Schedule",
        "Status, Targets",
        "Templates, Versions",
        "auditor",
        "template admin",
    }

    assert titles <= panel_titles | other_titles


def sections_text(name: str) -> str:
    return "".join(sections(name).values())


@pytest.mark.parametrize("name", ["TokenExpires", "TokenExpiresSoon", "TokenInvalid"])
def test_token_runbooks_say_since_when_tokens_do_not_slide_and_how_to_rotate(name: str) -> None:
    text = " ".join(RUNBOOKS[f"CoderInsights{name}"].split())

    assert re.search(
        r"since v2\.32\.8, v2\.33\.9, v2\.34\.3 and v2\.35\.0, Coder does not extend tokens",
        text,
        re.IGNORECASE,
    )
    assert "insights-exporter token rotate" in text


@pytest.mark.parametrize("name", RUNBOOKS)
def test_runbooks_have_no_placeholders(name: str) -> None:
    assert re.findall(r"TODO|TBD|FIXME|\$\w+", RUNBOOKS[name]) == []


@pytest.mark.parametrize(
    ("hint", "names"),
    [
        (r"`view_insights`", ["PermissionMissing", "CollectorFailing"]),
        (r"merely created|was created and never connected", ["TemplateActiveUsersDrop", "TemplateUnused"]),
        (r"some minutes after users connect", ["UsageStalled"]),
        (r"in the last 30 days no user connected", ["TemplateUnused"]),
        (r"outdated agent|Outdated ones may not report", ["AppUsageStopped", "AppUnused"]),
        (r"workspaces run, are their agents connected", ["AppUsageStopped"]),
        (r"`coder_app` in the template", ["AppsUnhealthy"]),
        (r"agents reach Coder", ["TemplateLatencyCritical", "UsageStalled"]),
        (r"`coder netcheck`", ["TemplateLatencyHigh", "TemplateP95High", "UserLatencyPersistent"]),
        (r"DERP", ["TemplateLatencyHigh", "TemplateLatencyCritical", "RelayLatencyHigh"]),
        (
            r"hosts: CPU, memory|hosts or their region",
            ["TemplateLatencyHigh", "TemplateLatencyCritical"],
        ),
        (r"far (from|away)", ["TemplateLatencyHigh", "AppLatencyHigh", "TemplateP95High"]),
        (r"need help to start", ["SeatsIdle"]),
        (r"few users each can become one", ["TemplateUnused"]),
        (r"make it the default", ["ParameterOptionsUnused"]),
    ],
)
def test_runbooks_contain_the_advice_of_coders_documentation(hint: str, names: list[str]) -> None:
    text_by_name = {name: " ".join(RUNBOOKS[f"CoderInsights{name}"].split()) for name in names}

    assert [
        name for name, text in text_by_name.items() if not re.search(hint.replace(r"\s+", " "), text)
    ] == []
