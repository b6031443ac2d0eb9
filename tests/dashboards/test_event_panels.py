"""Panels whose data needs an event or much history: failures, limits, costs, forecasts and peaks.

The series are synthetic, and promtool evaluates the queries of the panels.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.dashboards.test_panels import EVENT_TARGETS
from tests.support.dashboards import all_panels, dashboard_variables
from tests.support.grafana import VariableValue, interpolate_variables

Target = tuple[str, str, str]
"""Slug, panel title and refId."""

Case = tuple[str, dict[str, str], str, float | None]
"""Evaluation time, input series, labels of the sample, and its value; None for no sample."""

TARGET_LABELS: Final = 'job="coder-insights", instance="a"'
PREFIX: Final = "coder_insights_exporter_"
BUILD_INFO: Final = f'{PREFIX}build_info{{{TARGET_LABELS}, version="1"}}'
POLL_INTERVAL: Final = f"{PREFIX}poll_interval_seconds{{{TARGET_LABELS}}}"
LAST_SUCCESS: Final = f'{PREFIX}last_success_timestamp_seconds{{{TARGET_LABELS}, collector="insights"}}'
RUNNING: Final = 'status="running"'
TEMPLATE: Final = 'organization_name="acme", template_name="go"'
SEATS: Final = f'{{{TARGET_LABELS}, feature="user_limit"}}'


def fresh(count: int) -> dict[str, str]:
    """Return the series of an exporter whose polls succeed."""
    return {LAST_SUCCESS: f"0+60x{count}", POLL_INTERVAL: f"300x{count}"}


def exporter(count: int) -> dict[str, str]:
    """Return the series of a running exporter."""
    return {BUILD_INFO: f"1x{count}"}


def counter(name: str, labels: str, count: int, step: int = 1) -> dict[str, str]:
    return {f"{PREFIX}{name}{{{TARGET_LABELS}{labels}}}": f"0+{step}x{count}"}


def coderd_builds(values: str, status: str) -> dict[str, str]:
    """Return the recorded builds of two replicas of coderd, each of which counts its own."""
    labels = f'template_name="go-dev", workspace_transition="START", status="{status}"'
    return {
        f'instance:coderd_workspace_builds_total:sum{{job="coderd", instance="{replica}", {labels}}}': values
        for replica in ("a", "b")
    }


CODERD_DAY: Final = (
    {LAST_SUCCESS: "0+1800x50", POLL_INTERVAL: "1800x50"}
    | coderd_builds("0+3x50", "success")
    | coderd_builds("0+1x50", "failed")
)
"""A day with 48 samples."""

EVENT_CASES: Final[Mapping[Target, Case]] = {
    ("exporter-health", "Errors by collector", "A"): (
        "40m",
        exporter(40) | counter("collector_errors_total", ', collector="insights", reason="timeout"', 40),
        '{collector="insights", reason="timeout"}',
        20,
    ),
    ("exporter-health", "Retries", "A"): (
        "40m",
        exporter(40) | counter("api_retries_total", ', endpoint="templates", reason="server"', 40, 2),
        '{reason="server"}',
        40,
    ),
    ("exporter-health", "Dropped rows", "A"): (
        "40m",
        exporter(40) | counter("rows_dropped_total", ', endpoint="users"', 40),
        '{endpoint="users"}',
        20,
    ),
    ("exporter-health", "Folded series", "A"): (
        "40m",
        exporter(40)
        | {f'{PREFIX}series_folded{{{TARGET_LABELS}, family="coder_insights_user_info"}}': "7x40"},
        '{family="user_info"}',
        7,
    ),
    ("exporter-health", "Counter corrections", "A"): (
        "40m",
        exporter(40) | counter("corrections_total", "", 40),
        '{instance="a"}',
        20,
    ),
    ("exporter-health", "OTLP exports", "A"): (
        "40m",
        counter("otlp_exports_total", ', result="ok"', 40),
        '{result="ok"}',
        20,
    ),
    ("deployment-overview", "Data status", "G"): (
        "5m",
        {f"coder_insights_collection_enabled{{{TARGET_LABELS}}}": "0x5"},
        "{}",
        1,
    ),
    ("deployment-overview", "Data status", "I"): (
        "5m",
        {
            f'coder_insights_deployment_info{{{TARGET_LABELS}, deployment_id="{name}"}}': "1x5"
            for name in ("one", "two")
        },
        "{}",
        2,
    ),
    ("capacity-planning", "Builds per hour", "A"): (
        "2h",
        coderd_builds("0+1x120", "success"),
        '{status="success"}',
        120,
    ),
    ("capacity-planning", "Failed builds, last day", "A"): (
        "1d",
        CODERD_DAY,
        '{template_name="go-dev", workspace_transition="START"}',
        384,
    ),
    ("capacity-planning", "Failed builds, last day", "B"): (
        "1d",
        CODERD_DAY,
        '{template_name="go-dev", workspace_transition="START"}',
        96,
    ),
    ("capacity-planning", "Failed builds, last day", "C"): (
        "1d",
        CODERD_DAY,
        '{template_name="go-dev", workspace_transition="START"}',
        0.25,
    ),
    ("capacity-planning", "Time until workspaces are ready", "A"): (
        "1d",
        {
            "coderd_template_workspace_build_duration_seconds_bucket"
            f'{{job="coderd", instance="{replica}", {TEMPLATE}, transition="start", status="success",'
            f' is_prebuild="false", le="{le}"}}': f"0+{count}x50"
            for replica in ("a", "b")
            for le, count in (("30", 0), ("60", 1), ("+Inf", 1))
        },
        f"{{{TEMPLATE}}}",
        58.5,
    ),
    ("capacity-planning", "Reclaimable workspaces", "G"): (
        "5m",
        fresh(5)
        | {
            f'coder_insights_workspaces{{{TARGET_LABELS}, {TEMPLATE}, status="running"}}': "3x5",
            f'coder_insights_workspace_daily_cost{{{TARGET_LABELS}, {TEMPLATE}, status="running"}}': "12x5",
        },
        f"{{{TEMPLATE}}}",
        12,
    ),
    ("adoption-report", "Adoption by template", "G"): (
        "5m",
        fresh(5)
        | {f'coder_insights_workspace_daily_cost{{{TARGET_LABELS}, {TEMPLATE}, status="running"}}': "12x5"},
        f"{{{TEMPLATE}}}",
        12,
    ),
    ("adoption-report", "Adoption by template", "H"): (
        "5m",
        fresh(5)
        | {
            f'coder_insights_workspace_daily_cost{{{TARGET_LABELS}, {TEMPLATE}, status="running"}}': "12x5",
            f'coder_insights_template_usage_window_seconds{{{TARGET_LABELS}, {TEMPLATE}, window="30d"}}': (
                "648000x5"
            ),
        },
        f"{{{TEMPLATE}}}",
        2,
    ),
}
"""A case for each target without data in the history, and for each event panel with a zero line."""

QUIET_CASES: Final[Mapping[Target, str]] = {
    ("exporter-health", "Errors by collector", "A"): '{collector="none"}',
    ("exporter-health", "Retries", "A"): '{reason="none"}',
    ("exporter-health", "Dropped rows", "A"): '{endpoint="none"}',
    ("exporter-health", "Folded series", "A"): '{family="none"}',
    ("exporter-health", "Counter corrections", "A"): '{instance="none"}',
}
"""Labels of the series at 0 that stands for "no events" while the exporter reports."""

GUARD_CASES: Final[Mapping[str, tuple[Target, Case]]] = {
    "seat forecast after a day": (
        ("capacity-planning", "Seat forecast", "A"),
        ("1d", {f"coder_insights_license_feature_used{SEATS}": "50+1x48"}, "{}", None),
    ),
    "days until none is left after a day": (
        ("capacity-planning", "Seat forecast", "B"),
        (
            "1d",
            {
                f"coder_insights_license_feature_used{SEATS}": "50+1x48",
                f"coder_insights_license_feature_limit{SEATS}": "2000x48",
            },
            "{}",
            None,
        ),
    ),
    "peak without catching up after failed polls": (
        ("capacity-planning", "Concurrent users of templates", "A"),
        (
            "10h",
            {
                # Two users all the time. Polls fail for five hours, then the counter catches up in one step.
                f"coder_insights_template_usage_seconds_total{{{TARGET_LABELS}, {TEMPLATE}}}": (
                    "0+120x120 14400x300 50400+120x180"
                ),
                LAST_SUCCESS: "0+60x120 7200x300 25260+60x180",
                POLL_INTERVAL: "300x601",
                f'coder_insights_users{{{TARGET_LABELS}, status="active"}}': "22x601",
            },
            "{}",
            2,
        ),
    ),
    "peak is at most the number of accounts": (
        ("capacity-planning", "Concurrent users of templates", "A"),
        (
            "10h",
            {
                f"coder_insights_template_usage_seconds_total{{{TARGET_LABELS}, {TEMPLATE}}}": "0+1800x600",
                LAST_SUCCESS: "0+60x600",
                POLL_INTERVAL: "300x600",
                f'coder_insights_users{{{TARGET_LABELS}, status="active"}}': "22x600",
            },
            "{}",
            22,
        ),
    ),
    "utilization in the first month covers the history": (
        ("adoption-report", "Selected templates", "B"),
        (
            "8d",
            {
                # One workspace runs all the time and is used half of the time, for eight days.
                f"coder_insights_template_usage_seconds_total{{{TARGET_LABELS}, {TEMPLATE}}}": (
                    f"0+900x{8 * 48}"
                ),
                f"coder_insights_workspaces{{{TARGET_LABELS}, {TEMPLATE}, {RUNNING}}}": f"1x{8 * 48}",
                LAST_SUCCESS.replace('"insights"', '"inventory"'): f"0+1800x{8 * 48}",
                LAST_SUCCESS: f"0+1800x{8 * 48}",
                POLL_INTERVAL: f"300x{8 * 48}",
            },
            "{}",
            0.5,
        ),
    ),
    "utilization in the first week is absent": (
        ("adoption-report", "Selected templates", "B"),
        (
            "6d",
            {
                f"coder_insights_template_usage_seconds_total{{{TARGET_LABELS}, {TEMPLATE}}}": (
                    f"0+900x{6 * 48}"
                ),
                f"coder_insights_workspaces{{{TARGET_LABELS}, {TEMPLATE}, {RUNNING}}}": f"1x{6 * 48}",
                LAST_SUCCESS.replace('"insights"', '"inventory"'): f"0+1800x{6 * 48}",
                LAST_SUCCESS: f"0+1800x{6 * 48}",
                POLL_INTERVAL: f"300x{6 * 48}",
            },
            "{}",
            None,
        ),
    ),
}


def weekly_series(*users: int) -> dict[str, str]:
    """Return active users by week, the newest first, of a deployment with 56 active accounts."""
    labels = f'{TARGET_LABELS}, interval="week"'
    return (
        {
            f'coder_insights_deployment_active_users{{{labels}, ago="{ago}"}}': f"{count}x5"
            for ago, count in enumerate((*users, *(0 for _ in range(12 - len(users)))))
        }
        | fresh(5)
        | {f'coder_insights_users{{{TARGET_LABELS}, status="active"}}': "56x5"}
    )


FORECAST_CASES: Final[Mapping[str, tuple[dict[str, str], str, dict[int, float]]]] = {
    "nothing before four weeks": (weekly_series(40, 20, 5), "C", {}),
    "at most the active accounts": (
        weekly_series(*(55 - 5 * ago for ago in range(11)), 1),
        "C",
        {1: 56, 2: 56, 3: 56, 4: 56},
    ),
    "a straight line has no range": (weekly_series(*([30] * 12)), "D", {1: 0, 2: 0, 3: 0, 4: 0}),
    "a straight line is continued": (
        weekly_series(*(30 - ago for ago in range(12))),
        "C",
        {1: 31, 2: 32, 3: 33, 4: 34},
    ),
}


def target_query(target: Target, selection: Mapping[str, VariableValue] | None = None) -> str:
    """Return the query of a target for all exporters, as in a panel with steps of five minutes."""
    slug, title, letter = target
    (query,) = [
        item["expr"]
        for panel in all_panels(slug)
        if panel.title == title
        for item in panel.targets
        if item["refId"] == letter
    ]
    values: dict[str, VariableValue] = {
        variable["name"]: "$__all" for variable in dashboard_variables(slug) if variable.get("includeAll")
    }
    builtin = {"__rate_interval": "20m", "__range": "9h"}
    values |= {"window": "7d"} | dict(selection or {})
    return interpolate_variables(query, dashboard_variables(slug), values, builtin)


def promtool_case(
    series: Mapping[str, str], eval_time: str, query: str, samples: list[tuple[str, float]]
) -> dict[str, Any]:
    return {
        "interval": "30m" if eval_time.endswith("d") else "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": eval_time,
                "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
            }
        ],
    }


def check_with_promtool(tmp_path: Path, case: Mapping[str, Any]) -> None:
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [dict(case)]}, width=10_000))
    result = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr


pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed.")


def test_every_event_target_has_a_case() -> None:
    assert set(EVENT_TARGETS) <= set(EVENT_CASES)


@pytest.mark.parametrize("target", EVENT_CASES, ids=" ".join)
def test_event_targets_return_the_expected_value(target: Target, tmp_path: Path) -> None:
    eval_time, series, labels, value = EVENT_CASES[target]
    samples = [] if value is None else [(labels, value)]
    # Versions of Prometheus differ in the last digit of an increase.
    query = f"round({target_query(target)}, 1e-6)"
    check_with_promtool(tmp_path, promtool_case(series, eval_time, query, samples))


@pytest.mark.parametrize("target", QUIET_CASES, ids=" ".join)
def test_no_events_are_a_zero_and_no_exporter_is_no_data(target: Target, tmp_path: Path) -> None:
    """An empty panel would otherwise mean both "no errors" and "the exporter reports nothing"."""
    query = target_query(target)
    check_with_promtool(tmp_path, promtool_case(exporter(40), "40m", query, [(QUIET_CASES[target], 0)]))
    check_with_promtool(tmp_path, promtool_case(exporter(5), "40m", query, []))


@pytest.mark.parametrize("name", GUARD_CASES)
def test_numbers_need_enough_fresh_history(name: str, tmp_path: Path) -> None:
    target, (eval_time, series, labels, value) = GUARD_CASES[name]
    # Stats add NaN as a placeholder, which a comparison with itself removes.
    query = f"({target_query(target)}) > -1"
    samples = [] if value is None else [(labels, value)]
    check_with_promtool(tmp_path, promtool_case(series, eval_time, query, samples))


@pytest.mark.parametrize("name", FORECAST_CASES)
def test_weekly_forecast(name: str, tmp_path: Path) -> None:
    series, letter, values = FORECAST_CASES[name]
    query = target_query(("capacity-planning", "Weekly users and forecast", letter))
    samples = [(f'{{ago="-{week}"}}', value) for week, value in values.items()]
    check_with_promtool(tmp_path, promtool_case(series, "5m", f"round({query}, 0.01)", samples))
