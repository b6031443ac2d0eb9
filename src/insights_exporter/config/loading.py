"""From what was said to settings, with every fault at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from insights_exporter.config.errors import ConfigProblems, InvalidValue, Problem
from insights_exporter.config.kind import File, Items, Pairs, Scalar, SecretText
from insights_exporter.config.rule import RULES
from insights_exporter.config.settings import FilterSettings, Settings
from insights_exporter.config.source import RawValue, Value, environment_variable, from_environment, from_file
from insights_exporter.config.spec import REQUIRED, SECTIONS, Section, keys
from insights_exporter.errors import SecretError
from insights_exporter.secrets import EnvironmentSecret, FileSecret, LiteralSecret, Secret, SecretSource

__all__ = ["FALLBACK_VARIABLES", "SECRET_SUFFIXES", "load"]

T = TypeVar("T")

FALLBACK_VARIABLES: Mapping[str, str] = {"coder.url": "CODER_URL", "coder.token": "CODER_SESSION_TOKEN"}
"""Variables of Coder's own command line tool, which serve where nothing else was said."""

SECRET_SUFFIXES = ("", "_file", "_env")
"""The three ends of a secret's key: the secret itself, a file, a variable of the environment."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a file and the environment, which wins; raise ConfigProblems with all faults."""
    known_paths = _all_paths()
    raw_values: dict[str, RawValue] = {}
    problems: list[Problem] = []
    if path is not None:
        raw_values, problems = from_file(path, known_paths)
    environment_values, environment_problems = from_environment(environ, known_paths)
    _apply_environment(raw_values, environment_values)
    loader = _Loader(
        raw_values, environ, [*problems, *environment_problems], "" if path is None else str(path)
    )
    values = loader.values()
    for rule in RULES:
        if all(key in values for key in rule.keys) and (found := rule.broken(*map(values.get, rule.keys))):
            loader.problems.append(Problem(loader.location(rule.keys[0]), rule.keys[0], rule.expected, found))
    if loader.problems:
        raise ConfigProblems(loader.problems)
    return _settings(values)


def _all_paths() -> list[str]:
    """Return every path that may be said; a secret has three."""
    return [
        path + suffix
        for path, _, key in keys()
        for suffix in (SECRET_SUFFIXES if isinstance(key.kind, SecretText) else ("",))
    ]


def _apply_environment(raw_values: dict[str, RawValue], environment_values: Mapping[str, RawValue]) -> None:
    """Let the environment win; any form of a secret replaces all of its forms."""
    for path, _, key in keys():
        suffixed_paths = (
            [path + suffixed_path for suffixed_path in SECRET_SUFFIXES]
            if isinstance(key.kind, SecretText)
            else [path]
        )
        if any(suffixed_path in environment_values for suffixed_path in suffixed_paths):
            for suffixed_path in suffixed_paths:
                raw_values.pop(suffixed_path, None)
    raw_values.update(environment_values)


@dataclass
class _Loader:
    """Turns what was given into values."""

    raw_values: Mapping[str, RawValue] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    problems: list[Problem]
    file: str

    def values(self) -> dict[str, Any]:
        """Return the values that hold by path; those with a fault are missing."""
        values: dict[str, Any] = {}
        for path, section, key in keys():
            try:
                if isinstance(key.kind, SecretText):
                    value = self._secret(path, key.kind)
                elif path in self.raw_values:
                    value = self._value(path, key.kind, self.raw_values[path])
                elif fallback := self.environ.get(FALLBACK_VARIABLES.get(path, "")):
                    value = self._value(
                        path, key.kind, RawValue(FALLBACK_VARIABLES[path], fallback, Path.cwd())
                    )
                else:
                    value = None
            except _Faulty:
                continue
            if value is None:
                value = section.default(key)
            if value is REQUIRED:
                self._report(self._default_location(path), path, key.kind.expected, "nothing")
            else:
                values[path] = value
        return values

    def location(self, path: str) -> str:
        """Return where a value was said."""
        said = [
            self.raw_values[path + form].location
            for form in SECRET_SUFFIXES
            if path + form in self.raw_values
        ]
        return said[0] if said else self._default_location(path)

    def _default_location(self, path: str) -> str:
        return self.file or environment_variable(path)

    def _value(self, path: str, kind: Scalar | Items | Pairs, given: RawValue) -> Any:
        if isinstance(kind, Items):
            return self._items(path, kind, given)
        if isinstance(kind, Pairs):
            return self._pairs(path, kind, given)
        if not isinstance(given.value, str):
            raise self._faulty(given.location, path, kind.expected, _described(given.value))
        value = self._scalar(path, kind, given.value, given.location)
        return self._file(path, kind, given, value) if isinstance(kind, File) else value

    def _file(self, path: str, kind: File, given: RawValue, value: Path) -> Path:
        full = given.base_dir / value
        if kind.exists:
            try:
                full.open("rb").close()
            except OSError as error:
                raise self._faulty(given.location, path, kind.expected, f"{full}: {error.strerror}") from None
        return full

    def _items(self, path: str, kind: Items, given: RawValue) -> tuple[Any, ...]:
        value = given.value
        if isinstance(value, str) and given.variable:
            value = [(one.strip(), given.location) for one in value.split(",") if one.strip()]
        if not isinstance(value, list):
            raise self._faulty(given.location, path, kind.expected, _described(value))
        if not value and not kind.empty:
            raise self._faulty(given.location, path, kind.expected, "an empty list")
        return self._all(
            lambda: tuple(dict.fromkeys(self._or_report(path, kind.of, text, place) for text, place in value))
        )

    def _pairs(self, path: str, kind: Pairs, given: RawValue) -> dict[Any, Any]:
        value = given.value
        if isinstance(value, str) and given.variable:
            parts = [one.partition("=") for one in value.split(",") if one.strip()]
            value = {name.strip(): (text.strip(), given.location) for name, _, text in parts}
        if not isinstance(value, dict):
            raise self._faulty(given.location, path, kind.expected, _described(value))
        return self._all(
            lambda: {
                self._or_report(path, kind.names, name, place): self._or_report(
                    f"{path}.{name}", kind.of, text, place
                )
                for name, (text, place) in value.items()
            }
        )

    def _all(self, read: Callable[[], T]) -> T:
        """Read every part, so that each fault is told, and only then say that there was one."""
        before = len(self.problems)
        value = read()
        if len(self.problems) > before:
            raise _Faulty
        return value

    def _or_report(self, path: str, kind: Scalar, text: str, place: str) -> Any:
        try:
            return self._scalar(path, kind, text, place)
        except _Faulty:
            return None

    def _scalar(self, path: str, kind: Scalar, text: str, place: str) -> Any:
        try:
            return kind.parse(text)
        except InvalidValue as fault:
            raise self._faulty(place, path, fault.expected or kind.expected, fault.found) from None

    def _secret(self, path: str, kind: SecretText) -> SecretSource | None:
        said = [form for form in SECRET_SUFFIXES if path + form in self.raw_values]
        if not said:
            name = FALLBACK_VARIABLES.get(path, "")
            return EnvironmentSecret(name, self.environ) if self.environ.get(name) else None
        given = self.raw_values[path + said[0]]
        name = path.rpartition(".")[2]
        if len(said) > 1:
            forms = ", ".join(name + form for form in SECRET_SUFFIXES)
            found = " and ".join(name + form for form in said)
            raise self._faulty(given.location, path, f"one of {forms}", found)
        if not isinstance(given.value, str) or not given.value.strip():
            raise self._faulty(given.location, path + said[0], kind.expected, "no text")
        source = self._source(said[0], given, given.value)
        try:
            source.read()
        except SecretError as error:
            raise self._faulty(
                given.location, path + said[0], kind.expected, f"none: {error}".rstrip(".")
            ) from None
        return source

    def _source(self, form: str, given: RawValue, text: str) -> SecretSource:
        if form == "_file":
            return FileSecret(given.base_dir / Path(text).expanduser())
        if form == "_env":
            return EnvironmentSecret(text.strip(), self.environ)
        if given.variable:
            return EnvironmentSecret(given.variable, self.environ)
        return LiteralSecret(Secret(text.strip()))

    def _faulty(self, place: str, key: str, expected: str, found: str) -> _Faulty:
        self._report(place, key, expected, found)
        return _Faulty()

    def _report(self, place: str, key: str, expected: str, found: str) -> None:
        self.problems.append(Problem(place, key, expected, found))


class _Faulty(Exception):
    """A value has a fault, which was told."""


def _described(value: Value) -> str:
    if value is None:
        return "nothing"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "a mapping"


def _settings(values: Mapping[str, Any]) -> Settings:
    parts = {section.path: _part(section, values) for section in SECTIONS}
    filters = {path.partition(".")[2]: part for path, part in parts.items() if path.startswith("filters.")}
    plain = {path: part for path, part in parts.items() if "." not in path}
    return Settings(filters=FilterSettings(**filters), **plain)


def _part(section: Section, values: Mapping[str, Any]) -> Any:
    return section.target(**{key.name: values[f"{section.path}.{key.name}"] for key in section.keys})
