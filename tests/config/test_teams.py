"""The teams file: its forms and its problems."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from insights_exporter.config.errors import InvalidConfigError
from insights_exporter.config.teams import Team, TeamSettings, load_teams


def teams_file(folder: Path, text: str) -> Path:
    file = folder / "teams.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_team_has_a_user_or_a_list_of_users_and_patterns(tmp_path: Path) -> None:
    file = teams_file(tmp_path, 'Payments: ada\n"Platform & ops":\n  - linus\n  - "ops-*"\n')

    assert load_teams(file) == (Team("Payments", ("ada",)), Team("Platform & ops", ("linus", "ops-*")))


@pytest.mark.parametrize(
    ("username", "expected"),
    [("ada", True), ("ops-eu", True), ("Ada", False), ("adam", False), ("ops", False)],
)
def test_patterns_match_whole_usernames_and_their_case(username: str, expected: bool) -> None:  # noqa: FBT001
    assert Team("Ops", ("ada", "ops-*")).has_member(username) is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a mapping of teams to usernames or patterns, got nothing"),
        ("- ada", "expected a mapping of keys, got a list"),
        ("a: []", "a: expected usernames or patterns, got an empty list"),
        ("a: {b: c}", "a: expected a text, got a mapping"),
        ("a: [b, '']", "a[1]: expected a username or pattern, got nothing"),
        ("a: b\na: c", "a: expected each key once, got a duplicate key"),
    ],
)
def test_invalid_files_are_refused_with_the_line(tmp_path: Path, text: str, problem: str) -> None:
    file = teams_file(tmp_path, text)

    with pytest.raises(InvalidConfigError) as caught:
        load_teams(file)

    assert [str(one).partition(": ")[2] for one in caught.value.problems] == [problem]
    with pytest.raises(ValidationError, match=r"teams\.yaml"):
        TeamSettings(file=file)
