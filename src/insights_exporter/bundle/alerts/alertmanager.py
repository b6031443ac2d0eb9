"""An example of how alerts reach people: routes by severity, and which alert makes others pointless."""

from __future__ import annotations

from typing import Any, Final

from insights_exporter.bundle.alerts.model import PREFIX
from insights_exporter.metrics.catalogue.labels import TEMPLATE

__all__ = ["INDEPENDENT", "config"]

INDEPENDENT: Final = ("ConfigReloadFailed",)
"""What stands even where no data comes, for the exporter serves it alone."""

_OURS: Final = f'alertname=~"{PREFIX}.+"'
_BLIND: Final = ("CoderUnreachable", "TokenInvalid")
_MINOR_LATENCY: Final = ("TemplateP95High", "AppLatencyHigh")
_STEPS: Final = (
    ("TemplateLatencyCritical", ("TemplateLatencyHigh", *_MINOR_LATENCY), TEMPLATE),
    ("TemplateLatencyHigh", _MINOR_LATENCY, TEMPLATE),
    ("LatencyBudgetFastBurn", ("LatencyBudgetSlowBurn",), ()),
    ("TokenExpiresSoon", ("TokenExpires",), ()),
    ("DataMissing", ("DataStale", "CollectorFailing"), ("collector",)),
    ("DataStale", ("CollectorFailing",), ("collector",)),
)
"""The graver alert, the milder ones that it silences, and what they must share besides the job."""

_USAGE: Final = (
    "TemplateActiveUsersDrop",
    "DeploymentActiveUsersDrop",
    "AppUsageStopped",
    "TemplateUnused",
    "AppUnused",
    "SeatsIdle",
    "ParameterOptionsUnused",
    "UsageStalled",
)


def config() -> dict[str, Any]:
    """Return a configuration that works as it is, once the receivers have addresses."""
    return {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "job"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "12h",
            "routes": [
                _route("critical", "pager", repeat="4h"),
                _route("warning", "chat", repeat="24h"),
                _route("info", "digest", repeat="4d"),
            ],
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [
            {"name": "nobody"},
            _receiver("pager"),
            _receiver("chat"),
            _receiver("digest"),
        ],
    }


def _route(severity: str, receiver: str, *, repeat: str) -> dict[str, Any]:
    return {
        "matchers": [_OURS, f'severity="{severity}"'],
        "receiver": receiver,
        "repeat_interval": repeat,
    }


def _receiver(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "webhook_configs": [{"url": f"http://127.0.0.1:5001/{name}", "send_resolved": name != "digest"}],
    }


def _inhibitions() -> list[dict[str, Any]]:
    kept = ("ExporterDown", *_BLIND, *INDEPENDENT)
    return [
        _silence(("ExporterDown",), [_OURS, _others(("ExporterDown",))]),
        _silence(_BLIND, [_OURS, _others(kept)]),
        _silence(("CollectionDisabled",), [_one_of(_USAGE)]),
        *(_silence((graver,), [_one_of(milder)], *shared) for graver, milder, shared in _STEPS),
    ]


def _silence(sources: tuple[str, ...], targets: list[str], *shared: str) -> dict[str, Any]:
    return {"source_matchers": [_one_of(sources)], "target_matchers": targets, "equal": ["job", *shared]}


def _one_of(names: tuple[str, ...]) -> str:
    return f'alertname="{PREFIX}{names[0]}"' if len(names) == 1 else f'alertname=~"{_any(names)}"'


def _others(names: tuple[str, ...]) -> str:
    return f'alertname!="{PREFIX}{names[0]}"' if len(names) == 1 else f'alertname!~"{_any(names)}"'


def _any(names: tuple[str, ...]) -> str:
    return f"{PREFIX}({'|'.join(names)})"
