"""Output formats: Prometheus rule files, PrometheusRule manifest, Grafana provisioning, and runbooks."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

from insights_exporter.bundle.alerts.alertmanager import alertmanager_config
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    ALERT_PREFIX,
    Alert,
    PanelLink,
    RecordingRule,
    RuleGroup,
    alert_annotations,
    dashboard_url,
    panel_id,
)
from insights_exporter.bundle.alerts.rules import rule_groups
from insights_exporter.bundle.alerts.thresholds import format_threshold, threshold_rows
from insights_exporter.bundle.registry import DASHBOARDS
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import PREFIX

__all__ = [
    "GRAFANA_GUARD",
    "QUERY_REF_ID",
    "add_pint_comments",
    "alert_files",
    "alerting_rule_file",
    "grafana_rule_file",
    "prometheus_rule_manifest",
    "recording_rule_file",
    "render_runbooks",
]

_RULE: Final = re.compile(r"^( *)- (?:alert|record): .*\n((?:\1  .*\n|\n)*)", re.MULTILINE)
_SERIES: Final = re.compile(rf"(?<![\w:]){PREFIX}\w+(?![\w:])")
_HISTOGRAM_SUFFIX: Final = re.compile(r"_(?:bucket|sum|count)$")

_ABSENT_SERIES: Final = {
    catalogue.API_REQUESTS: "Codes of failed requests exist only after such a failure.",
    catalogue.APP_HEALTH: "It exists only with apps that have a health check.",
    catalogue.AGENT_RELAY_LATENCY: "It exists only while agents are connected.",
    catalogue.AGENTS: "A status exists only while an agent has it.",
    catalogue.COUNTER_CORRECTIONS: "It exists only after a total fell in Coder.",
    catalogue.LICENSE_FEATURE_LIMIT: "It exists only with a license that has limits.",
    catalogue.LICENSE_FEATURE_USED: "It exists only with a license.",
    catalogue.RATE_LIMIT_WAIT: "It exists only after the exporter waited for the rate limit.",
    catalogue.SERIES_FOLDED: "It exists only while a family exceeds its limit.",
    catalogue.TEMPLATE_PARAMETER_WORKSPACES: "It exists only for templates with parameters.",
    catalogue.TOKEN_EXPIRY: "It exists only for tokens with a known expiry.",
    catalogue.USER_LAST_SEEN: "It is absent with privacy.users: off.",
    catalogue.USER_LATENCY_P50: "It is absent with privacy.users: off and without connections.",
    catalogue.USER_LATENCY_P95: "It is absent with privacy.users: off and without connections.",
    catalogue.WORKSPACES: "A status exists only while a workspace has it.",
}


def add_pint_comments(rule_file: str) -> str:
    """Return a YAML rule file with a comment in each rule that selects series which may be absent.

    Without it, ``promql/series`` of pint reports a missing metric in every healthy installation.
    """
    return _RULE.sub(_with_comments, rule_file)


def _with_comments(match: re.Match[str]) -> str:
    head, newline, body = match[0].partition("\n")
    indent = f"{match[1]}  "
    return head + newline + "".join(f"{indent}# {line}\n" for line in _comments(match[2])) + body


def _comments(rule: str) -> Iterator[str]:
    expr = rule.partition("annotations:")[0]
    for name in sorted(set(_SERIES.findall(expr))):
        family = catalogue.get_family(_HISTOGRAM_SUFFIX.sub("", name))
        reason = _ABSENT_SERIES.get(family, "")
        if not reason and family.required_setting:
            reason = f"It exists only with {family.required_setting}."
        if reason:
            yield reason
            yield f"pint disable promql/series({name})"


QUERY_REF_ID: Final = "query"
"""Reference id of the query in a Grafana rule."""

GRAFANA_GUARD: Final = (f"{{{{ with $values.{QUERY_REF_ID} }}}}{{{{ $value := .Value }}}}", "{{ end }}")
"""Text before and after each annotation template of a Grafana rule.

Grafana also expands annotations while the query returns no series, and then neither value nor labels exist.
Inside the guard ``$value`` is the number that it is in Prometheus.
"""

_HEADER: Final = "Written by `insights-exporter bundle`; change its options, and not this file."
_GROUP_NAME: Final = "coder-insights-{}"
_RUNBOOK_FOLDER: Final = Path(__file__).parent / "runbooks"
_UIDS: Final = {info.slug: info.uid for info in DASHBOARDS}
_TITLES: Final = {info.slug: info.title for info in DASHBOARDS}


def alert_files(options: InstallOptions) -> Mapping[str, str]:
    """Return the text of each file by its path in the folder of alerts."""
    groups = rule_groups(options)
    rule_documents = {
        "prometheus/recording-rules.yml": recording_rule_file(groups),
        "prometheus/alerting-rules.yml": alerting_rule_file(groups, options),
        "kubernetes/prometheusrule.yaml": prometheus_rule_manifest(groups, options),
    }
    texts = {path: add_pint_comments(_to_yaml(document)) for path, document in rule_documents.items()}
    texts["grafana/coder-insights.yaml"] = _to_yaml(grafana_rule_file(groups, options))
    texts["alertmanager.yml"] = _to_yaml(alertmanager_config(options))
    return {path: f"# {_HEADER}\n{text}" for path, text in texts.items()} | {
        f"runbooks/{name}.md": f"<!-- {_HEADER} -->\n\n{text}"
        for name, text in render_runbooks(groups, options).items()
    }


def recording_rule_file(groups: Iterable[RuleGroup]) -> dict[str, Any]:
    """Return the rule file with the recorded series, on which all alerting formats depend."""
    return {"groups": [_recording_group(group) for group in groups if group.recordings]}


def alerting_rule_file(groups: Iterable[RuleGroup], options: InstallOptions) -> dict[str, Any]:
    """Return the rule file with the alerts."""
    return {"groups": [_alerting_group(group, options) for group in groups]}


def prometheus_rule_manifest(groups: Sequence[RuleGroup], options: InstallOptions) -> dict[str, Any]:
    """Return the manifest for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "coder-insights",
            "namespace": options.namespace,
            "labels": {"app.kubernetes.io/name": "insights-exporter", "role": "alert-rules"},
        },
        "spec": {
            "groups": recording_rule_file(groups)["groups"] + alerting_rule_file(groups, options)["groups"]
        },
    }


def grafana_rule_file(groups: Iterable[RuleGroup], options: InstallOptions) -> dict[str, Any]:
    """Return a provisioning file for Grafana-managed alerts; it depends on the recorded series.

    Grafana finds the folder of alerts by its title alone, and provisions alerts before dashboards. In a
    folder of their own, alerts never create the dashboards' folder with a random uid.
    """
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": _GROUP_NAME.format(group.slug),
                "folder": options.folder,
                "interval": group.interval,
                "rules": [_grafana_rule(alert, options) for alert in group.alerts],
            }
            for group in groups
        ],
    }


def _recording_group(group: RuleGroup) -> dict[str, Any]:
    name = _GROUP_NAME.format(group.slug) + ".rules"
    return {
        "name": name,
        "interval": group.interval,
        "rules": [_recording_rule(rule) for rule in group.recordings],
    }


def _alerting_group(group: RuleGroup, options: InstallOptions) -> dict[str, Any]:
    name = _GROUP_NAME.format(group.slug)
    return {
        "name": name,
        "interval": group.interval,
        "rules": [_alerting_rule(alert, options) for alert in group.alerts],
    }


def _recording_rule(recording: RecordingRule) -> dict[str, Any]:
    rule: dict[str, Any] = {"record": recording.name, "expr": recording.expr}
    if recording.const_labels:
        rule["labels"] = dict(recording.const_labels)
    return rule


def _alerting_rule(alert: Alert, options: InstallOptions) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.for_,
        "labels": _labels(alert, options),
        "annotations": alert_annotations(alert, options),
    }


def _labels(alert: Alert, options: InstallOptions) -> dict[str, str]:
    return {"severity": alert.severity.value, **options.labels}


def _grafana_rule(alert: Alert, options: InstallOptions) -> dict[str, Any]:
    annotations = {
        key: text.join(GRAFANA_GUARD) if "{{" in text else text
        for key, text in alert_annotations(alert, options).items()
    }
    annotations["__dashboardUid__"] = _UIDS[alert.panel.dashboard]
    annotations["__panelId__"] = str(panel_id(alert.panel))
    is_present = f"is_number(${QUERY_REF_ID}) || is_nan(${QUERY_REF_ID}) || is_inf(${QUERY_REF_ID})"
    return {
        "uid": _rule_uid(alert.name, options),
        "title": alert.name,
        "condition": "firing",
        "data": [
            _grafana_query(alert.expr, options),
            _grafana_expression("present", "math", expression=is_present),
            _grafana_expression(
                "firing",
                "threshold",
                expression="present",
                conditions=[{"evaluator": {"type": "gt", "params": [0]}}],
            ),
        ],
        # A query without a result is the normal state; ExporterDown covers missing data.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.for_,
        "labels": _labels(alert, options),
        "annotations": annotations,
        "isPaused": False,
    }


def _grafana_query(expr: str, options: InstallOptions) -> dict[str, Any]:
    return {
        "refId": QUERY_REF_ID,
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": options.datasource,
        "model": {
            "refId": QUERY_REF_ID,
            "datasource": {"type": "prometheus", "uid": options.datasource},
            "editorMode": "code",
            "expr": expr,
            "instant": True,
            "range": False,
            "intervalMs": 1000,
            "maxDataPoints": 43200,
        },
    }


def _grafana_expression(ref_id: str, kind: str, **model: object) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": ref_id,
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": kind,
            **model,
        },
    }


def _rule_uid(name: str, options: InstallOptions) -> str:
    # Grafana allows 40 characters; a stable uid makes an upgrade replace the rule.
    return f"{options.prefix}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def render_runbooks(groups: Iterable[RuleGroup], options: InstallOptions) -> dict[str, str]:
    """Return the runbook of each alert by alert name.

    The texts are files in ``runbooks/``. Rule, thresholds, matchers and the panel link are inserted.
    """
    return {alert.name: _render_runbook(alert, options) for group in groups for alert in group.alerts}


def _render_runbook(alert: Alert, options: InstallOptions) -> str:
    text = (_RUNBOOK_FOLDER / f"{alert.name.removeprefix(ALERT_PREFIX)}.md").read_text(encoding="utf-8")
    substitutions: dict[str, str] = {}
    for name, value, unit, _ in threshold_rows(options.thresholds):
        substitutions |= {name: format_threshold(value, unit), f"{name}_number": f"{value:g}"}
    panel = alert.panel
    url = dashboard_url(PanelLink(panel.dashboard, panel.title), options, labels=False)
    body = Template(text).substitute(
        substitutions,
        dashboard=f"[{_TITLES[panel.dashboard]}, panel *{panel.title}*]({url})",
        matchers=", ".join(options.matchers),
    )
    return "\n".join((f"# {alert.name}", "", *_rule_section(alert, options), "", body.rstrip(), ""))


def _rule_section(alert: Alert, options: InstallOptions) -> Iterator[str]:
    yield f"{alert.summary} Severity **{alert.severity.value}**, after {alert.for_} without interruption."
    yield ""
    yield f"Reason: {alert.rationale}"
    rows = [row for row in threshold_rows(options.thresholds) if row[0] in alert.thresholds]
    if rows:
        yield from ("", "| Threshold | Value | Reason |", "|---|---|---|")
        for name, value, unit, rationale in rows:
            yield f"| `{name}` | {format_threshold(value, unit)} | {rationale} |"
    yield from ("", "```promql", *alert.expr.splitlines(), "```")


class _BlockDumper(yaml.SafeDumper):
    """Dumper that writes multi-line texts as blocks, and lists indented below their key."""

    def increase_indent(
        self,
        flow: bool = False,  # noqa: FBT001, FBT002 - the signature of PyYAML.
        indentless: bool = False,  # noqa: ARG002, FBT001, FBT002 - the signature of PyYAML.
    ) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature of PyYAML.
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _represent_text)


def _to_yaml(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=10_000)
    return text
