"""The composed stack: no engine runs here, so all that it would be told is held against what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft202012Validator

from insights_exporter.cli import main
from insights_exporter.config.source import variable
from insights_exporter.config.spec import keys
from insights_exporter.simulator.stage import DEMO_TOKEN
from tests.support.boards import BOARDS

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9-]+)?"
PROGRAMS: Final = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": _TEXT, "minItems": 1}
_DURATION: Final = {"type": "string", "pattern": r"^\d+s$"}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


_SERVICE: Final = _object(
    "image user read_only cap_drop security_opt tmpfs restart healthcheck logging",
    image={"type": "string", "pattern": rf"^({IMAGE}|insights-exporter:local)$"},
    build={"const": "."},
    command=_TEXTS,
    user={"type": "string", "pattern": r"^(\$\{\w+:-)?[1-9]\d*:\d+\}?$"},
    profiles={"const": ["demo"]},
    environment={"type": "object", "additionalProperties": {"type": "string"}},
    secrets=_TEXTS,
    ports={"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
    volumes={"type": "array", "items": {"type": "string", "pattern": r"^(\./[^:]+:[^:]+:ro|[a-z]+:[^:]+)$"}},
    depends_on={
        "type": "object",
        "additionalProperties": _object(
            "condition", condition={"enum": ["service_started", "service_healthy"]}
        ),
    },
    healthcheck=_object(
        "test interval timeout start_period retries",
        test={"type": "array", "prefixItems": [{"const": "CMD"}], "items": _TEXT, "minItems": 2},
        interval=_DURATION,
        timeout=_DURATION,
        start_period=_DURATION,
        retries={"type": "integer", "minimum": 1},
    ),
    restart={"enum": ["unless-stopped"]},
    read_only={"const": True},
    cap_drop={"const": ["ALL"]},
    security_opt={"const": ["no-new-privileges:true"]},
    tmpfs=_TEXTS,
    logging=_object("driver", driver=_TEXT, options={"type": "object", "additionalProperties": _TEXT}),
)
_SECRET: Final = _object("file", file=_TEXT)
SCHEMA: Final = {
    **_object(
        "name services secrets volumes",
        name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        services={"type": "object", "additionalProperties": _SERVICE},
        secrets={"type": "object", "additionalProperties": _SECRET},
        volumes={"type": "object", "additionalProperties": {"type": "null"}},
    ),
    "patternProperties": {"^x-": True},
}
"""The part of the compose specification that is used, and stricter: every service must be hardened."""


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def services(composed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = composed["services"]
    return found


def default(text: str) -> str:
    """Return a text as it is where nobody set a variable."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


def mounted(service: dict[str, Any]) -> dict[str, str]:
    """Return what of the tree a service sees, by the path within."""
    binds = (one.split(":") for one in service.get("volumes", ()) if one.startswith("./"))
    return {inside: outside for outside, inside, *_ in binds}


def found(service: dict[str, Any], path: str) -> Path:
    """Return the file of the tree that a service finds at a path."""
    for inside, outside in mounted(service).items():
        if path == inside or path.startswith(inside + "/"):
            return ROOT / outside / path[len(inside) :].lstrip("/")
    pytest.fail(f"Nothing is mounted at {path}.")


def test_it_follows_the_compose_specification(composed: dict[str, Any]) -> None:
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(composed)] == []


def test_a_service_depends_on_services_that_are_there(services: dict[str, Any]) -> None:
    assert {one for service in services.values() for one in service.get("depends_on", ())} <= set(services)


def test_named_volumes_and_secrets_are_declared(composed: dict[str, Any]) -> None:
    named = {
        one.split(":")[0]
        for service in composed["services"].values()
        for one in service.get("volumes", ())
        if not one.startswith("./")
    }
    secrets = {one for service in composed["services"].values() for one in service.get("secrets", ())}

    assert named == set(composed["volumes"])
    assert secrets == set(composed["secrets"])


def test_every_mounted_path_is_in_the_tree(services: dict[str, Any]) -> None:
    missing = [
        path for one in services.values() for path in mounted(one).values() if not (ROOT / path).exists()
    ]

    assert missing == []


def test_only_the_simulated_coder_belongs_to_the_demo(services: dict[str, Any]) -> None:
    assert [name for name, one in services.items() if "profiles" in one] == ["coder"]


def test_the_demo_needs_nothing_but_the_tree(composed: dict[str, Any], services: dict[str, Any]) -> None:
    """Where nobody says otherwise, the exporter finds the simulated Coder and holds a token that it takes."""
    told = services["exporter"]["environment"]
    port = services["coder"]["command"][services["coder"]["command"].index("--port") + 1]
    metrics = services["coder"]["command"][services["coder"]["command"].index("--metrics-port") + 1]
    token = ROOT / default(composed["secrets"]["coder-token"]["file"])

    assert default(told["INSIGHTS_EXPORTER_CODER_URL"]) == f"http://coder:{port}"
    assert default(told["INSIGHTS_EXPORTER_AGENT_STATS_METRICS_URL"]) == f"http://coder:{metrics}/metrics"
    assert told["INSIGHTS_EXPORTER_CODER_TOKEN_FILE"] == "/run/secrets/coder-token"
    assert token.read_text().strip() == DEMO_TOKEN


def test_the_exporter_is_told_settings_that_exist(services: dict[str, Any]) -> None:
    known = {variable(path) + form for path, _, _ in keys() for form in ("", "_FILE", "_ENV")}

    assert set(services["exporter"]["environment"]) <= known


@pytest.mark.parametrize("service", ["exporter", "coder"])
def test_our_own_commands_know_their_options(
    services: dict[str, Any], service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = services[service]["command"]
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out

    assert [one for one in options if one.startswith("--") and one not in text] == []


@pytest.mark.parametrize("service", PROGRAMS)
def test_flags_are_those_of_the_program(services: dict[str, Any], service: str) -> None:
    program = shutil.which(PROGRAMS[service])
    if program is None:
        pytest.skip(f"{PROGRAMS[service]} is not installed.")
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    flags = [one.partition("=")[0] for one in services[service]["command"]]

    assert [flag for flag in flags if f"{flag}=" not in done.stdout + done.stderr] == []


def test_prometheus_accepts_its_configuration(services: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed.")
    service = services["prometheus"]
    flags = dict(one.split("=") for one in service["command"])
    text = found(service, flags["--config.file"]).read_text()
    (rules,) = yaml.safe_load(text)["rule_files"]
    folder = found(service, rules.rpartition("/")[0])
    (tmp_path / "prometheus.yml").write_text(text.replace(rules.rpartition("/")[0], str(folder)))
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("rules found") == len(list(folder.glob("*.yml"))) == 2


def test_prometheus_scrapes_and_calls_what_is_composed(services: dict[str, Any]) -> None:
    told = yaml.safe_load(found(services["prometheus"], "/etc/prometheus/prometheus.yml").read_text())
    scraped = [one["targets"] for job in told["scrape_configs"] for one in job["static_configs"]]
    called = [one["targets"] for each in told["alerting"]["alertmanagers"] for one in each["static_configs"]]

    assert told["scrape_configs"][0]["job_name"] == "coder-insights"
    assert scraped == [["exporter:9766"], ["localhost:9090"]]
    assert called == [["alertmanager:9093"]]


def test_alertmanager_accepts_its_configuration(services: dict[str, Any]) -> None:
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed.")
    flags = dict(one.split("=") for one in services["alertmanager"]["command"])
    file = found(services["alertmanager"], flags["--config.file"])
    done = subprocess.run(["amtool", "check-config", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_grafana_finds_provisioning_dashboards_and_prometheus(services: dict[str, Any]) -> None:
    grafana = services["grafana"]
    told = grafana["environment"]
    folder = found(grafana, told["GF_PATHS_PROVISIONING"])
    (provider,) = yaml.safe_load((folder / "dashboards/coder-insights.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((folder / "datasources/coder-insights.yaml").read_text())["datasources"]
    shown = {one.stem for one in found(grafana, provider["options"]["path"]).glob("*.json")}

    assert shown == set(BOARDS)
    assert found(grafana, told["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file()
    assert source["url"] == "http://prometheus:9090"
    assert "9090" in services["prometheus"]["ports"][0]
    assert provider["allowUiUpdates"] is False


def test_the_image_has_no_root_no_installer_and_a_pinned_base() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    first, last = text.split("\nFROM ")[1:]

    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-[a-z]+$", text, re.MULTILINE)
    assert first.startswith("python:${PYTHON} AS build")
    assert last.startswith("python:${PYTHON}\n")
    assert "--constraint constraints.txt" in first
    assert "pip install" not in last
    assert "rm -rf /usr/local/bin/pip*" in last
    assert re.search(r"^USER [1-9]\d*:\d+$", last, re.MULTILINE)


def test_the_builder_gets_all_that_it_copies() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [
        part for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for part in line.split()
    ]
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert set(copied) == sent
    assert all((ROOT / one).exists() for one in copied)
