"""Read values.yaml with its comments: descriptions, schema fragments and sections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

__all__ = ["Value", "read_values", "walk"]

_DESCRIPTION: Final = "-- "
_SCHEMA: Final = "@schema "
_SECTION: Final = re.compile(r"## (\S.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A key of values.yaml.

    ``path`` is dotted. ``description`` is empty for a mapping that only groups keys. ``schema`` is the
    fragment after ``# @schema``. ``children`` is empty where the default is one value, as a free mapping is.
    """

    path: str
    default: Any
    description: str
    schema: Mapping[str, Any]
    section: str
    children: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class _Comments:
    description: str
    schema: Mapping[str, Any]


def read_values(text: str) -> tuple[Value, ...]:
    """Return the keys of the text of values.yaml; raise ValueError or TypeError for what it cannot read."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml: expected a mapping")
    return tuple(_children(root, text.splitlines(), "", yaml.safe_load(text)))


def walk(values: tuple[Value, ...]) -> Iterator[Value]:
    """Yield all keys, parents before their children."""
    for value in values:
        yield value
        yield from walk(value.children)


def _children(node: yaml.MappingNode, lines: list[str], prefix: str, defaults: Any) -> Iterator[Value]:
    for key, child in node.value:
        path = f"{prefix}{key.value}"
        comments = _comments(lines, key.start_mark.line, path)
        below: tuple[Value, ...] = ()
        if isinstance(child, yaml.MappingNode) and _is_documented(child, lines):
            below = tuple(_children(child, lines, f"{path}.", defaults[key.value]))
        yield Value(
            path=path,
            default=defaults[key.value],
            description=comments.description,
            schema=comments.schema,
            section=_section(lines, key.start_mark.line),
            children=below,
        )


def _is_documented(node: yaml.MappingNode, lines: list[str]) -> bool:
    """Tell whether keys below have descriptions, directly or further down; others are part of one default."""
    for key, child in node.value:
        if _comments(lines, key.start_mark.line, key.value).description:
            return True
        if isinstance(child, yaml.MappingNode) and _is_documented(child, lines):
            return True
    return False


def _comments(lines: list[str], line: int, path: str) -> _Comments:
    """Return what the comment lines directly above a key say."""
    first = line
    while first and lines[first - 1].lstrip().startswith("# "):
        first -= 1
    description: list[str] = []
    schema: list[str] = []
    for text in (one.lstrip()[2:] for one in lines[first:line]):
        if text.startswith(_DESCRIPTION):
            description = [text.removeprefix(_DESCRIPTION)]
        elif text.startswith(_SCHEMA):
            schema.append(text.removeprefix(_SCHEMA))
        elif description:
            description.append(text)
    return _Comments(" ".join(description), _fragment("\n".join(schema), path))


def _fragment(text: str, path: str) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise ValueError(f"values.yaml: @schema of {path}: {error}") from error
    if not isinstance(found, dict):
        raise TypeError(f"values.yaml: @schema of {path}: expected a mapping, found {text!r}")
    return found


def _section(lines: list[str], line: int) -> str:
    headings = (match for one in reversed(lines[:line]) if (match := _SECTION.fullmatch(one)))
    # Further lines of a section's comment follow after an empty one.
    for match in headings:
        if match[1][0].isupper() and not match[1].endswith("."):
            return match[1]
    return ""
