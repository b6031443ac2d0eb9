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
from insights_exporter.config.schema import environment_variable, keys
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN
from tests.support.dashboards import DASHBOARD_SLUGS

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(-[a-z0-9-]+)?"
BINARY_BY_SERVICE: Final = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}

_STRING: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_STRING_LIST: Final[dict[str, Any]] = {"type": "array", "items": _STRING, "minItems": 1}
_DURATION: Final = {"type": "string", "pattern": r"^\d+s$"}


def _object_schema(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


_SERVICE_SCHEMA: Final = _object_schema(
    "image user read_only cap_drop security_opt tmpfs restart healthcheck logging",
    image={"type": "string", "pattern": rf"^({IMAGE}|insights-exporter:local)$"},
    build={"const": "."},
    command=_STRING_LIST,
    user={"type": "string", "pattern": r"^(\$\{\w+:-)?[1-9]\d*:\d+\}?$"},
    profiles={"const": ["demo"]},
    environment={"type": "object", "additionalProperties": {"type": "string"}},
    secrets=_STRING_LIST,
    ports={"type": "array", "items": {"type": "string", "pattern": r"^127\.0\.0\.1:\d+:\d+$"}},
    volumes={"type": "array", "items": {"type": "string", "pattern": r"^(\./[^:]+:[^:]+:ro|[a-z]+:[^:]+)$"}},
    depends_on={
        "type": "object",
        "additionalProperties": _object_schema(
            "condition", condition={"enum": ["service_started", "service_healthy"]}
        ),
    },
    healthcheck=_object_schema(
        "test interval timeout start_period retries",
        test={"type": "array", "prefixItems": [{"const": "CMD"}], "items": _STRING, "minItems": 2},
        interval=_DURATION,
        timeout=_DURATION,
        start_period=_DURATION,
        retries={"type": "integer", "minimum": 1},
    ),
    restart={"enum": ["unless-stopped"]},
    read_only={"const": True},
    cap_drop={"const": ["ALL"]},
    security_opt={"const": ["no-new-privileges:true"]},
    tmpfs=_STRING_LIST,
    logging=_object_schema(
        "driver", driver=_STRING, options={"type": "object", "additionalProperties": _STRING}
    ),
)
_SECRET_SCHEMA: Final = _object_schema("file", file=_STRING)
COMPOSE_SCHEMA: Final = {
    **_object_schema(
        "name services secrets volumes",
        name={"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        services={"type": "object", "additionalProperties": _SERVICE_SCHEMA},
        secrets={"type": "object", "additionalProperties": _SECRET_SCHEMA},
        volumes={"type": "object", "additionalProperties": {"type": "null"}},
    ),
    "patternProperties": {"^x-": True},
}
"""The part of the compose specification that is used, and stricter: every service must be hardened."""


@pytest.fixture(scope="module")
def compose_file() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def services(compose_file: dict[str, Any]) -> dict[str, Any]:
    by_name: dict[str, Any] = compose_file["services"]
    return by_name


def interpolate_defaults(text: str) -> str:
    """Return a text as it is where nobody set a variable."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


def bind_mounts(service: dict[str, Any]) -> dict[str, str]:
    """Return what of the tree a service sees, by the path within."""
    mounts = (volume.split(":") for volume in service.get("volumes", ()) if volume.startswith("./"))
    return {container_path: host_path for host_path, container_path, *_ in mounts}


def host_path_of(service: dict[str, Any], path: str) -> Path:
    """Return the file of the tree that a service finds at a path."""
    for container_path, host_path in bind_mounts(service).items():
        if path == container_path or path.startswith(container_path + "/"):
            return ROOT / host_path / path[len(container_path) :].lstrip("/")
    pytest.fail(f"Nothing is mounted at {path}.")


def test_it_follows_the_compose_specification(compose_file: dict[str, Any]) -> None:
    assert [error.message for error in Draft202012Validator(COMPOSE_SCHEMA).iter_errors(compose_file)] == []


def test_dependencies_are_existing_services(services: dict[str, Any]) -> None:
    assert {
        dependency for service in services.values() for dependency in service.get("depends_on", ())
    } <= set(services)


def test_named_volumes_and_secrets_are_declared(compose_file: dict[str, Any]) -> None:
    named_volumes = {
        item.split(":")[0]
        for service in compose_file["services"].values()
        for item in service.get("volumes", ())
        if not item.startswith("./")
    }
    secrets = {item for service in compose_file["services"].values() for item in service.get("secrets", ())}

    assert named_volumes == set(compose_file["volumes"])
    assert secrets == set(compose_file["secrets"])


def test_every_mounted_path_exists(services: dict[str, Any]) -> None:
    missing = [
        path
        for service in services.values()
        for path in bind_mounts(service).values()
        if not (ROOT / path).exists()
    ]

    assert missing == []


def test_only_the_simulator_is_in_the_demo_profile(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "profiles" in service] == ["coder"]


def test_the_demo_profile_works_without_settings(
    compose_file: dict[str, Any], services: dict[str, Any]
) -> None:
    """Where nobody says otherwise, the exporter finds the simulated Coder and holds a token that it takes."""
    environment = services["exporter"]["environment"]
    port = services["coder"]["command"][services["coder"]["command"].index("--port") + 1]
    metrics_port = services["coder"]["command"][services["coder"]["command"].index("--metrics-port") + 1]
    token = ROOT / interpolate_defaults(compose_file["secrets"]["coder-token"]["file"])

    assert interpolate_defaults(environment["INSIGHTS_EXPORTER_CODER_URL"]) == f"http://coder:{port}"
    assert (
        interpolate_defaults(environment["INSIGHTS_EXPORTER_AGENT_STATS_METRICS_URL"])
        == f"http://coder:{metrics_port}/metrics"
    )
    assert environment["INSIGHTS_EXPORTER_CODER_TOKEN_FILE"] == "/run/secrets/coder-token"
    assert token.read_text().strip() == DEMO_TOKEN


def test_exporter_environment_variables_are_known_settings(services: dict[str, Any]) -> None:
    variables = {
        environment_variable(key.path) + suffix for key in keys() for suffix in ("", "_FILE", "_ENV")
    }

    assert set(services["exporter"]["environment"]) <= variables


@pytest.mark.parametrize("service", ["exporter", "coder"])
def test_command_line_flags_exist(
    services: dict[str, Any], service: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = services[service]["command"]
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    help_text = capsys.readouterr().out

    assert [flag for flag in options if flag.startswith("--") and flag not in help_text] == []


@pytest.mark.parametrize("service", BINARY_BY_SERVICE)
def test_third_party_flags_exist(services: dict[str, Any], service: str) -> None:
    program = shutil.which(BINARY_BY_SERVICE[service])
    if program is None:
        pytest.skip(f"{BINARY_BY_SERVICE[service]} is not installed.")
    result = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    flags = [argument.partition("=")[0] for argument in services[service]["command"]]

    assert [flag for flag in flags if f"{flag}=" not in result.stdout + result.stderr] == []


def test_prometheus_accepts_its_configuration(services: dict[str, Any], tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed.")
    service = services["prometheus"]
    flags = dict(flag.split("=") for flag in service["command"])
    text = host_path_of(service, flags["--config.file"]).read_text()
    (rules,) = yaml.safe_load(text)["rule_files"]
    folder = host_path_of(service, rules.rpartition("/")[0])
    (tmp_path / "prometheus.yml").write_text(text.replace(rules.rpartition("/")[0], str(folder)))
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert result.stdout.count("rules found") == len(list(folder.glob("*.yml"))) == 2


def test_prometheus_targets_are_compose_services(services: dict[str, Any]) -> None:
    config = yaml.safe_load(
        host_path_of(services["prometheus"], "/etc/prometheus/prometheus.yml").read_text()
    )
    scrape_targets = [
        static_config["targets"]
        for job in config["scrape_configs"]
        for static_config in job["static_configs"]
    ]
    alertmanager_targets = [
        static_config["targets"]
        for alertmanager in config["alerting"]["alertmanagers"]
        for static_config in alertmanager["static_configs"]
    ]

    assert config["scrape_configs"][0]["job_name"] == "coder-insights"
    assert scrape_targets == [["exporter:9766"], ["localhost:9090"]]
    assert alertmanager_targets == [["alertmanager:9093"]]


def test_alertmanager_accepts_its_configuration(services: dict[str, Any]) -> None:
    if shutil.which("amtool") is None:
        pytest.skip("amtool is not installed.")
    flags = dict(flag.split("=") for flag in services["alertmanager"]["command"])
    file = host_path_of(services["alertmanager"], flags["--config.file"])
    result = subprocess.run(
        ["amtool", "check-config", str(file)], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


def test_grafana_finds_provisioning_dashboards_and_prometheus(services: dict[str, Any]) -> None:
    grafana = services["grafana"]
    environment = grafana["environment"]
    folder = host_path_of(grafana, environment["GF_PATHS_PROVISIONING"])
    (provider,) = yaml.safe_load((folder / "dashboards/coder-insights.yaml").read_text())["providers"]
    (datasource,) = yaml.safe_load((folder / "datasources/coder-insights.yaml").read_text())["datasources"]
    dashboards = {file.stem for file in host_path_of(grafana, provider["options"]["path"]).glob("*.json")}

    assert dashboards == set(DASHBOARD_SLUGS)
    assert host_path_of(grafana, environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file()
    assert datasource["url"] == "http://prometheus:9090"
    assert "9090" in services["prometheus"]["ports"][0]
    assert provider["allowUiUpdates"] is False


def test_the_image_is_rootless_without_pip_and_pinned() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    build_stage, runtime_stage = text.split("\nFROM ")[1:]

    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-slim-[a-z]+$", text, re.MULTILINE)
    assert build_stage.startswith("python:${PYTHON} AS build")
    assert runtime_stage.startswith("python:${PYTHON}\n")
    assert "--constraint constraints.txt" in build_stage
    assert "pip install" not in runtime_stage
    assert "rm -rf /usr/local/bin/pip*" in runtime_stage
    assert re.search(r"^USER [1-9]\d*:\d+$", runtime_stage, re.MULTILINE)


def test_dockerignore_admits_every_copied_path() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied_paths = [
        part for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for part in line.split()
    ]
    admitted_paths = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }

    assert set(copied_paths) == admitted_paths
    assert all((ROOT / path).exists() for path in copied_paths)
