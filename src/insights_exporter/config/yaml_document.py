"""A YAML document that knows the line of each of its values, and collects what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from insights_exporter.errors import ConfigError

__all__ = ["YamlDocument", "YamlValue"]

_NULL = "tag:yaml.org,2002:null"
_BOOL = "tag:yaml.org,2002:bool"
_INT = "tag:yaml.org,2002:int"
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"


@dataclass(slots=True)
class YamlDocument:
    """One file; ``problems`` grows while its values are read."""

    path: Path
    problems: list[str] = field(default_factory=list)

    def root(self) -> YamlValue:
        """Return the top of the document; raise ConfigError where the file is no YAML."""
        try:
            text = self.path.read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except OSError as error:
            raise ConfigError(f"{self.path}: expected a readable file, found: {error.strerror}.") from error
        except UnicodeDecodeError:
            # The cause would quote bytes of the file.
            raise ConfigError(f"{self.path}: expected text in UTF-8, found other bytes.") from None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            # The cause would quote lines of the file, which may be a key.
            raise ConfigError(f"{self.path}:{line}: expected YAML, found: {error.problem}.") from None
        except (yaml.YAMLError, RecursionError):
            raise ConfigError(f"{self.path}: expected YAML, found something else.") from None
        return YamlValue(self, "", node)

    def raise_problems(self) -> None:
        """Raise ConfigError with every problem, if there is one."""
        if self.problems:
            raise ConfigError("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class YamlValue:
    """The value of one key, or its absence."""

    document: YamlDocument
    key: str
    node: yaml.Node | None

    @property
    def present(self) -> bool:
        """Whether the file says anything here."""
        return self.node is not None and self.node.tag != _NULL

    def add_problem(self, expected: str, found: str) -> None:
        """Note a problem of this value."""
        line = self.node.start_mark.line + 1 if self.node is not None else 1
        key_prefix = f" {self.key}:" if self.key else ""
        self.document.problems.append(
            f"{self.document.path}:{line}:{key_prefix} expected {expected}, found {found}."
        )

    def fields(self, allowed_keys: Collection[str]) -> dict[str, YamlValue]:
        """Return a value for each known key, absent or not, and refuse all others."""
        values = dict.fromkeys(allowed_keys, YamlValue(self.document, self.key, None))
        values = {name: YamlValue(self.document, self._child_key(name), None) for name in allowed_keys}
        for name, value in self.items():
            if name in values:
                values[name] = value
            else:
                value.add_problem(f"one of {', '.join(sorted(allowed_keys))}", "an unknown key")
        return values

    def items(self) -> Iterator[tuple[str, YamlValue]]:
        """Yield each key once, with its value."""
        if not self.present:
            return
        if not isinstance(self.node, yaml.MappingNode):
            self.add_problem("keys with values", "something else")
            return
        seen: set[str] = set()
        for name_node, node in self.node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                YamlValue(self.document, self.key, name_node).add_problem("a name", "something else")
                continue
            name = str(name_node.value)
            value = YamlValue(self.document, self._child_key(name), node)
            if name in seen:
                value.add_problem("each key once", "it twice")
            else:
                seen.add(name)
                yield name, value

    def text(self) -> str:
        """Return a scalar as it is written; nothing where it is absent."""
        if not self.present:
            return ""
        if not isinstance(self.node, yaml.ScalarNode):
            self.add_problem("text", "something else")
            return ""
        return str(self.node.value)

    def elements(self) -> list[YamlValue]:
        """Return the items of a list."""
        if not self.present:
            return []
        if not isinstance(self.node, yaml.SequenceNode):
            self.add_problem("a list", "something else")
            return []
        return [
            YamlValue(self.document, f"{self.key}[{index}]", node)
            for index, node in enumerate(self.node.value)
        ]

    def boolean(self, *, default: bool) -> bool:
        """Return a truth value."""
        if not self.present:
            return default
        text = self.text()
        if self.node is None or self.node.tag != _BOOL:
            self.add_problem("true or false", repr(text[:60]))
            return default
        return text.lower() in {"true", "yes", "on"}

    def integer(self) -> int:
        """Return a whole number from 0; 0 where it is absent."""
        text = self.text()
        if not self.present:
            return 0
        if self.node is None or self.node.tag != _INT or not re.fullmatch(r"\d{1,9}", text):
            self.add_problem("a whole number from 0", repr(text[:60]))
            return 0
        return int(text)

    def duration(self) -> float:
        """Return a duration such as ``1m30s`` in seconds; 0 where it is absent."""
        text = self.text()
        if not self.present or text == "0":
            return 0.0
        if not re.fullmatch(f"(?:{_DURATION_PART})+", text):
            self.add_problem("a duration such as 500ms or 1s", repr(text[:60]))
            return 0.0
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_DURATION_PART, text))

    def choice(self, allowed: Collection[str], *, default: str) -> str:
        """Return one of the known words."""
        text = self.text()
        if not text:
            return default
        if text not in allowed:
            self.add_problem(f"one of {', '.join(allowed)}", repr(text[:60]))
            return default
        return text

    def path(self) -> Path | None:
        """Return a path, relative ones from the document's folder."""
        text = self.text()
        return self.document.path.parent / text if text else None

    def _child_key(self, name: str) -> str:
        printable = name if name.isprintable() and len(name) <= 60 else "…"
        return f"{self.key}.{printable}" if self.key else printable
