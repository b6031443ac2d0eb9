"""Fits the ready made dashboards to a site, without what they were made with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import BOARDS, FOLDER_UID
from insights_exporter.bundle.choices import Choices, Form

__all__ = ["INPUT", "adapted", "as_text", "renamed"]

INPUT: Final = "DS_PROMETHEUS"
"""What Grafana asks for when a dashboard is imported."""

_QUERIES: Final = frozenset({"expr", "query", "definition"})
_SELECTOR: Final = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\{")
_BARE: Final = re.compile(r"^label_values\((\w+), (\w+)\)$")
_OLDEST: Final = "10.0.0"


def adapted(dashboard: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    """Return a dashboard as the site wants it."""
    found: dict[str, Any] = _walked(dashboard, "", lambda key, text: _text(key, text, choices))
    found["tags"] = [choices.prefix if tag == FOLDER_UID else tag for tag in found["tags"]]
    if choices.form is Form.IMPORT:
        _choose_source(found, f"${{{INPUT}}}", "Prometheus")
        return {"__elements": {}, "__inputs": [_input()], "__requires": _requires(found), **found}
    if choices.site.datasource != Site().datasource:
        _choose_source(found, choices.site.datasource, choices.site.datasource)
    return found


def renamed(text: str, choices: Choices) -> str:
    """Return a text in which dashboards go by the uids that they have at the site."""
    for board in BOARDS if choices.prefix != FOLDER_UID else ():
        text = text.replace(board.uid, f"{choices.prefix}-{board.slug}")
    return text


def _walked(found: Any, key: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(found, dict):
        return {name: _walked(value, name, change) for name, value in found.items()}
    if isinstance(found, list):
        return [_walked(value, key, change) for value in found]
    return change(key, found) if isinstance(found, str) else found


def _text(key: str, text: str, choices: Choices) -> str:
    text = renamed(text, choices)
    if key not in _QUERIES or not choices.matchers:
        return text
    matchers = ", ".join(choices.matchers)
    text = _BARE.sub(lambda match: f"label_values({match[1]}{{{matchers}}}, {match[2]})", text)
    if f"{{{matchers}}}" in text:
        return text
    return _SELECTOR.sub(lambda match: f"{match[1]}{{{matchers}, ", text)


def _choose_source(dashboard: dict[str, Any], uid: str, shown: str) -> None:
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "datasource":
            variable["current"] = {"selected": True, "text": shown, "value": uid}


def _input() -> dict[str, str]:
    return {
        "name": INPUT,
        "label": "Prometheus",
        "description": "The Prometheus that scrapes the exporter.",
        "type": "datasource",
        "pluginId": "prometheus",
        "pluginName": "Prometheus",
    }


def _requires(dashboard: Mapping[str, Any]) -> list[dict[str, str]]:
    kinds = sorted({panel["type"] for panel in dashboard["panels"]} - {"row"})
    return [
        {"type": "grafana", "id": "grafana", "name": "Grafana", "version": _OLDEST},
        {"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"},
        *({"type": "panel", "id": kind, "name": kind, "version": ""} for kind in kinds),
    ]


def as_text(dashboard: Mapping[str, Any]) -> str:
    """Return the JSON as it stands in a file."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
