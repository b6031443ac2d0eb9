"""Derive the schema of the chart value `config` from the JSON Schema of exporter.yaml.

Keys with a literal secret are dropped, because a ConfigMap would show it. The forms that name a file or an
environment variable stay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from insights_exporter.config.schema import json_schema, keys

__all__ = ["exporter_config_schema", "secret_keys"]

_DROPPED: Final = frozenset({"default", "title", "$schema", "$defs"})
"""Keywords without effect on validation here; a default would also repeat the exporter's own."""


def secret_keys() -> frozenset[str]:
    """Return the paths of all keys that take a literal secret."""
    return frozenset(key.path for key in keys() if key.secret is not None)


def exporter_config_schema(description: str) -> dict[str, Any]:
    """Return the schema of the value ``config``; unknown keys are errors."""
    document = json.loads(json_schema())
    resolved: dict[str, Any] = _inline(document, document["$defs"])
    for path in secret_keys():
        *sections, name = path.split(".")
        place = resolved
        for section in sections:
            place = place["properties"][section]
        del place["properties"][name]
    # The default is empty for the demo; a template requires a URL in all other cases.
    url = resolved["properties"]["coder"]["properties"]["url"]
    url["pattern"] = f"^$|{url['pattern']}"
    return resolved | {"type": "object", "description": description}


def _inline(node: Any, definitions: Mapping[str, Any]) -> Any:
    """Return the node with references replaced; the draft of Helm ignores keywords beside a reference."""
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    target = node.get("$ref")
    merged = node if target is None else {**definitions[target.rpartition("/")[2]], **node}
    return {
        name: {key: _inline(value, definitions) for key, value in item.items()}
        if name == "properties"
        else _inline(item, definitions)
        for name, item in merged.items()
        if name not in _DROPPED and name != "$ref"
    }
