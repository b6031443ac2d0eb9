"""Loading of settings from exporter.yaml and the environment, with all problems at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from insights_exporter.config.errors import InvalidConfigError, Problem, quote, suggest
from insights_exporter.config.schema import (
    CONFIG_VARIABLE,
    FALLBACK_VARIABLES,
    PREFIX,
    SECRET_SUFFIXES,
    Key,
    environment_variable,
    expected_text,
    keys,
)
from insights_exporter.config.settings import Settings
from insights_exporter.config.types import SecretText
from insights_exporter.config.yaml_document import KeyPath, Tree, YamlDocument
from insights_exporter.errors import SecretError
from insights_exporter.secrets import EnvironmentSecret, FileSecret, LiteralSecret, Secret, SecretSource

__all__ = ["load"]

RENAMED_KEYS: Final[Mapping[str, str]] = {
    "server.open_metrics": "server.public_metrics",
    "server.open_page": "server.public_page",
}
"""Keys of earlier versions, with their new paths."""


def load(
    path: Path | None, environ: Mapping[str, str], *, family_names: Collection[str] | None = None
) -> Settings:
    """Return the settings of a file and the environment, which overrides the file.

    ``family_names`` are the names that ``limits.families`` accepts; None accepts all.
    Raise InvalidConfigError with all problems in the order of the file.
    """
    loader = _Loader(environ, "" if path is None else str(path))
    if path is not None:
        loader.read_file(path)
    loader.read_environment()
    loader.resolve_paths()
    loader.resolve_secrets()
    # Without it, pydantic reports the section instead of its required keys.
    loader.tree.setdefault("coder", {})
    try:
        settings = Settings.model_validate(loader.tree, context={"family_names": family_names})
    except ValidationError as error:
        # A list whose items are all invalid is reported as too short, too.
        errors = [item for item in error.errors(include_url=False) if not _is_repetition(item)]
        loader.problems += map(loader.problem, errors)
        raise InvalidConfigError(loader.sorted_problems()) from None
    if loader.problems:
        raise InvalidConfigError(loader.sorted_problems())
    return settings


@dataclass
class _Loader:
    """Collects raw values of file and environment with their locations."""

    environ: Mapping[str, str] = field(repr=False)
    file: str
    tree: dict[str, Any] = field(default_factory=dict, repr=False)
    locations: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    invalid_secrets: set[KeyPath] = field(default_factory=set)

    def read_file(self, path: Path) -> None:
        """Read exporter.yaml; raise InvalidConfigError if it is unreadable, or no YAML."""
        document = YamlDocument(path)
        root = document.root()
        tree, self.locations = root.tree()
        if isinstance(tree, dict):
            self.tree = _without_null_sections(tree)
        elif tree is not None:
            root.add_problem("a mapping of keys", _kind(tree))
        self.problems += document.problems

    def read_environment(self) -> None:
        """Overlay the variables of the environment; an empty variable counts as not set."""
        by_variable = {environment_variable(path): (key, path) for key in keys() for path in key.input_paths}
        renamed = {environment_variable(old): environment_variable(new) for old, new in RENAMED_KEYS.items()}
        found: dict[str, tuple[Key, str]] = {}
        for name in sorted(self.environ):
            if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
                continue
            if name in by_variable:
                if self.environ[name]:
                    found[name] = by_variable[name]
            elif name in renamed:
                self.problems.append(Problem(name, "", f"the new name {renamed[name]}", "the old name"))
            else:
                unknown = "an unknown name" + suggest(name, by_variable)
                self.problems.append(Problem(name, "", "the name of a setting", unknown))
        # Any form of a secret in the environment replaces all forms in the file.
        for key, _ in found.values():
            for path in key.input_paths:
                self._remove(path)
        for name, (key, path) in found.items():
            self._set(path, _split(key, self.environ[name]), name)
        for path, name in FALLBACK_VARIABLES.items():
            forms = (path, *(path + suffix for suffix in SECRET_SUFFIXES))
            if self.environ.get(name) and not any(self._get(form) for form in forms):
                self._set(path, self.environ[name], name)

    def resolve_paths(self) -> None:
        """Make paths of the file relative to its folder, and those of variables to the working directory."""
        for key in keys():
            text = self._get(key.path)
            if key.is_path and isinstance(text, str) and text.strip() and "\0" not in text:
                self._set(key.path, str(self._base_dir(key.path) / Path(text).expanduser()))

    def resolve_secrets(self) -> None:
        """Replace the three forms of each secret by one SecretSource."""
        for key in keys():
            if key.secret is None:
                continue
            found = [path for path in key.input_paths if self._get(path) is not None]
            if not found:
                for path in key.input_paths:
                    self._remove(path)
                continue
            try:
                source = self._secret(key, key.secret, found)
            except _InvalidSecretError as error:
                self.problems.append(error.problem)
                self.invalid_secrets.add(tuple(key.path.split(".")))
                source = None
            location = self._location(found[0])
            for path in key.input_paths:
                self._remove(path)
            self._set(key.path, source, location)

    def _secret(self, key: Key, kind: SecretText, found: list[str]) -> SecretSource:
        path, location, text = found[0], self._location(found[0]), self._get(found[0])
        if len(found) > 1:
            forms, used = ([item.rpartition(".")[2] for item in items] for items in (key.input_paths, found))
            raise _InvalidSecretError(
                Problem(location, key.path, f"one of {', '.join(forms)}", " and ".join(used))
            )
        if not isinstance(text, str) or not text.strip():
            raise _InvalidSecretError(Problem(location, path, kind.expected, _kind(text)))
        source = self._source(key, path, text)
        try:
            length = len(source.read().reveal())
        except SecretError as error:
            reason = str(error).rstrip(".")
            raise _InvalidSecretError(Problem(location, path, kind.expected, f"none: {reason}")) from None
        if length < kind.min_length:
            minimum = f"at least {kind.min_length} characters"
            raise _InvalidSecretError(Problem(location, key.path, minimum, f"{length} characters"))
        return source

    def _source(self, key: Key, path: str, text: str) -> SecretSource:
        location = self._location(path)
        if path == f"{key.path}_file":
            return FileSecret(self._base_dir(path) / Path(text).expanduser())
        if path == f"{key.path}_env":
            return EnvironmentSecret(text.strip(), self.environ)
        if location in self.environ:
            return EnvironmentSecret(location, self.environ)
        return LiteralSecret(Secret(text.strip()))

    def problem(self, error: ErrorDetails) -> Problem:
        """Return pydantic's error with its location, its key and the words of the setting."""
        loc = tuple(part for part in error["loc"] if part != "[key]")
        key = ".".join(str(part) for part in loc if not isinstance(part, int))
        if error["type"] == "extra_forbidden":
            return self._unknown_key(loc, key)
        if error["loc"][-1] == "[key]":
            key = ".".join(map(str, loc[:-1]))
        context = error.get("ctx", {})
        expected = context.get("expected") if error["type"] == "invalid_setting" else None
        found = context.get("found") if error["type"] == "invalid_setting" else _found(error)
        return Problem(self._location_of(loc), key, str(expected or _expected_at(error["loc"])), str(found))

    def _unknown_key(self, loc: KeyPath, key: str) -> Problem:
        if key in RENAMED_KEYS:
            return Problem(self._location_of(loc), key, f"the new name {RENAMED_KEYS[key]}", "the old name")
        known = _known_keys(loc[:-1])
        found = "an unknown key" + suggest(str(loc[-1]), known)
        shown = ".".join((*map(str, loc[:-1]), quote(str(loc[-1])).strip('"')))
        return Problem(self._location_of(loc), shown, f"one of {', '.join(known)}", found)

    def sorted_problems(self) -> list[Problem]:
        """Return the problems by line of the file, then those of the environment.

        An invalid secret is reported once: pydantic sees it as missing.
        """
        reported = {".".join(map(str, path)) for path in self.invalid_secrets}
        secret_problems = {
            id(item) for item in self.problems if item.found == "nothing" and item.key in reported
        }
        unique = [item for item in self.problems if id(item) not in secret_problems]

        def order(problem: Problem) -> tuple[bool, int]:
            file, _, line = problem.location.rpartition(":")
            return file != self.file, int(line) if file == self.file and line.isdigit() else 0

        return sorted(unique, key=order)

    def _location_of(self, loc: KeyPath) -> str:
        """Return the location of the innermost part that a file or a variable sets."""
        for length in range(len(loc), 0, -1):
            if loc[:length] in self.locations and (length == len(loc) or not _is_section(loc[:length])):
                return self.locations[loc[:length]]
        return self.file or environment_variable(".".join(map(str, loc)))

    def _location(self, path: str) -> str:
        return self._location_of(tuple(path.split(".")))

    def _base_dir(self, path: str) -> Path:
        return Path.cwd() if self._location(path) in self.environ else Path(self.file).parent

    def _parent(self, path: str, *, create: bool = False) -> tuple[dict[str, Any] | None, str]:
        *sections, name = path.split(".")
        part: Any = self.tree
        for section in sections:
            if create:
                part.setdefault(section, {})
            part = part.get(section)
            if not isinstance(part, dict):
                return None, name
        return part, name

    def _get(self, path: str) -> Any:
        parent, name = self._parent(path)
        return None if parent is None else parent.get(name)

    def _remove(self, path: str) -> None:
        parent, name = self._parent(path)
        if parent is not None:
            parent.pop(name, None)

    def _set(self, path: str, value: Any, location: str | None = None) -> None:
        parent, name = self._parent(path, create=True)
        if parent is not None:
            parent[name] = value
            if location is not None:
                loc = tuple(path.split("."))
                # Items of an overridden list or mapping have no location of their own.
                self.locations = {
                    other: place for other, place in self.locations.items() if other[: len(loc)] != loc
                }
                self.locations[loc] = location


class _InvalidSecretError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _without_null_sections(tree: Mapping[str, Tree]) -> dict[str, Any]:
    """Return the tree without sections that have no keys, which YAML reads as null."""
    return {
        name: {
            inner: child
            for inner, child in value.items()
            if child is not None or not _is_section((name, inner))
        }
        if isinstance(value, dict)
        else value
        for name, value in tree.items()
        if value is not None or not _is_section((name,))
    }


def _split(key: Key, text: str) -> Any:
    """Return the items of a list, or the pairs of a mapping, that a variable holds."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if key.container is tuple:
        return parts
    if key.container is dict:
        pairs = [part.partition("=") for part in parts]
        return {name.strip(): value.strip() for name, _, value in pairs}
    return text


def _model_at(loc: KeyPath) -> type[BaseModel] | None:
    """Return the model of a section; None for other paths."""
    model: Any = Settings
    for part in loc:
        field_info = model.model_fields.get(part)
        model = None if field_info is None else field_info.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return None
    return model  # type: ignore[no-any-return]  # Narrowed in the loop.


def _is_section(loc: KeyPath) -> bool:
    return _model_at(loc) is not None


def _known_keys(loc: KeyPath) -> list[str]:
    path = ".".join(map(str, loc))
    begin = f"{path}." if path else ""
    known = {
        item[len(begin) :].split(".")[0]
        for key in keys()
        for item in key.input_paths
        if item.startswith(begin)
    }
    return sorted(known)


def _expected_at(loc: KeyPath) -> str:
    """Return the accepted values of a section, a key, or an item of a list or mapping."""
    if _is_section(loc):
        return "a mapping of keys"
    for length in range(len(loc), 0, -1):
        path = ".".join(map(str, loc[:length]))
        for key in keys():
            if key.path == path:
                return key.expected if length == len(loc) else expected_text(key.item_annotation)
    return "a known key"


def _is_repetition(error: ErrorDetails) -> bool:
    return error["type"] == "too_short" and bool(error["input"])


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "a mapping"


def _found(error: ErrorDetails) -> str:
    """Return a description of the rejected input."""
    value, error_type = error["input"], error["type"]
    if error_type == "missing":
        return "nothing"
    if error_type == "too_short" and isinstance(value, list | tuple):
        return "an empty list"
    if not isinstance(value, str):
        return _kind(value) if value is None or isinstance(value, list | dict) else quote(str(value))
    if error_type in {"model_type", "tuple_type", "mapping_type", "dict_type"}:
        return "a text"
    if error_type.startswith(("less_than", "greater_than")):
        return value.strip()
    choices = str(error.get("ctx", {}).get("expected", ""))
    return quote(value) + suggest(value.strip(), choices.replace("'", "").replace(" or ", ", ").split(", "))
