"""A configuration that is read again is the same account's, however often its secrets were read."""

from __future__ import annotations

from pathlib import Path

from insights_exporter.application import _account
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secret import FileSecret
from insights_exporter.settings import AgentStatsSettings, AgentStatsSource, Settings


def configured(folder: Path) -> Settings:
    return Settings(
        coder=CoderSettings(url="http://coder.test", token=FileSecret(folder / "token")),
        agent_stats=AgentStatsSettings(
            source=AgentStatsSource.POSTGRES,
            dsn=FileSecret(folder / "dsn"),
            password=FileSecret(folder / "password"),
        ),
    )


def test_what_is_known_of_coder_outlives_a_reload_with_a_token_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abcdefghij-klmnopqrstuvwxyzABCDEF")
    before = configured(tmp_path)
    before.coder.token.read()

    assert _account(before) == _account(configured(tmp_path))


def test_counts_of_agent_reports_outlive_a_reload_with_a_password_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    before = configured(tmp_path)
    assert before.agent_stats.password is not None
    before.agent_stats.password.read()

    assert before.agent_stats == configured(tmp_path).agent_stats
