"""``insights-exporter bundle`` writes what the tree holds, fitted to a site, also out of a wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from insights_exporter.bundle.customize import BundleOptions
from insights_exporter.bundle.output import bundle_files, provisioning_files
from insights_exporter.bundle.registry import DASHBOARDS, iter_panels
from insights_exporter.cli import main
from tests.support.dashboards import dashboard_queries
from tests.support.promql import parse_selectors

ROOT: Final = Path(__file__).parents[2]
COMPOSE_OPTIONS: Final = BundleOptions(prometheus_url="http://prometheus:9090")
"""What the composed Grafana is provisioned with."""


def run_bundle(output: Path, *arguments: str) -> dict[str, str]:
    """Run the command and return what it wrote."""
    assert main(["bundle", "--output", str(output), *arguments]) == 0

    written_files = (file for file in output.rglob("*") if file.is_file())
    return {file.relative_to(output).as_posix(): file.read_text(encoding="utf-8") for file in written_files}


def load_dashboards(files: dict[str, str]) -> list[dict[str, Any]]:
    return [json.loads(text) for path, text in files.items() if re.fullmatch(r"dashboards/[^/]+\.json", path)]


def parseable_queries(dashboard: dict[str, Any]) -> list[str]:
    """Return all queries with durations in place of Grafana's variables; a dashboard has at least one."""
    queries = [re.sub(r"\[\$__\w+", "[5m", query) for query in dashboard_queries(dashboard)]
    assert queries
    return queries


def test_default_options_reproduce_the_repository_files(tmp_path: Path) -> None:
    for path, text in run_bundle(tmp_path).items():
        committed = (ROOT / path).read_text(encoding="utf-8")
        assert committed == text, path


def test_the_repository_has_exactly_the_written_files(tmp_path: Path) -> None:
    files = run_bundle(tmp_path, "--prometheus-url", COMPOSE_OPTIONS.prometheus_url)
    committed = {
        file.relative_to(ROOT).as_posix()
        for folder in ("alerts", "dashboards")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and file.suffix not in {".py", ".pyc"}
    }

    assert committed == set(files)


def test_compose_provisioning_files_are_generated() -> None:
    for path, text in provisioning_files(COMPOSE_OPTIONS).items():
        assert (ROOT / "dashboards" / "provisioning" / path).read_text(encoding="utf-8") == text


def test_every_selector_gets_the_matchers(tmp_path: Path) -> None:
    options = ("--matcher", 'cluster="blue"', "--matcher", 'env=~"prod|test"')
    for dashboard in load_dashboards(run_bundle(tmp_path, *options)):
        for query in parseable_queries(dashboard):
            for selector in parse_selectors(query):
                assert selector.matchers.get("cluster") == ("=", "blue"), query
                assert selector.matchers.get("env") == ("=~", "prod|test")


def test_matchers_are_added_to_queries_only(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = load_dashboards(run_bundle(tmp_path / "plain"))
    matched = load_dashboards(run_bundle(tmp_path / "matched", "--matcher", 'cluster="blue"'))
    for before, after in zip(plain, matched, strict=True):
        text = json.dumps(after).replace(r"cluster=\"blue\", ", "").replace(r"{cluster=\"blue\"}", "")

        assert json.loads(text) == before


def test_a_cluster_label_is_a_variable_of_every_dashboard_and_selector(tmp_path: Path) -> None:
    for dashboard in load_dashboards(run_bundle(tmp_path, "--cluster-label", "cluster")):
        datasource, cluster, job, *_ = dashboard["templating"]["list"]

        assert [datasource["name"], cluster["name"], job["name"]] == ["datasource", "cluster", "job"]
        assert cluster["query"] == "label_values(coder_insights_exporter_build_info, cluster)"
        assert (cluster["multi"], cluster["includeAll"], cluster.get("hide", 0)) == (False, False, 0)
        for query in parseable_queries(dashboard):
            if "ALERTS" not in query and query != "coder_insights_exporter_build_info":
                for selector in parse_selectors(query):
                    assert selector.matchers.get("cluster") == ("=", "$cluster"), query


def test_links_of_rows_keep_the_cluster(tmp_path: Path) -> None:
    text = json.dumps(load_dashboards(run_bundle(tmp_path, "--cluster-label", "cluster")))

    assert text.count("${datasource:queryparam}") > 5
    assert text.count("${datasource:queryparam}") == text.count(
        "${datasource:queryparam}&${cluster:queryparam}"
    )


@pytest.mark.parametrize(("arguments", "hidden"), [((), True), (("--show-targets",), False)])
def test_job_and_instance_are_hidden_unless_requested(
    tmp_path: Path, arguments: tuple[str, ...], *, hidden: bool
) -> None:
    for dashboard in load_dashboards(run_bundle(tmp_path, *arguments)):
        variables = {item["name"]: item for item in dashboard["templating"]["list"]}

        assert {variables[name]["hide"] == 2 for name in ("job", "instance")} == {hidden}


def test_the_status_row_links_to_the_published_runbooks(tmp_path: Path) -> None:
    url = "https://wiki.example.com/runbooks"
    for dashboard in load_dashboards(run_bundle(tmp_path, "--runbook-url", url)):
        (status,) = (panel for panel in dashboard["panels"] if panel["title"] == "Data status")

        assert status["links"][1]["url"] == f"{url}/CoderInsightsDataStale.md"


@pytest.mark.parametrize(
    ("matcher", "job"),
    [('cluster="blue"', ("=", "coder-insights")), ('job="coder"', ("=", "coder"))],
)
def test_rules_keep_the_default_job_matcher_unless_overridden(
    tmp_path: Path, matcher: str, job: tuple[str, str]
) -> None:
    files = run_bundle(tmp_path, "--matcher", matcher)
    rules = yaml.load(files["alerts/prometheus/recording-rules.yml"], Loader=yaml.CSafeLoader)
    rule_selectors = [
        selector
        for group in rules["groups"]
        for rule in group["rules"]
        for selector in parse_selectors(rule["expr"])
        # Coder's own metrics are scraped by a job of any name.
        if not selector.name.startswith("coderd_")
    ]

    assert {selector.matchers.get("job") for selector in rule_selectors} == {job}


def test_a_prefix_allows_a_second_set_of_dashboards(tmp_path: Path) -> None:
    files = run_bundle(tmp_path, "--prefix", "staging", "--folder", "Coder staging")
    prefixed = load_dashboards(files)
    provider = yaml.safe_load(files["dashboards/provisioning/dashboards/staging.yaml"])["providers"][0]

    assert {dashboard["uid"] for dashboard in prefixed} == {f"staging-{info.slug}" for info in DASHBOARDS}
    assert (provider["name"], provider["folder"], provider["folderUid"]) == (
        "staging",
        "Coder staging",
        "staging",
    )
    assert not any(info.uid in text for info in DASHBOARDS for text in files.values())
    assert all(f"/d/staging-{info.slug}" in str(prefixed) for info in DASHBOARDS)


def test_the_longest_prefix_gives_valid_uids(tmp_path: Path) -> None:
    prefixed = load_dashboards(run_bundle(tmp_path, "--prefix", "a" * 18))

    assert max(len(dashboard["uid"]) for dashboard in prefixed) == 40


def test_the_data_source_can_be_preselected(tmp_path: Path) -> None:
    files = run_bundle(
        tmp_path, "--datasource", "mimir", "--prometheus-url", "https://mimir.example.com/prometheus"
    )
    datasource = yaml.safe_load(files["dashboards/provisioning/datasources/coder-insights.yaml"])[
        "datasources"
    ][0]
    preselected = [
        dashboard["templating"]["list"][0]["current"]["value"] for dashboard in load_dashboards(files)
    ]

    assert set(preselected) == {"mimir"}
    assert (datasource["uid"], datasource["url"]) == ("mimir", "https://mimir.example.com/prometheus")


def test_the_import_format_declares_the_data_source_as_input(tmp_path: Path) -> None:
    files = run_bundle(tmp_path, "--form", "import")
    for dashboard in load_dashboards(files):
        declared_input = dashboard["__inputs"][0]
        required = {(part["type"], part["id"]) for part in dashboard["__requires"]}

        assert (declared_input["name"], declared_input["type"], declared_input["pluginId"]) == (
            "DS_PROMETHEUS",
            "datasource",
            "prometheus",
        )
        assert dashboard["templating"]["list"][0]["current"]["value"] == "${DS_PROMETHEUS}"
        assert {("panel", panel["type"]) for panel in iter_panels(dashboard["panels"])} <= required
        assert ("grafana", "grafana") in required
    assert not any("provisioning" in path for path in files)


def test_config_maps_match_the_grafana_sidecar(tmp_path: Path) -> None:
    files = run_bundle(tmp_path, "--form", "configmap", "--namespace", "grafana", "--folder", "Coder")
    config_maps = list(yaml.load_all(files["kubernetes/dashboards.yaml"], Loader=yaml.CSafeLoader))
    uids = [json.loads(text)["uid"] for config_map in config_maps for text in config_map["data"].values()]

    assert uids == [info.uid for info in DASHBOARDS]
    assert {config_map["metadata"]["namespace"] for config_map in config_maps} == {"grafana"}
    assert {config_map["metadata"]["labels"]["grafana_dashboard"] for config_map in config_maps} == {"1"}
    assert {config_map["metadata"]["annotations"]["grafana_folder"] for config_map in config_maps} == {
        "Coder"
    }
    assert all(
        re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])", config_map["metadata"]["name"])
        for config_map in config_maps
    )
    assert (
        max(len(text.encode()) for config_map in config_maps for text in config_map["data"].values()) < 2**20
    )


@pytest.mark.parametrize(
    ("options", "expected_message"),
    [
        (("--matcher", "cluster=blue"), "--matcher: expected a matcher"),
        (("--matcher", '{cluster="blue"}'), "--matcher: expected a matcher"),
        (("--prefix", "Staging"), "--prefix: expected up to 18 of"),
        (("--prefix", "a" * 19), "--prefix: expected up to 18 of"),
        (("--folder", "a/b"), "--folder: expected a title"),
        (("--folder", " "), "--folder: expected a title"),
        (("--mounted-at", "dashboards"), "--mounted-at: expected an absolute path"),
        (("--prometheus-url", "prometheus:9090"), "--prometheus-url: expected an http"),
        (("--threshold", "seats=1"), "--threshold: expected a name"),
        (("--cluster-label", "my-cluster"), "--cluster-label: expected a label name"),
        (("--cluster-label", "job"), "--cluster-label: expected a label that identifies"),
        (("--output", "/dev/null/bundle"), "--output: expected a writable folder"),
    ],
)
def test_invalid_options_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], expected_message: str
) -> None:
    assert main(["bundle", "--output", str(tmp_path / "out"), *options]) == 2
    assert expected_message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bundle", "--output", str(tmp_path), "--form", "jsonnet"])

    assert "provisioning" in capsys.readouterr().err


def test_an_installed_wheel_writes_the_same_without_the_generator(tmp_path: Path) -> None:
    """The wheel is built, unpacked elsewhere, and run where neither the tree nor the SDK can be seen."""
    wheels, installed, output = tmp_path / "wheels", tmp_path / "installed", tmp_path / "written"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.iterdir()
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], check=True)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.modules['grafana_foundation_sdk'] = None;"
        "import insights_exporter.cli as cli; assert cli.__file__.startswith(sys.argv[1]), cli.__file__;"
        "sys.exit(cli.main(['bundle', '--output', sys.argv[2]]))"
    )
    subprocess.run([sys.executable, "-c", program, str(installed), str(output)], check=True, cwd=tmp_path)
    written_files = {
        file.relative_to(output).as_posix(): file.read_text() for file in output.rglob("*") if file.is_file()
    }

    assert written_files == bundle_files(BundleOptions())
