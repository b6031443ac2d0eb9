"""Every alert leads to a panel that exists and to a page that helps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from insights_exporter.bundle.alerts import Panel, Site
from insights_exporter.bundle.alerts.links import dashboard_url
from insights_exporter.config.spec import SECTIONS
from tests.alerts.test_rules import name_of
from tests.alerts.test_rules import test_a_rule_asks_only_for_what_is_served_or_recorded as asks_the_known
from tests.alerts.tree import ALERTS, alerts

DASHBOARDS: Final = {
    found["uid"]: found
    for path in sorted((Path(__file__).parents[2] / "dashboards").glob("*.json"))
    if (found := json.loads(path.read_text()))
}
HEADINGS: Final = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
RUNBOOKS: Final = {path.stem: path.read_text() for path in sorted((ALERTS / "runbooks").glob("*.md"))}
CONFIGURED: Final = {
    name
    for section in SECTIONS
    for key in section.keys
    for name in (f"{section.path}.{key.name}", f"{section.path}.{key.name}_file", section.path)
}


def panels(found: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {panel["id"]: panel for panel in found["panels"] if panel["type"] != "row"}


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_the_dashboard_exists_and_has_the_panel_and_the_variables(rule: dict[str, Any]) -> None:
    url = urlsplit(rule["annotations"]["dashboard_url"])
    query = parse_qs(url.query)
    dashboard = DASHBOARDS[url.path.split("/")[2]]
    known = {f"var-{variable['name']}" for variable in dashboard["templating"]["list"]}

    assert int(query.pop("viewPanel")[0]) in panels(dashboard)
    assert "var-job" in query
    assert set(query) <= known
    assert all(re.fullmatch(r"\{\{ \$labels\.\w+ \| urlquery \}\}", value[0]) for value in query.values())


def test_of_two_panels_with_one_title_the_course_is_meant() -> None:
    url = dashboard_url(Panel("deployment-overview", "Active users"), Site())
    number = int(parse_qs(urlsplit(url).query)["viewPanel"][0])

    assert panels(DASHBOARDS["coder-insights-deployment-overview"])[number]["type"] == "timeseries"


def test_a_panel_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected a panel 'Weather' in exporter-health"):
        dashboard_url(Panel("exporter-health", "Weather"), Site())


def test_each_alert_has_its_runbook_and_no_runbook_is_left_over() -> None:
    assert sorted(RUNBOOKS) == sorted(rule["alert"] for rule in alerts())


@pytest.mark.parametrize("rule", alerts(), ids=name_of)
def test_the_address_of_a_runbook_ends_with_its_file(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook_url"].rsplit("/", 1)[1] == f"{rule['alert']}.md"


def sections(name: str) -> dict[str, str]:
    _, *parts = re.split(r"^## (.+)\n", RUNBOOKS[name], flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", RUNBOOKS)
def test_a_runbook_has_four_filled_parts(name: str) -> None:
    found = sections(name)

    assert list(found) == HEADINGS
    assert min(len(text.split()) for text in found.values()) >= 8


@pytest.mark.parametrize("name", RUNBOOKS)
def test_a_diagnosis_has_a_query_to_paste_a_panel_and_the_check(name: str) -> None:
    text = sections(name)["Diagnosis"]
    (number,) = re.findall(r"viewPanel=(\d+)\)", text)
    (uid,) = re.findall(r"/d/([\w-]+)/", text)

    assert int(number) in panels(DASHBOARDS[uid])
    assert "insights-exporter check --config exporter.yaml" in text
    assert "```promql" in text


@pytest.mark.parametrize("name", RUNBOOKS)
def test_the_queries_of_a_runbook_work(name: str) -> None:
    for query in re.findall(r"^ *```promql\n(.+?)^ *```", RUNBOOKS[name], flags=re.MULTILINE | re.DOTALL):
        asks_the_known({"expr": query})


@pytest.mark.parametrize("name", RUNBOOKS)
def test_a_runbook_names_only_metrics_and_keys_that_exist(name: str) -> None:
    for metric in re.findall(r"`(coder_insights_\w+|\w+:coder_insights_\w+:\w+)", sections_text(name)):
        asks_the_known({"expr": metric})
    roots = "|".join(sorted({section.path.split(".")[0] for section in SECTIONS}))
    named = set(re.findall(rf"`((?:{roots})\.[a-z_.]+)", RUNBOOKS[name]))

    assert named <= CONFIGURED


def sections_text(name: str) -> str:
    return "".join(sections(name).values())


@pytest.mark.parametrize("name", RUNBOOKS)
def test_nothing_is_left_to_fill_in(name: str) -> None:
    assert re.findall(r"TODO|TBD|FIXME|\$\w+", RUNBOOKS[name]) == []


@pytest.mark.parametrize(
    ("hint", "names"),
    [
        (r"`view_insights`", ["PermissionMissing", "CollectorFailing"]),
        (r"merely created|was created and never connected", ["TemplateActiveUsersDrop", "TemplateUnused"]),
        (r"some minutes after people connect", ["UsageStalled"]),
        (r"in the last 30 days nobody connected", ["TemplateUnused"]),
        (r"outdated agent|Outdated ones may not report", ["AppUsageStopped", "AppUnused"]),
        (r"workspaces run, are their agents connected", ["AppUsageStopped"]),
        (r"`coder_app` in the template", ["AppsUnhealthy"]),
        (r"agents reach Coder", ["TemplateLatencyCritical", "UsageStalled"]),
        (r"`coder netcheck`", ["TemplateLatencyHigh", "TemplateP95High", "UserLatencyStanding"]),
        (r"DERP", ["TemplateLatencyHigh", "TemplateLatencyCritical", "RelayLatencyHigh"]),
        (
            r"hosts: processor, memory|hosts or their region",
            ["TemplateLatencyHigh", "TemplateLatencyCritical"],
        ),
        (r"far (from|away)", ["TemplateLatencyHigh", "AppLatencyHigh", "TemplateP95High"]),
        (r"need help to start", ["SeatsIdle"]),
        (r"few users each can become one", ["TemplateUnused"]),
        (r"make it the default", ["ParameterOptionsUnused"]),
    ],
)
def test_what_the_vendor_advises_stands_where_it_belongs(hint: str, names: list[str]) -> None:
    flat = {name: " ".join(RUNBOOKS[f"CoderInsights{name}"].split()) for name in names}

    assert [name for name, text in flat.items() if not re.search(hint.replace(r"\s+", " "), text)] == []
