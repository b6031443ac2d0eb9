"""The texts that a file and the environment give, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import yaml

from insights_exporter.config.errors import ConfigProblems, Problem, quoted, suggestion
from insights_exporter.config.spec import PREFIX

__all__ = ["CONFIG_VARIABLE", "RawValue", "environment_variable", "from_environment", "from_file"]

CONFIG_VARIABLE = f"{PREFIX}CONFIG"
"""The variable that names the file."""

Value: TypeAlias = str | list[tuple[str, str]] | dict[str, tuple[str, str]] | None
"""A text, a list or a mapping of texts with their places, or nothing."""


@dataclass(frozen=True, slots=True)
class RawValue:
    """What was said for a key; ``folder`` is where relative paths begin."""

    location: str
    value: Value = field(repr=False)
    base_dir: Path
    variable: str | None = None


def environment_variable(path: str) -> str:
    """Return the environment's name of a key."""
    return PREFIX + path.replace(".", "_").upper()


def from_environment(
    environ: Mapping[str, str], known_paths: Iterable[str]
) -> tuple[dict[str, RawValue], list[Problem]]:
    """Return what variables say by the paths of keys; an empty variable says nothing."""
    by_name = {environment_variable(path): path for path in known_paths}
    raw_values: dict[str, RawValue] = {}
    problems: list[Problem] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        if name not in by_name:
            found = "an unknown name" + suggestion(name, by_name)
            problems.append(Problem(name, "", "the name of a setting", found))
        elif environ[name]:
            raw_values[by_name[name]] = RawValue(name, environ[name], Path.cwd(), name)
    return raw_values, problems


def from_file(file: Path, known_paths: Iterable[str]) -> tuple[dict[str, RawValue], list[Problem]]:
    """Return what a YAML file says by the paths of keys; raise ConfigProblems where it is none."""
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigProblems(
            [Problem(str(file), "", "a readable YAML file", error.strerror or "none")]
        ) from None
    except UnicodeDecodeError:
        raise ConfigProblems([Problem(str(file), "", "text in UTF-8", "something else")]) from None
    except yaml.YAMLError as error:
        raise ConfigProblems([_syntax(file, error)]) from None
    reader = _Reader(file, frozenset(known_paths))
    if root is not None and not _is_null(root):
        reader.read(root, "")
    return reader.raw_values, reader.problems


def _syntax(file: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    place = str(file) if mark is None else f"{file}:{mark.line + 1}"
    # The library quotes words of the file, and one of them may be a secret.
    text = re.sub(r"'[^']{2,}'|\"[^\"]{2,}\"", "…", str(getattr(error, "problem", None) or "something else"))
    return Problem(place, "", "YAML", text.removeprefix("found "))


@dataclass
class _Reader:
    """Walks a document along the known keys."""

    file: Path
    known_paths: frozenset[str]
    raw_values: dict[str, RawValue] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, node: yaml.Node, path: str) -> None:
        """Read the mapping at a path that is a section, or the whole."""
        if not isinstance(node, yaml.MappingNode):
            self._report(node, path, "a mapping of keys", _describe_node(node))
            return
        begin = f"{path}." if path else ""
        children = sorted(
            {key[len(begin) :].split(".")[0] for key in self.known_paths if key.startswith(begin)}
        )
        for name, key_node, value in self._pairs(node, path):
            inner = begin + name
            if name not in children:
                found = "an unknown key" + suggestion(name, children)
                self._report(key_node, inner, f"one of {', '.join(children)}", found)
            elif inner in self.known_paths:
                self._store(inner, value)
            elif not _is_null(value):
                self.read(value, inner)

    def _store(self, path: str, node: yaml.Node) -> None:
        value: Value
        before = len(self.problems)
        if isinstance(node, yaml.ScalarNode):
            value = None if _is_null(node) else node.value
        elif isinstance(node, yaml.SequenceNode):
            value = [(self._text(one, path), self._location(one)) for one in node.value]
        else:
            value = {
                name: (self._text(one, f"{path}.{name}"), self._location(one))
                for name, _, one in self._pairs(node, path)
            }
        if len(self.problems) == before:
            self.raw_values[path] = RawValue(self._location(node), value, self.file.parent)

    def _pairs(self, node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        seen: set[str] = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if not isinstance(key, yaml.ScalarNode):
                self._report(key, path, "a text as key", _describe_node(key))
            elif name in seen:
                self._report(key, f"{path}.{name}".lstrip("."), "each key once", "it a second time")
            else:
                seen.add(name)
                yield name, key, value

    def _text(self, node: yaml.Node, path: str) -> str:
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._report(node, path, "a text", _describe_node(node))
        return ""

    def _location(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"

    def _report(self, node: yaml.Node, key: str, expected: str, found: str) -> None:
        self.problems.append(
            Problem(self._location(node), quoted(key).strip('"') if key else "", expected, found)
        )


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _describe_node(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    # A lone text may be a secret in the wrong place.
    return "nothing" if _is_null(node) else "a text"
