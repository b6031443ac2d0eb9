"""The chart as Helm renders it: goldens, lint, messages for bad values, thresholds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.chart.helm import documents, render
from tools.chart.manifests import golden_files, value_files
from tools.chart.paths import CHART, GOLDENS, VALUE_FILES
from tools.chart.rules import bundle_rules

_DEFAULT = str(VALUE_FILES / "default-values.yaml")
_ALERTS = str(VALUE_FILES / "alerts-values.yaml")
_REPORT = ("--values", _DEFAULT, "--set", "report.enabled=true")


def test_goldens_are_what_helm_renders(helm: Path) -> None:
    """`make generate` writes them anew."""
    rendered = golden_files(helm)
    stale = [
        path.name for path, text in rendered.items() if not path.is_file() or path.read_text("utf-8") != text
    ]

    assert stale == []
    assert set(rendered) == set(GOLDENS.glob("*.yaml"))


@pytest.mark.parametrize("path", value_files(), ids=lambda path: path.stem)
def test_lint_has_no_warnings(helm: Path, path: Path) -> None:
    command = [str(helm), "lint", "--strict", str(CHART), "--values", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout
    assert "[ERROR]" not in done.stdout
    assert "[INFO]" not in done.stdout


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ("replicaCount=two", "replicaCount"),
        ("replicas=2", "replicas"),
        ("image.digest=sha256:abc", "image.digest"),
        ("image.pullPolicy=Sometimes", "image.pullPolicy"),
        ("service.port=0", "service.port"),
        ("service.prot=1", "service"),
        ("serviceMonitor.interval=often", "serviceMonitor.interval"),
        ("secrets.hashKey.value=short", "secrets.hashKey.value"),
        ("secrets.token=x", "secrets"),
        ("persistence.size=much", "persistence.size"),
        ("podAntiAffinity=maybe", "podAntiAffinity"),
        ("config.coder.url=coder.example.com", "config.coder.url"),
        ("config.coder.token=plain", "config.coder"),
        ("config.coder.concurrency=100", "config.coder.concurrency"),
        ("config.poll.interval=soon", "config.poll.interval"),
        ("config.privacy.users=some", "config.privacy.users"),
        ("config.agent_stats.dsn=postgresql://x", "config.agent_stats"),
        ("config.unknown.key=1", "config"),
        ("prometheusRule.thresholds.seats_share=2", "prometheusRule.thresholds.seats_share"),
        ("prometheusRule.thresholds.latency_warning=0.16", "prometheusRule.thresholds.latency_warning"),
        ("prometheusRule.thresholds.nothing=1", "prometheusRule.thresholds"),
        ("prometheusRule.matchers[0]=cluster", "prometheusRule.matchers.0"),
        ("demo.users=0", "demo.users"),
    ],
)
def test_the_schema_names_the_key(helm: Path, options: str, key: str) -> None:
    with pytest.raises(RuntimeError, match="schema") as error:
        render(helm, "--values", _DEFAULT, "--set", options)

    # Helm writes the path with slashes, before 3.18 with dots.
    assert key in str(error.value).replace("/", ".")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("config.coder.url=", "config.coder.url is required"),
        ("secrets.coderToken.existingSecret=", "secrets.coderToken is required"),
        ("secrets.coderToken.value=x", "secrets.coderToken: set either existingSecret or value"),
        ("serviceMonitor.enabled=true,podMonitor.enabled=true", "podMonitor.enabled: serviceMonitor.enabled"),
        ("persistence.existingClaim=a,replicaCount=2", "persistence.existingClaim: replicas cannot share"),
        ("tls.enabled=true", "tls.enabled: set tls.existingSecret"),
        ("config.server.port=0", "config.server.port: a pod needs a fixed port"),
        ("pushOnly=true", "pushOnly: set config.otlp.enabled=true"),
        (
            "pushOnly=true,config.otlp.enabled=true,serviceMonitor.enabled=true",
            "pushOnly: serviceMonitor.enabled",
        ),
        ("config.agent_stats.source=postgres", "secrets.databaseDsn is required"),
        ("config.privacy.users=hashed", "secrets.hashKey is required"),
        ("demo.enabled=true,tokenRotation.enabled=true", "tokenRotation.enabled: the token must be"),
        ("prometheusRule.disabled.CoderInsightsNone=true", "prometheusRule.disabled.CoderInsightsNone"),
        ("prometheusRule.severities.CoderInsightsNone=info", "prometheusRule.severities.CoderInsightsNone"),
        ("dashboards.disabled.none=true", "dashboards.disabled.none: no dashboard"),
    ],
)
def test_contradictions_stop_with_a_sentence(helm: Path, options: str, message: str) -> None:
    with pytest.raises(RuntimeError, match="execution error") as error:
        render(helm, "--values", _DEFAULT, "--set", options)

    assert message in str(error.value)


def test_an_existing_claim_belongs_to_a_deployment_that_recreates_its_pod(helm: Path) -> None:
    (workload,) = _kind(
        render(helm, "--values", str(VALUE_FILES / "existing-claim-values.yaml")), "Deployment"
    )

    assert workload["spec"]["strategy"] == {"type": "Recreate"}


def test_a_report_is_written_to_a_volume(helm: Path) -> None:
    text = render(helm, *_REPORT)
    (job,) = _kind(text, "CronJob")
    (claim,) = _kind(text, "PersistentVolumeClaim")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    output = container["args"][container["args"].index("--output") + 1]
    (mount,) = (one for one in container["volumeMounts"] if one["mountPath"] == output)
    (volume,) = (one for one in pod["volumes"] if one["name"] == mount["name"])

    assert " ".join(container["args"]).startswith(
        "report --config /etc/insights-exporter/exporter.yaml --month previous --format html"
    )
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert job["spec"]["schedule"] == "0 6 2 * *"


def test_tables_of_a_month_have_a_folder_of_their_own(helm: Path) -> None:
    (job,) = _kind(render(helm, *_REPORT, "--set", "report.format=csv"), "CronJob")
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]

    assert container["args"][-2:] == ["--output", "/var/lib/insights-exporter/reports/{period}"]


def test_containers_of_the_site_start_after_the_report(helm: Path) -> None:
    text = render(helm, *_REPORT, "--set-json", 'report.extraContainers=[{"name": "mail"}]')
    (job,) = _kind(text, "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    assert [one["name"] for one in pod["initContainers"]] == ["report"]
    assert [one["name"] for one in pod["containers"]] == ["mail"]


def test_a_report_uses_an_existing_claim(helm: Path) -> None:
    text = render(helm, *_REPORT, "--set", "report.persistence.existingClaim=archive")
    (job,) = _kind(text, "CronJob")
    volumes = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]

    assert _kind(text, "PersistentVolumeClaim") == []
    assert [one["persistentVolumeClaim"] for one in volumes if one["name"] == "reports"] == [
        {"claimName": "archive"}
    ]


def test_a_parent_chart_may_use_it_under_a_condition(helm: Path) -> None:
    render(helm, "--values", _DEFAULT, "--set", "enabled=true,global.something=else")


def test_selectors_survive_an_upgrade(helm: Path) -> None:
    """A Deployment's selector is immutable, so no value may change it but the chart's name."""
    before = _kind(render(helm, "--values", _DEFAULT), "Deployment")[0]
    changed = "extraLabels.a=b,podLabels.c=d,image.tag=9.9.9,replicaCount=3,serviceMonitor.enabled=true"
    after = _kind(render(helm, "--values", _DEFAULT, "--set", changed), "Deployment")[0]

    assert before["spec"]["selector"] == after["spec"]["selector"]


def test_a_changed_configuration_restarts_the_pods(helm: Path) -> None:
    def checksum(*options: str) -> str:
        (workload,) = _kind(render(helm, "--values", _DEFAULT, *options), "Deployment")
        return str(workload["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum() == checksum("--set", "replicaCount=2")
    assert checksum() != checksum("--set", "config.poll.interval=10m")


def test_rules_are_those_of_the_bundle(helm: Path) -> None:
    """The defaults give what `insights-exporter bundle` writes, links aside."""
    assert _without_links(_rules(helm, "--set", "prometheusRule.enabled=true")) == _without_links(
        bundle_rules({})
    )


def test_thresholds_matchers_and_labels_give_the_rules_of_the_bundle(helm: Path, tmp_path: Path) -> None:
    """Other choices give what the bundle writes with the same choices, every threshold changed."""
    thresholds = _changed_thresholds()
    values = {
        "prometheusOperator": {"jobName": "coder"},
        "prometheusRule": {
            "enabled": True,
            "thresholds": thresholds,
            "matchers": ['cluster="blue"'],
            "alertLabels": {"team": "platform"},
            "grafanaUrl": "https://g.example.com/",
            "runbookUrl": "https://r.example.com",
        },
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    rendered = _rules(helm, "--values", str(tmp_path / "values.yaml"))
    bundled = bundle_rules(
        thresholds,
        *("--matcher", 'job="coder"', "--matcher", 'cluster="blue"', "--label", "team=platform"),
        *("--grafana-url", "https://g.example.com", "--runbook-url", "https://r.example.com"),
    )

    assert _different(rendered, bundled) == []


def test_choices_of_alerts_are_applied(helm: Path) -> None:
    rules = [rule for group in _rules(helm, "--values", _ALERTS) for rule in group["rules"]]
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}

    assert "CoderInsightsAppUnused" not in alerts
    assert alerts["CoderInsightsTokenExpires"]["labels"]["severity"] == "critical"
    assert {rule["labels"]["team"] for rule in alerts.values()} == {"platform"}
    assert all('job="coder"' in rule["expr"] for rule in alerts.values())
    assert 'coder_insights_users{job="coder", cluster="blue"' in str(rules)
    assert rules[-1]["record"] == "own:coder_insights_users:total"


def test_recording_rules_stay_without_alerts(helm: Path) -> None:
    rules = [
        rule
        for group in _rules(helm, "--set", "prometheusRule.enabled=true,prometheusRule.alerts=false")
        for rule in group["rules"]
    ]

    assert rules
    assert all("record" in rule for rule in rules)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            "default",
            "kubectl --namespace monitoring exec deployment/insights-exporter -- insights-exporter check",
        ),
        ("default", "networkPolicy.prometheusNamespaces"),
        ("postgres", "exec statefulset/insights-exporter"),
        ("push-only", "opens no port"),
        ("demo", "http://insights-exporter-demo:3000"),
        ("tls", "https://localhost:9766"),
    ],
)
def test_notes_name_the_next_command(helm: Path, tmp_path: Path, values: str, expected: str) -> None:
    """Helm shows notes to a cluster's user only, so a copy of the chart renders them as a manifest."""
    chart = shutil.copytree(CHART, tmp_path / "chart")
    notes = '{{ dict "kind" "Notes" "notes" (include (print $.Template.BasePath "/NOTES.txt") .) | toYaml }}'
    (chart / "templates" / "notes.yaml").write_text(notes, encoding="utf-8")
    text = render(helm, "--values", str(VALUE_FILES / f"{values}-values.yaml"), chart=chart)
    (found,) = _kind(text, "Notes")

    assert expected in found["notes"]
    assert "<no value>" not in found["notes"]
    assert max(map(len, found["notes"].splitlines())) < 200


def test_the_package_has_no_test_files(helm: Path, tmp_path: Path) -> None:
    command = [str(helm), "package", str(CHART), "--destination", str(tmp_path)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    (package,) = tmp_path.iterdir()
    names = subprocess.run(["tar", "tzf", str(package)], capture_output=True, text=True, check=True).stdout

    assert "/ci/" not in names
    assert "kustomization.yaml" not in names
    assert "insights-exporter/files/dashboards/template-insights.json" in names
    assert "insights-exporter/values.schema.json" in names
    # A release's Secret holds the package, and may have 1 MiB.
    assert package.stat().st_size < 300_000


def _different(one: Any, other: Any) -> list[tuple[Any, Any]]:
    """Return the texts that differ, as a whole diff of all rules is hard to read."""
    if isinstance(one, dict) and one.keys() == other.keys():
        return [pair for key in one for pair in _different(one[key], other[key])]
    if isinstance(one, list) and len(one) == len(other):
        return [found for pair in zip(one, other, strict=True) for found in _different(*pair)]
    return [] if one == other else [(one, other)]


def _kind(text: str, kind: str) -> list[dict[str, Any]]:
    return [one for one in documents(text) if one["kind"] == kind]


def _rules(helm: Path, *options: str) -> list[dict[str, Any]]:
    (rule,) = _kind(render(helm, "--values", _DEFAULT, *options), "PrometheusRule")
    groups: list[dict[str, Any]] = rule["spec"]["groups"]
    return groups


def _without_links(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for rule in (rule for group in groups for rule in group["rules"]):
        for link in ("dashboard_url", "runbook_url"):
            rule.get("annotations", {}).pop(link, None)
    return groups


def _changed_thresholds() -> dict[str, float]:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    found = schema["properties"]["prometheusRule"]["properties"]["thresholds"]["properties"]
    defaults = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))["prometheusRule"][
        "thresholds"
    ]
    changed: dict[str, float] = {}
    for index, (name, rules) in enumerate(found.items()):
        if "enum" in rules:
            bounds = rules["enum"]
            changed[name] = bounds[(bounds.index(defaults[name]) + 1) % len(bounds)]
        elif "maximum" in rules or "exclusiveMaximum" in rules:
            changed[name] = round(0.2 + index / 100, 2)
        else:
            changed[name] = defaults[name] * 2
    return changed
