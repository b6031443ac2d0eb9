"""YAML reader that knows the line of each value and collects all problems of a file.

It reads exporter.yaml and the web configuration file. Scalars stay texts as written: YAML 1.1 would turn a
bare ``off`` into false.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from insights_exporter.config.errors import InvalidConfigError, Problem, quote
from insights_exporter.config.types import GO_UNITS, parse_duration

__all__ = ["KeyPath", "Tree", "YamlDocument", "YamlValue"]

MAX_DEPTH: Final = 32
"""Nested levels of a document. PyYAML composes nodes recursively: deeper files would exhaust the stack."""

MAX_VALUES: Final = 20_000
"""Values of a document with expanded aliases: the bound against exponential aliases ("billion laughs")."""

_QUOTED: Final = re.compile(r"'([^']*)'|\"([^\"]*)\"")

_NULL: Final = "tag:yaml.org,2002:null"
_INT: Final = "tag:yaml.org,2002:int"
_MERGE: Final = "tag:yaml.org,2002:merge"

_TRUE_WORDS: Final = frozenset({"true", "yes", "on", "y"})
_FALSE_WORDS: Final = frozenset({"false", "no", "off", "n"})
"""Booleans of YAML 1.1. PyYAML leaves out ``y`` and ``n``, which Go's reader accepts."""

Tree: TypeAlias = "str | list[Tree] | dict[str, Tree] | None"
"""A document with texts as leaves."""

KeyPath: TypeAlias = tuple[str | int, ...]


class _TooDeepError(yaml.MarkedYAMLError):
    """The document has more than MAX_DEPTH nested levels."""


class _BoundedLoader(yaml.SafeLoader):
    """SafeLoader that refuses documents with more than MAX_DEPTH nested levels."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        try:
            if self.depth > MAX_DEPTH:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # The stubs lack types here.
                raise _TooDeepError(problem_mark=mark)
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


@dataclass(slots=True)
class YamlDocument:
    """One YAML file; ``problems`` grows while its values are read."""

    path: Path
    problems: list[Problem] = field(default_factory=list)

    def root(self) -> YamlValue:
        """Return the top-level value; raise InvalidConfigError for unreadable files and invalid YAML."""
        try:
            node = yaml.compose(self.path.read_text(encoding="utf-8"), Loader=_BoundedLoader)
        except OSError as error:
            raise self._unusable("a readable YAML file", error.strerror or "an unreadable file") from None
        except UnicodeDecodeError:
            # The cause would quote bytes of the file.
            raise self._unusable("text in UTF-8", "other bytes") from None
        except yaml.YAMLError as error:
            raise self._syntax_error(error) from None
        return YamlValue(self, "", node)

    def raise_problems(self) -> None:
        """Raise InvalidConfigError with every problem, if there is one."""
        if self.problems:
            raise InvalidConfigError(self.problems)

    def _unusable(self, expected: str, found: str, line: int | None = None) -> InvalidConfigError:
        location = str(self.path) if line is None else f"{self.path}:{line}"
        return InvalidConfigError([Problem(location, "", expected, found)])

    def _syntax_error(self, error: yaml.YAMLError) -> InvalidConfigError:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        if isinstance(error, _TooDeepError):
            return self._unusable(f"at most {MAX_DEPTH} nested levels", "more", line)
        problem = str(getattr(error, "problem", None) or "unprintable characters")
        return self._unusable(
            "YAML", f"a syntax error: {_QUOTED.sub(_mask_word, problem).removeprefix('found ')}", line
        )


@dataclass(frozen=True, slots=True)
class YamlValue:
    """The value of one key; ``node`` is None for an absent key, ``key_node`` for items of a list."""

    document: YamlDocument
    key: str
    node: yaml.Node | None
    key_node: yaml.Node | None = None

    @property
    def present(self) -> bool:
        """Whether the file sets the key to a value other than null."""
        return self.node is not None and self.node.tag != _NULL

    @property
    def location(self) -> str:
        """The file and the line of the value."""
        line = self.node.start_mark.line + 1 if self.node is not None else 1
        return f"{self.document.path}:{line}"

    @property
    def key_location(self) -> str:
        """The file and the line of the key; a value of several lines starts after it."""
        if self.key_node is None:
            return self.location
        return f"{self.document.path}:{self.key_node.start_mark.line + 1}"

    def add_problem(self, expected: str, found: str) -> None:
        """Record a problem of this value."""
        self.document.problems.append(Problem(self.location, self.key, expected, found))

    def tree(self) -> tuple[Tree, dict[KeyPath, str]]:
        """Return the value as a tree of texts, and the location of each node by its path."""
        locations: dict[KeyPath, str] = {}
        return self.subtree((), locations), locations

    def subtree(self, path: KeyPath, locations: dict[KeyPath, str]) -> Tree:
        """Return the value as a tree of texts; record the location of each node below ``path``."""
        locations[path] = self.key_location
        if len(locations) > MAX_VALUES or len(path) > MAX_DEPTH:
            raise InvalidConfigError(
                [
                    Problem(
                        self.location, "", f"at most {MAX_VALUES} values", "more, after expansion of aliases"
                    )
                ]
            )
        if isinstance(self.node, yaml.MappingNode):
            return {name: value.subtree((*path, name), locations) for name, value in self.items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [value.subtree((*path, index), locations) for index, value in enumerate(self.elements())]
        return str(self.node.value) if self.present and self.node is not None else None

    def fields(self, allowed_keys: Collection[str]) -> dict[str, YamlValue]:
        """Return a value for each allowed key, present or not; record a problem for all other keys."""
        values = {name: YamlValue(self.document, self._child_key(name), None) for name in allowed_keys}
        for name, value in self.items():
            if name in values:
                values[name] = value
            else:
                value.add_problem(f"one of {', '.join(sorted(allowed_keys))}", "an unknown key")
        return values

    def items(self) -> Iterator[tuple[str, YamlValue]]:
        """Yield each key of a mapping with its value; record a problem for duplicate keys.

        Merge keys (``<<``) are expanded after the mapping's own keys, which take precedence.
        """
        if not self.present:
            return
        if not isinstance(self.node, yaml.MappingNode):
            self.add_problem("a mapping of keys", self._kind())
            return
        seen: set[str] = set()
        merged: list[yaml.Node] = []
        for name_node, node in self.node.value:
            if name_node.tag == _MERGE:
                merged.append(node)
                continue
            if not isinstance(name_node, yaml.ScalarNode):
                key = YamlValue(self.document, self.key, name_node)
                key.add_problem("a text as key", key._kind())
                continue
            name = str(name_node.value)
            if name in seen:
                duplicate = YamlValue(self.document, self._child_key(name), name_node)
                duplicate.add_problem("each key once", "a duplicate key")
            else:
                seen.add(name)
                yield name, YamlValue(self.document, self._child_key(name), node, name_node)
        yield from self._merged_items(merged, seen)

    def _merged_items(self, merged: list[yaml.Node], seen: set[str]) -> Iterator[tuple[str, YamlValue]]:
        """Yield the keys of merged mappings that are not in ``seen``; earlier mappings take precedence."""
        # Each node is expanded once, so neither recursive nor exponential aliases cost much.
        expanded: set[int] = set()
        while merged:
            node = merged.pop(0)
            if id(node) in expanded:
                continue
            expanded.add(id(node))
            if isinstance(node, yaml.SequenceNode):
                merged[:0] = node.value
                continue
            if not isinstance(node, yaml.MappingNode):
                value = YamlValue(self.document, self._child_key("<<"), node)
                value.add_problem("a mapping or a list of mappings", value._kind())
                continue
            nested = [child for name_node, child in node.value if name_node.tag == _MERGE]
            merged[:0] = nested
            for name_node, child in node.value:
                name = str(name_node.value)
                if isinstance(name_node, yaml.ScalarNode) and name_node.tag != _MERGE and name not in seen:
                    seen.add(name)
                    yield name, YamlValue(self.document, self._child_key(name), child, name_node)

    def elements(self) -> list[YamlValue]:
        """Return the items of a list."""
        if not self.present:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            self.add_problem("a list", self._kind())
            return []
        return [
            YamlValue(self.document, f"{self.key}[{index}]", node)
            for index, node in enumerate(self.node.value)
        ]

    def text(self) -> str:
        """Return a scalar as it is written; an empty text for an absent key."""
        if not self.present:
            return ""
        if not isinstance(self.node, yaml.ScalarNode):
            self.add_problem("a text", self._kind())
            return ""
        return str(self.node.value)

    def boolean(self, *, default: bool) -> bool:
        """Return a YAML boolean."""
        if not self.present:
            return default
        text = self.text()
        is_plain = isinstance(self.node, yaml.ScalarNode) and self.node.style is None
        if not is_plain or text.lower() not in _TRUE_WORDS | _FALSE_WORDS:
            self.add_problem("true or false", quote(text))
            return default
        return text.lower() in _TRUE_WORDS

    def integer(self) -> int:
        """Return a whole number >= 0; 0 for an absent key."""
        text = self.text()
        if not self.present:
            return 0
        if self.node is None or self.node.tag != _INT or not re.fullmatch(r"0|[1-9][0-9_]{0,11}", text):
            self.add_problem("a whole number >= 0", quote(text))
            return 0
        return int(text.replace("_", ""))

    def duration(self) -> float:
        """Return the seconds of a Go duration such as ``1m30s``; 0 for an absent key.

        A whole number is nanoseconds, as in Go.
        """
        text = self.text()
        if not self.present:
            return 0.0
        if self.node is not None and self.node.tag == _INT and re.fullmatch(r"[0-9]{1,18}", text):
            return int(text) * GO_UNITS["ns"]
        try:
            return parse_duration(text, GO_UNITS)
        except ValueError:
            self.add_problem("a duration such as 500ms or 1s", quote(text))
            return 0.0

    def choice(self, allowed: Collection[str], *, default: str) -> str:
        """Return one of the allowed words."""
        text = self.text()
        if not text:
            return default
        if text not in allowed:
            self.add_problem(f"one of {', '.join(allowed)}", quote(text))
            return default
        return text

    def path(self) -> Path | None:
        """Return a path; relative paths start at the folder of the document."""
        text = self.text()
        return self.document.path.parent / text if text else None

    def _child_key(self, name: str) -> str:
        printable = name if name.isprintable() and len(name) <= 60 else "…"
        return f"{self.key}.{printable}" if self.key else printable

    def _kind(self) -> str:
        """Return the kind of node without its text, which may be a misplaced secret."""
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return "a text" if self.present else "nothing"


def _mask_word(match: re.Match[str]) -> str:
    """Keep quoted punctuation of a PyYAML message; mask quoted words of the file, which may be a secret."""
    word = match[1] or match[2] or ""
    return match[0] if len(word) == 1 or re.fullmatch(r"<[a-z ]+>", word) else "…"
