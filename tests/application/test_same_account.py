"""A configuration that is read again is the same account's, however often its secrets were read."""

from __future__ import annotations

from pathlib import Path

from insights_exporter.app.application import _account_fingerprint
from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config.settings import AgentStatsSettings, AgentStatsSource, Settings
from insights_exporter.secrets import FileSecret


def make_settings(folder: Path) -> Settings:
    return Settings(
        coder=CoderSettings(url="http://coder.test", token=FileSecret(folder / "token")),
        agent_stats=AgentStatsSettings(
            source=AgentStatsSource.POSTGRES,
            dsn=FileSecret(folder / "dsn"),
            password=FileSecret(folder / "password"),
        ),
    )


def test_account_fingerprint_ignores_token_file_cache(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abcdefghij-klmnopqrstuvwxyzABCDEF")
    before = make_settings(tmp_path)
    before.coder.token.read()

    assert _account_fingerprint(before) == _account_fingerprint(make_settings(tmp_path))


def test_agent_stats_settings_ignore_password_file_cache(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2")
    before = make_settings(tmp_path)
    assert before.agent_stats.password is not None
    before.agent_stats.password.read()

    assert before.agent_stats == make_settings(tmp_path).agent_stats
