"""An example configuration of Alertmanager: routes by severity, and inhibitions."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import ALERT_PREFIX
from insights_exporter.metrics.family import TEMPLATE_LABELS

__all__ = ["NEVER_INHIBITED", "alertmanager_config"]

NEVER_INHIBITED: Final = ("ConfigReloadFailed",)
"""Alerts that hold without data from Coder, because they use self metrics alone."""

_ALL_ALERTS: Final = f'alertname=~"{ALERT_PREFIX}.+"'
_NO_DATA_ALERTS: Final = ("CoderUnreachable", "TokenInvalid")
_MINOR_LATENCY_ALERTS: Final = ("TemplateP95High", "AppLatencyHigh")
_INHIBITIONS: Final = (
    ("TemplateLatencyCritical", ("TemplateLatencyHigh", *_MINOR_LATENCY_ALERTS), TEMPLATE_LABELS),
    ("TemplateLatencyHigh", _MINOR_LATENCY_ALERTS, TEMPLATE_LABELS),
    ("LatencyBudgetFastBurn", ("LatencyBudgetSlowBurn",), ()),
    ("TokenExpiresSoon", ("TokenExpires",), ()),
    ("DataMissing", ("DataStale", "CollectorFailing"), ("collector",)),
    ("DataStale", ("CollectorFailing",), ("collector",)),
)
"""The more severe alert, the alerts that it inhibits, and the labels that must be equal beside the target."""

_USAGE_ALERTS: Final = (
    "TemplateActiveUsersDrop",
    "DeploymentActiveUsersDrop",
    "AppUsageStopped",
    "TemplateUnused",
    "AppUnused",
    "SeatsIdle",
    "ParameterOptionsUnused",
    "UsageStalled",
)


def alertmanager_config(options: InstallOptions) -> dict[str, Any]:
    """Return a valid configuration; only the addresses of its receivers are examples."""
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", *options.target_labels],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                _route("critical", "pager", repeat="4h"),
                _route("warning", "chat", repeat="24h"),
                _route("info", "digest", repeat="4d"),
            ],
        },
        "inhibit_rules": _inhibit_rules(options.target_labels),
        "receivers": [
            {"name": "nobody"},
            _receiver("pager"),
            _receiver("chat"),
            _receiver("digest"),
        ],
    }


def _route(severity: str, receiver: str, *, repeat: str) -> dict[str, Any]:
    return {
        "matchers": [_ALL_ALERTS, f'severity="{severity}"'],
        "receiver": receiver,
        "repeat_interval": repeat,
    }


def _receiver(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "webhook_configs": [{"url": f"http://127.0.0.1:5001/{name}", "send_resolved": name != "digest"}],
    }


def _inhibit_rules(target_labels: tuple[str, ...]) -> list[dict[str, Any]]:
    exempt = ("ExporterDown", *_NO_DATA_ALERTS, *NEVER_INHIBITED)
    rules = [
        # ExporterDown means that Prometheus has no samples at all, whether they are scraped or pushed.
        (("ExporterDown",), [_ALL_ALERTS, _match_other_names(("ExporterDown",))], ()),
        (_NO_DATA_ALERTS, [_ALL_ALERTS, _match_other_names(exempt)], ()),
        (("CollectionDisabled",), [_match_names(_USAGE_ALERTS)], ()),
        *(((source,), [_match_names(targets)], equal) for source, targets, equal in _INHIBITIONS),
    ]
    return [
        {
            "source_matchers": [_match_names(sources)],
            "target_matchers": targets,
            "equal": [*target_labels, *equal],
        }
        for sources, targets, equal in rules
    ]


def _match_names(names: tuple[str, ...]) -> str:
    return (
        f'alertname="{ALERT_PREFIX}{names[0]}"' if len(names) == 1 else f'alertname=~"{_name_pattern(names)}"'
    )


def _match_other_names(names: tuple[str, ...]) -> str:
    return (
        f'alertname!="{ALERT_PREFIX}{names[0]}"'
        if len(names) == 1
        else f'alertname!~"{_name_pattern(names)}"'
    )


def _name_pattern(names: tuple[str, ...]) -> str:
    return f"{ALERT_PREFIX}({'|'.join(names)})"
