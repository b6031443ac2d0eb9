"""``insights-exporter bundle`` writes what the tree holds, fitted to a site, also out of a wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from insights_exporter.bundle.boards import BOARDS
from insights_exporter.bundle.choices import Choices
from insights_exporter.bundle.files import files, provisioning
from insights_exporter.cli import main
from tests.support.promql import selectors

ROOT: Final = Path(__file__).parents[2]
COMPOSED: Final = Choices(prometheus_url="http://prometheus:9090")
"""What the composed Grafana is provisioned with."""


def bundle(folder: Path, *options: str) -> dict[str, str]:
    """Run the command and return what it wrote."""
    assert main(["bundle", "--output", str(folder), *options]) == 0

    written = (one for one in folder.rglob("*") if one.is_file())
    return {one.relative_to(folder).as_posix(): one.read_text(encoding="utf-8") for one in written}


def dashboards(written: dict[str, str]) -> list[dict[str, Any]]:
    return [
        json.loads(text) for path, text in written.items() if re.fullmatch(r"dashboards/[^/]+\.json", path)
    ]


def queries(dashboard: dict[str, Any]) -> Iterator[str]:
    """Yield all queries, with their variables made into durations and names."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    found += [one["expr"] for one in dashboard["annotations"]["list"]]
    for one in dashboard["templating"]["list"]:
        if match := re.fullmatch(r"label_values\((.+), \w+\)", one["query"]):
            found.append(match[1])
    for one in found:
        yield re.sub(r"\[\$__\w+", "[5m", one)


def test_without_choices_it_writes_the_tree(tmp_path: Path) -> None:
    for path, text in bundle(tmp_path).items():
        there = (ROOT / path).read_text(encoding="utf-8")
        if path.startswith("alerts/"):
            there = there.replace("python -m insights_exporter.bundle.alerts", "insights-exporter bundle", 1)

        assert there == text, path


def test_the_tree_holds_all_that_is_written(tmp_path: Path) -> None:
    written = bundle(tmp_path, "--prometheus-url", COMPOSED.prometheus_url)
    there = {
        one.relative_to(ROOT).as_posix()
        for folder in ("alerts", "dashboards")
        for one in (ROOT / folder).rglob("*")
        if one.is_file()
    }

    assert there == set(written)


def test_the_composed_grafana_is_provisioned_by_the_same_code() -> None:
    for path, text in provisioning(COMPOSED).items():
        assert (ROOT / "dashboards" / "provisioning" / path).read_text(encoding="utf-8") == text


def test_every_selector_gets_the_matchers(tmp_path: Path) -> None:
    options = ("--matcher", 'cluster="blue"', "--matcher", 'env=~"prod|test"')
    for dashboard in dashboards(bundle(tmp_path, *options)):
        for query in queries(dashboard):
            for found in selectors(query):
                assert found.matchers.get("cluster") == ("=", "blue"), query
                assert found.matchers.get("env") == ("=~", "prod|test")


def test_nothing_but_queries_gets_the_matchers(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = dashboards(bundle(tmp_path / "plain"))
    matched = dashboards(bundle(tmp_path / "matched", "--matcher", 'cluster="blue"'))
    for before, after in zip(plain, matched, strict=True):
        text = json.dumps(after).replace(r"cluster=\"blue\", ", "").replace(r"{cluster=\"blue\"}", "")

        assert json.loads(text) == before


@pytest.mark.parametrize(
    ("matcher", "job"),
    [('cluster="blue"', ("=", "coder-insights")), ('job="coder"', ("=", "coder"))],
)
def test_rules_keep_their_job_unless_another_one_is_named(
    tmp_path: Path, matcher: str, job: tuple[str, str]
) -> None:
    written = bundle(tmp_path, "--matcher", matcher)
    rules = yaml.load(written["alerts/prometheus/recording-rules.yml"], Loader=yaml.CSafeLoader)
    asked = [one for group in rules["groups"] for rule in group["rules"] for one in selectors(rule["expr"])]

    assert {one.matchers.get("job") for one in asked} == {job}


def test_a_prefix_makes_a_second_set(tmp_path: Path) -> None:
    written = bundle(tmp_path, "--prefix", "staging", "--folder", "Coder staging")
    found = dashboards(written)
    provider = yaml.safe_load(written["dashboards/provisioning/dashboards/staging.yaml"])["providers"][0]

    assert {one["uid"] for one in found} == {f"staging-{board.slug}" for board in BOARDS}
    assert (provider["name"], provider["folder"], provider["folderUid"]) == (
        "staging",
        "Coder staging",
        "staging",
    )
    assert not any(board.uid in text for board in BOARDS for text in written.values())
    assert all(f"/d/staging-{board.slug}" in str(found) for board in BOARDS)


def test_the_longest_prefix_makes_uids_that_grafana_takes(tmp_path: Path) -> None:
    found = dashboards(bundle(tmp_path, "--prefix", "a" * 18))

    assert max(len(one["uid"]) for one in found) == 40


def test_a_data_source_can_be_chosen_beforehand(tmp_path: Path) -> None:
    written = bundle(
        tmp_path, "--datasource", "mimir", "--prometheus-url", "https://mimir.example.com/prometheus"
    )
    source = yaml.safe_load(written["dashboards/provisioning/datasources/coder-insights.yaml"])[
        "datasources"
    ][0]
    chosen = [one["templating"]["list"][0]["current"]["value"] for one in dashboards(written)]

    assert set(chosen) == {"mimir"}
    assert (source["uid"], source["url"]) == ("mimir", "https://mimir.example.com/prometheus")


def test_the_form_for_imports_asks_for_the_data_source(tmp_path: Path) -> None:
    written = bundle(tmp_path, "--form", "import")
    for one in dashboards(written):
        asked = one["__inputs"][0]
        required = {(part["type"], part["id"]) for part in one["__requires"]}

        assert (asked["name"], asked["type"], asked["pluginId"]) == (
            "DS_PROMETHEUS",
            "datasource",
            "prometheus",
        )
        assert one["templating"]["list"][0]["current"]["value"] == "${DS_PROMETHEUS}"
        assert {("panel", panel["type"]) for panel in one["panels"] if panel["type"] != "row"} <= required
        assert ("grafana", "grafana") in required
    assert not any("provisioning" in path for path in written)


def test_config_maps_are_what_the_sidecar_looks_for(tmp_path: Path) -> None:
    written = bundle(tmp_path, "--form", "configmap", "--namespace", "grafana", "--folder", "Coder")
    maps = list(yaml.load_all(written["kubernetes/dashboards.yaml"], Loader=yaml.CSafeLoader))
    held = [json.loads(text)["uid"] for one in maps for text in one["data"].values()]

    assert held == [board.uid for board in BOARDS]
    assert {one["metadata"]["namespace"] for one in maps} == {"grafana"}
    assert {one["metadata"]["labels"]["grafana_dashboard"] for one in maps} == {"1"}
    assert {one["metadata"]["annotations"]["grafana_folder"] for one in maps} == {"Coder"}
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])", one["metadata"]["name"]) for one in maps)
    assert max(len(text.encode()) for one in maps for text in one["data"].values()) < 2**20


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--matcher", "cluster=blue"), "--matcher: expected one such as"),
        (("--matcher", '{cluster="blue"}'), "--matcher: expected one such as"),
        (("--prefix", "Staging"), "--prefix: expected up to 18 of"),
        (("--prefix", "a" * 19), "--prefix: expected up to 18 of"),
        (("--folder", "a/b"), "--folder: expected a title"),
        (("--folder", " "), "--folder: expected a title"),
        (("--mounted-at", "dashboards"), "--mounted-at: expected an absolute path"),
        (("--prometheus-url", "prometheus:9090"), "--prometheus-url: expected http"),
        (("--threshold", "seats=1"), "Expected names of thresholds"),
        (("--output", "/dev/null/bundle"), "--output: expected a folder"),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert main(["bundle", "--output", str(tmp_path / "out"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_unknown_form_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bundle", "--output", str(tmp_path), "--form", "jsonnet"])

    assert "provisioning" in capsys.readouterr().err


def test_an_installed_wheel_writes_the_same_without_the_generator(tmp_path: Path) -> None:
    """The wheel is built, unpacked elsewhere, and run where neither the tree nor the SDK can be seen."""
    wheels, installed, written = tmp_path / "wheels", tmp_path / "installed", tmp_path / "written"
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
    subprocess.run([sys.executable, "-c", program, str(installed), str(written)], check=True, cwd=tmp_path)
    found = {
        one.relative_to(written).as_posix(): one.read_text() for one in written.rglob("*") if one.is_file()
    }

    assert found == files(Choices())
