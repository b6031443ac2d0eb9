"""The forms in which rules are installed: for Prometheus, for its operator, and for Grafana's alerting."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from insights_exporter.bundle.alerts.annotations import alert_annotations, panel_id
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, RecordingRule, RuleGroup
from insights_exporter.bundle.registry import DASHBOARDS, FOLDER_TITLE

__all__ = [
    "QUERY_REF_ID",
    "VALUE_DECLARATION",
    "alerting_rule_file",
    "grafana_rule_file",
    "prometheus_rule_manifest",
    "recording_rule_file",
]

QUERY_REF_ID: Final = "query"
"""The reference under which a rule of Grafana holds its query."""

VALUE_DECLARATION: Final = f"{{{{ $value := $values.{QUERY_REF_ID}.Value }}}}"
"""Gives ``$value`` in Grafana the meaning that it has in Prometheus: a number."""

_GROUP_NAME: Final = "coder-insights-{}"
_UIDS: Final = {board.slug: board.uid for board in DASHBOARDS}


def recording_rule_file(groups: Iterable[RuleGroup]) -> dict[str, Any]:
    """Return the rule file with the recorded series, which all other forms need."""
    return {"groups": [_recording_group(group) for group in groups if group.recordings]}


def alerting_rule_file(groups: Iterable[RuleGroup], options: InstallOptions) -> dict[str, Any]:
    """Return the rule file with the alerts."""
    return {"groups": [_alerting_group(group, options) for group in groups]}


def prometheus_rule_manifest(groups: Sequence[RuleGroup], options: InstallOptions) -> dict[str, Any]:
    """Return the manifest that the operator of Prometheus takes."""
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
    """Return a provisioning file of Grafana; it reads recorded series, so these must be installed too."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": _GROUP_NAME.format(group.slug),
                "folder": FOLDER_TITLE,
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
    texts = {
        key: VALUE_DECLARATION + text if "$value" in text else text
        for key, text in alert_annotations(alert, options).items()
    }
    texts["__dashboardUid__"] = _UIDS[alert.panel.dashboard]
    texts["__panelId__"] = str(panel_id(alert.panel))
    return {
        "uid": _rule_uid(alert.name),
        "title": alert.name,
        "condition": "firing",
        "data": [
            _grafana_query(alert.expr, options),
            _grafana_expression(
                "present",
                "math",
                expression=f"is_number(${QUERY_REF_ID}) || is_nan(${QUERY_REF_ID}) || is_inf(${QUERY_REF_ID})",
            ),
            _grafana_expression(
                "firing",
                "threshold",
                expression="present",
                conditions=[{"evaluator": {"type": "gt", "params": [0]}}],
            ),
        ],
        # The expressions yield nothing while all is well; that the exporter is gone has an alert of its own.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.for_,
        "labels": _labels(alert, options),
        "annotations": texts,
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


def _rule_uid(name: str) -> str:
    # At most 40 characters, the same for ever.
    return "coder-insights-" + hashlib.sha256(name.encode()).hexdigest()[:16]
