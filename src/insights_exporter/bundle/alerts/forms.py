"""The forms in which rules are installed: for Prometheus, for its operator, and for Grafana's alerting."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from insights_exporter.bundle.alerts.links import notes, panel_id
from insights_exporter.bundle.alerts.model import Alert, Group, Recording
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import BOARDS, FOLDER

__all__ = ["QUERY", "SHADOW", "alerting", "grafana", "manifest", "recording"]

QUERY: Final = "query"
"""The reference under which a rule of Grafana holds its query."""

SHADOW: Final = f"{{{{ $value := $values.{QUERY}.Value }}}}"
"""Gives ``$value`` in Grafana the meaning that it has in Prometheus: a number."""

_NAME_OF_GROUP: Final = "coder-insights-{}"
_UIDS: Final = {board.slug: board.uid for board in BOARDS}


def recording(groups: Iterable[Group]) -> dict[str, Any]:
    """Return the rule file with the recorded series, which all other forms need."""
    return {"groups": [_recorded(group) for group in groups if group.recordings]}


def alerting(groups: Iterable[Group], site: Site) -> dict[str, Any]:
    """Return the rule file with the alerts."""
    return {"groups": [_alerted(group, site) for group in groups]}


def manifest(groups: Sequence[Group], site: Site) -> dict[str, Any]:
    """Return the manifest that the operator of Prometheus takes."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "coder-insights",
            "namespace": site.namespace,
            "labels": {"app.kubernetes.io/name": "insights-exporter", "role": "alert-rules"},
        },
        "spec": {"groups": recording(groups)["groups"] + alerting(groups, site)["groups"]},
    }


def grafana(groups: Iterable[Group], site: Site) -> dict[str, Any]:
    """Return a provisioning file of Grafana; it reads recorded series, so these must be installed too."""
    return {
        "apiVersion": 1,
        "groups": [
            {
                "orgId": 1,
                "name": _NAME_OF_GROUP.format(group.subject),
                "folder": FOLDER,
                "interval": group.interval,
                "rules": [_managed(alert, site) for alert in group.alerts],
            }
            for group in groups
        ],
    }


def _recorded(group: Group) -> dict[str, Any]:
    name = _NAME_OF_GROUP.format(group.subject) + ".rules"
    return {"name": name, "interval": group.interval, "rules": [_recording(one) for one in group.recordings]}


def _alerted(group: Group, site: Site) -> dict[str, Any]:
    name = _NAME_OF_GROUP.format(group.subject)
    return {"name": name, "interval": group.interval, "rules": [_alert(one, site) for one in group.alerts]}


def _recording(recording: Recording) -> dict[str, Any]:
    rule: dict[str, Any] = {"record": recording.name, "expr": recording.expr}
    if recording.constants:
        rule["labels"] = dict(recording.constants)
    return rule


def _alert(alert: Alert, site: Site) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.wait,
        "labels": _labels(alert, site),
        "annotations": notes(alert, site),
    }


def _labels(alert: Alert, site: Site) -> dict[str, str]:
    return {"severity": alert.severity.value, **site.labels}


def _managed(alert: Alert, site: Site) -> dict[str, Any]:
    told = {key: SHADOW + text if "$value" in text else text for key, text in notes(alert, site).items()}
    told["__dashboardUid__"] = _UIDS[alert.panel.dashboard]
    told["__panelId__"] = str(panel_id(alert.panel))
    return {
        "uid": _uid(alert.name),
        "title": alert.name,
        "condition": "firing",
        "data": [
            _query(alert.expr, site),
            _expression(
                "present", "math", expression=f"is_number(${QUERY}) || is_nan(${QUERY}) || is_inf(${QUERY})"
            ),
            _expression(
                "firing",
                "threshold",
                expression="present",
                conditions=[{"evaluator": {"type": "gt", "params": [0]}}],
            ),
        ],
        # The expressions yield nothing while all is well; that the exporter is gone has an alert of its own.
        "noDataState": "OK",
        "execErrState": "Error",
        "for": alert.wait,
        "labels": _labels(alert, site),
        "annotations": told,
        "isPaused": False,
    }


def _query(expr: str, site: Site) -> dict[str, Any]:
    return {
        "refId": QUERY,
        "relativeTimeRange": {"from": 600, "to": 0},
        "datasourceUid": site.datasource,
        "model": {
            "refId": QUERY,
            "datasource": {"type": "prometheus", "uid": site.datasource},
            "editorMode": "code",
            "expr": expr,
            "instant": True,
            "range": False,
            "intervalMs": 1000,
            "maxDataPoints": 43200,
        },
    }


def _expression(ref: str, kind: str, **model: object) -> dict[str, Any]:
    return {
        "refId": ref,
        "relativeTimeRange": {"from": 0, "to": 0},
        "datasourceUid": "__expr__",
        "model": {
            "refId": ref,
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "type": kind,
            **model,
        },
    }


def _uid(name: str) -> str:
    # At most 40 characters, the same for ever.
    return "coder-insights-" + hashlib.sha256(name.encode()).hexdigest()[:16]
