"""Keys of the configuration, derived from the settings' models, and the JSON Schema of exporter.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from insights_exporter.config.settings import Settings
from insights_exporter.config.types import THREE_FORMS, Expected, SecretText

__all__ = [
    "CONFIG_VARIABLE",
    "FALLBACK_VARIABLES",
    "PREFIX",
    "REQUIRED",
    "SECRET_SUFFIXES",
    "SECTIONS",
    "Key",
    "Section",
    "environment_variable",
    "expected_text",
    "json_schema",
    "keys",
]

PREFIX: Final = "INSIGHTS_EXPORTER_"

CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
"""The environment variable with the path of exporter.yaml."""

FALLBACK_VARIABLES: Final[Mapping[str, str]] = {
    "coder.url": "CODER_URL",
    "coder.token": "CODER_SESSION_TOKEN",
}
"""Variables of Coder's command line tool. They apply to keys that neither file nor environment set."""

SECRET_SUFFIXES: Final = ("", "_file", "_env")
"""Suffixes of a secret's key: the literal secret, a file, an environment variable."""

REQUIRED: Final = PydanticUndefined
"""The default of a required key."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key with its path, such as ``poll.interval``."""

    path: str
    field: FieldInfo

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition(".")[2]

    @property
    def description(self) -> str:
        """The meaning of the key."""
        return self.field.description or ""

    @property
    def expected(self) -> str:
        """The accepted values."""
        return expected_text(self.field.annotation, self.field.metadata)

    @property
    def default(self) -> Any:
        """The default; REQUIRED for a required key."""
        return self.field.get_default(call_default_factory=True)

    @property
    def secret(self) -> SecretText | None:
        """The metadata of a secret; None for other keys."""
        return next((item for item in self.field.metadata if isinstance(item, SecretText)), None)

    @property
    def is_path(self) -> bool:
        """Whether the value is a path, which is relative to the folder of the file."""
        return Path in {self.field.annotation, *get_args(self.field.annotation)} or any(
            get_origin(item) is Annotated and get_args(item)[0] is Path
            for item in get_args(self.field.annotation)
        )

    @property
    def container(self) -> type | None:
        """``tuple`` for lists, ``dict`` for mappings, None for scalars."""
        origin = get_origin(self.field.annotation)
        return tuple if origin is tuple else dict if origin in {dict, Mapping} else None

    @property
    def item_annotation(self) -> Any:
        """The type of the items of a list, or of the values of a mapping."""
        return next(item for item in get_args(self.field.annotation)[::-1] if item is not Ellipsis)

    @property
    def input_paths(self) -> tuple[str, ...]:
        """The paths that a file can use: one, or three for a secret."""
        return tuple(self.path + suffix for suffix in SECRET_SUFFIXES) if self.secret else (self.path,)


@dataclass(frozen=True, slots=True)
class Section:
    """One section with its path, such as ``filters.users``."""

    path: str
    description: str
    keys: tuple[Key, ...]


def _sections(model: type[BaseModel], prefix: str = "", description: str = "") -> Iterator[Section]:
    found: list[Key] = []
    nested: list[Section] = []
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested += _sections(
                field.annotation,
                path,
                field.description or (field.annotation.__doc__ or "").partition("\n")[0],
            )
        else:
            found.append(Key(path, field))
    if found:
        yield Section(prefix, description, tuple(found))
    yield from nested


SECTIONS: Final = tuple(_sections(Settings))
"""All sections in the order of the documentation."""


def keys() -> Iterator[Key]:
    """Yield every key."""
    for section in SECTIONS:
        yield from section.keys


def environment_variable(path: str) -> str:
    """Return the environment variable of a key."""
    return PREFIX + path.replace(".", "_").upper()


def expected_text(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> str:
    """Return the accepted values of a type as words that follow ``expected``."""
    flat = [part for item in metadata for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
    for item in flat:
        if isinstance(item, Expected):
            return item.text
        if isinstance(item, SecretText):
            return item.expected
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return expected_text(arguments[0], [*arguments[1:], *flat])
    if origin in {Union, UnionType}:
        return expected_text(next(item for item in arguments if item is not NoneType), flat)
    if origin is None or origin is Literal:
        return _scalar_text(annotation, arguments, flat)
    return _container_text(origin, arguments)


def _container_text(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is tuple:
        return f"a list of {_plural(expected_text(arguments[0]))}"
    key, value = map(expected_text, arguments)
    return f"a mapping of {key} to {value}"


def _plural(text: str) -> str:
    return text.removeprefix("a ") + "s" if text.startswith("a ") else text


def _scalar_text(annotation: Any, choices: tuple[str, ...], constraints: list[Any]) -> str:
    if annotation is bool:
        return "true or false"
    if annotation is int:
        low = next((item.ge for item in constraints if hasattr(item, "ge")), None)
        high = next((item.le for item in constraints if hasattr(item, "le")), None)
        return f"a whole number >= {low}" if high is None else f"a whole number from {low} to {high}"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        choices = tuple(annotation)
    if choices:
        *first, last = choices
        return f"{', '.join(first)} or {last}"
    return "a text"


def json_schema() -> str:
    """Return the JSON Schema of exporter.yaml.

    A secret has three properties, which exclude each other. No key is required: a variable can supply it.
    """
    schema = Settings.model_json_schema()
    definitions = schema.pop("$defs")
    for definition in definitions.values():
        definition.pop("title", None)
        if "properties" in definition:
            _clean_section(definition)
    _clean_section(schema)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of insights-exporter",
        **{key: value for key, value in schema.items() if key not in {"title", "required"}},
        "$defs": definitions,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _clean_section(definition: dict[str, Any]) -> None:
    """Drop titles and requirements, and replace each secret by its three forms."""
    definition.pop("required", None)
    properties: dict[str, Any] = {}
    exclusions: list[dict[str, Any]] = []
    for key, value in definition["properties"].items():
        value.pop("title", None)
        if value.pop(THREE_FORMS, False):
            value.pop("default", None)
            description = value.get("description", "")
            properties[f"{key}_file"] = _text_schema(f"File with this secret: {description}")
            properties[f"{key}_env"] = _text_schema(f"Environment variable with this secret: {description}")
            exclusions += [
                {"not": {"type": "object", "required": list(pair)}}
                for pair in combinations([key, f"{key}_file", f"{key}_env"], 2)
            ]
        properties[key] = value
    definition["properties"] = properties
    if exclusions:
        definition["allOf"] = exclusions
    # A section without keys is null in YAML.
    definition["type"] = ["object", "null"]


def _text_schema(description: str) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "description": description}
