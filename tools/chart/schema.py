"""Derive values.schema.json from the defaults of values.yaml and their `@schema` comments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tools.chart.config_schema import exporter_config_schema
from tools.chart.values import Value

__all__ = ["values_schema"]

_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest draft that every Helm 3 reads."""


def values_schema(values: tuple[Value, ...]) -> str:
    """Return the text of values.schema.json.

    Unknown keys are errors, except below ``global``, which belongs to the parent chart, and in fragments of
    Kubernetes objects, which the API server checks.
    """
    properties = {value.name: _schema(value) for value in values}
    properties["global"]["additionalProperties"] = True
    # A parent chart may use the key as the condition of its dependency.
    properties["enabled"] = {"type": "boolean", "description": "Condition of a parent chart; not used."}
    document = {
        "$schema": _DRAFT,
        "title": "Values of the chart insights-exporter",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": {"exporterConfig": exporter_config_schema(_described(values, "config"))},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _described(values: tuple[Value, ...], path: str) -> str:
    return next(value.description for value in values if value.path == path)


def _schema(value: Value) -> dict[str, Any]:
    if "$ref" in value.schema:
        # The draft ignores everything beside a reference.
        return dict(value.schema)
    found: dict[str, Any] = {"type": _TYPES[type(value.default)]}
    if value.description:
        found["description"] = value.description
    if value.children:
        found["additionalProperties"] = False
        found["properties"] = {child.name: _schema(child) for child in value.children}
    elif value.default == {} and "additionalProperties" not in value.schema:
        raise ValueError(f"values.yaml: {value.path}: expected an @schema comment with additionalProperties")
    elif value.default == [] and "items" not in value.schema:
        raise ValueError(f"values.yaml: {value.path}: expected an @schema comment with items")
    return found | dict(value.schema)
