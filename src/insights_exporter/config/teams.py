"""The teams file: teams with the users that belong to them, for deployments without groups in Coder.

    payments: [ada, grace]
    platform:
      - linus
      - "ops-*"

Each key is a team. Its value is a username or shell pattern, or a list of them. A user may match several
teams.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import AfterValidator, Field

from insights_exporter.config.errors import InvalidConfigError
from insights_exporter.config.types import ReadableFile, SettingsSection, invalid
from insights_exporter.config.yaml_document import YamlDocument, YamlValue

__all__ = ["Team", "TeamSettings", "load_teams"]


@dataclass(frozen=True, slots=True)
class Team:
    """A team and the usernames or shell patterns of its members."""

    name: str
    patterns: tuple[str, ...]
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the patterns into one expression: a deployment may have thousands of users."""
        expression = re.compile("|".join(map(translate, self.patterns)))
        object.__setattr__(self, "_expression", expression)

    def has_member(self, username: str) -> bool:
        """Return whether a username matches; upper and lower case differ, as in Coder."""
        return self._expression.match(username) is not None


def _check_file(path: Path | None) -> Path | None:
    """Return the path of a teams file; raise PydanticCustomError for an invalid file."""
    if path is not None:
        try:
            load_teams(path)
        except InvalidConfigError as error:
            raise invalid("a valid teams file", str(error)) from None
    return path


class TeamSettings(SettingsSection):
    """Teams of users, for deployments without groups in Coder or with other teams than groups."""

    file: Annotated[ReadableFile | None, AfterValidator(_check_file)] = Field(
        default=None,
        description="YAML file with the usernames or shell patterns of each team. "
        "A reload of the configuration reads it again.",
    )


def load_teams(path: Path) -> tuple[Team, ...]:
    """Return the teams of a file in its order; raise InvalidConfigError with all problems of the file."""
    document = YamlDocument(path)
    root = document.root()
    if not root.present:
        root.add_problem("a mapping of teams to usernames or patterns", "nothing")
    teams = [Team(name, tuple(_patterns(value))) for name, value in root.items()]
    document.raise_problems()
    return tuple(teams)


def _patterns(value: YamlValue) -> Iterator[str]:
    """Yield the patterns of a team; record a problem for every other value."""
    items = value.elements() if isinstance(value.node, yaml.SequenceNode) else [value]
    if not items:
        value.add_problem("usernames or patterns", "an empty list")
    for item in items:
        if pattern := item.text().strip():
            yield pattern
        elif isinstance(item.node, yaml.ScalarNode):
            item.add_problem("a username or pattern", "nothing")
