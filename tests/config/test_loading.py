"""What becomes of a file and the environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from insights_exporter.config import ConfigProblems, load, redacted_dump
from insights_exporter.config.settings import AgentStatsSource, FilterSettings, Settings, UsernameMode
from insights_exporter.config.spec import SECTIONS
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import EnvironmentSecret, FileSecret, LiteralSecret

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"
MINIMAL_CONFIG = f"coder:\n  url: https://coder.example.com\n  token: {TOKEN}\n"


def write_config(folder: Path, text: str) -> Path:
    file = folder / "exporter.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(text: str, folder: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the faults of a file with the folder cut from their places."""
    with pytest.raises(ConfigProblems) as caught:
        load(write_config(folder, text), environ or {})
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_schema_covers_every_setting() -> None:
    schema_keys = {(section.target, key.name) for section in SECTIONS for key in section.keys}
    targets = {section.target for section in SECTIONS}
    fields = {(target, field.name) for target in targets for field in dataclasses.fields(target)}

    assert fields == schema_keys
    containers = {"filters": {one.name for one in dataclasses.fields(FilterSettings)}}
    section_names = {section.path.partition(".")[0] for section in SECTIONS}
    assert {one.name for one in dataclasses.fields(Settings)} == section_names
    assert {s.path.partition(".")[2] for s in SECTIONS if "." in s.path} == containers["filters"]


def test_minimal_file(tmp_path: Path) -> None:
    settings = load(write_config(tmp_path, MINIMAL_CONFIG), {})

    assert settings.coder.url == "https://coder.example.com"
    assert settings.coder.token.read().reveal() == TOKEN
    assert settings == Settings(coder=settings.coder)


def test_coder_variables_without_a_file() -> None:
    environ = {"CODER_URL": "https://coder.example.com", "CODER_SESSION_TOKEN": TOKEN}

    settings = load(None, environ)

    assert settings.coder.url == "https://coder.example.com"
    assert settings.coder.token == EnvironmentSecret("CODER_SESSION_TOKEN", environ)


def test_file_overrides_coder_variables(tmp_path: Path) -> None:
    settings = load(
        write_config(tmp_path, MINIMAL_CONFIG),
        {"CODER_URL": "https://other.example.com", "CODER_SESSION_TOKEN": "x"},
    )

    assert settings.coder.url == "https://coder.example.com"
    assert isinstance(settings.coder.token, LiteralSecret)


def test_environment_overrides_file(tmp_path: Path) -> None:
    environ = {
        "INSIGHTS_EXPORTER_CODER_TOKEN_FILE": str(tmp_path / "token"),
        "INSIGHTS_EXPORTER_POLL_INTERVAL": "10m",
        "INSIGHTS_EXPORTER_POLL_JITTER": "",
        "INSIGHTS_EXPORTER_INSIGHTS_WINDOWS": "today, 14d",
        "INSIGHTS_EXPORTER_FILTERS_TEMPLATES_DENY": "acme/*",
        "INSIGHTS_EXPORTER_LIMITS_FAMILIES": "coder_insights_user_info=0",
        "INSIGHTS_EXPORTER_SERVER_ENABLE_RELOAD": "true",
        "INSIGHTS_EXPORTER_CONFIG": "ignored",
    }
    (tmp_path / "token").write_text(TOKEN)

    settings = load(write_config(tmp_path, MINIMAL_CONFIG + "poll:\n  interval: 60\n  jitter: 5\n"), environ)

    assert settings.coder.token == FileSecret(tmp_path / "token") or settings.coder.token.read()
    assert isinstance(settings.coder.token, FileSecret)
    assert settings.poll.interval == 600.0
    assert settings.poll.jitter == 5.0
    assert settings.insights.windows == ("today", "14d")
    assert settings.filters.templates.deny == ("acme/*",)
    assert settings.limits.families == {"coder_insights_user_info": 0}
    assert settings.server.enable_reload is True


def test_full_file(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("0123456789abcdef\n")
    text = MINIMAL_CONFIG + (
        "poll: {interval: 5m, offset: 0, deadline: 1m30s}\n"
        "insights:\n  windows: [today, 30d]\n  utc_offset: -5\n  anchor: 2026-01-01\n"
        "filters:\n  users: {deny: [bot-*]}\n"
        "privacy: {users: hashed, hash_key_file: secrets/key}\n"
        "agent_stats:\n  source: postgres\n  dsn_env: DSN\n  state_file: state.json\n"
        "server:\n"
        "otlp: {resource_attributes: {site: berlin}}\n"
    )

    settings = load(write_config(tmp_path, text), {"DSN": "postgres://ada:hunter2@db/coder"})

    assert (settings.poll.interval, settings.poll.offset, settings.poll.deadline) == (300.0, 0.0, 90.0)
    assert settings.insights.anchor == date(2026, 1, 1)
    assert settings.insights.utc_offset == -5
    assert settings.filters.users.deny == ("bot-*",)
    assert settings.privacy.hash_key is not None
    assert settings.privacy.hash_key.read().reveal() == "0123456789abcdef"
    assert settings.agent_stats.source is AgentStatsSource.POSTGRES
    assert settings.agent_stats.state_file == tmp_path / "state.json"
    assert settings.otlp.resource_attributes == {"site": "berlin"}


def test_bare_off_is_a_string(tmp_path: Path) -> None:
    """YAML takes a bare ``off`` for false; who writes it means the word."""
    settings = load(write_config(tmp_path, MINIMAL_CONFIG + "privacy:\n  users: off\n"), {})

    assert settings.privacy.users is UsernameMode.OFF


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = (
        "coder:\n"
        "  url: coder.example.com\n"
        "  token_file: missing\n"
        "poll:\n"
        "  intervall: 60\n"
        "  deadline: soon\n"
        "insights:\n"
        "  windows: [today, fortnight]\n"
        "  days: 0\n"
        "  weeks: 0\n"
        "privacy:\n"
        "  users: hash\n"
        "server: [1]\n"
        "limits:\n"
        "  families: {coder_insights_user_inf: 1}\n"
    )

    messages = problems(text, tmp_path, {"INSIGHTS_EXPORTER_POLL_OFSET": "1"})

    assert messages[0].startswith(
        "exporter.yaml:5: poll.intervall: expected one of deadline, interval, jitter,"
    )
    assert messages[0].endswith('found an unknown key (did you mean "interval"?).')
    assert messages[1] == "exporter.yaml:13: server: expected a mapping of keys, found a list."
    assert messages[2].startswith(
        "INSIGHTS_EXPORTER_POLL_OFSET: expected the name of a setting, found an unknown"
    )
    assert messages[2].endswith('(did you mean "INSIGHTS_EXPORTER_POLL_OFFSET"?).')
    assert [line.partition(": expected")[0] for line in messages[3:]] == [
        "exporter.yaml:2: coder.url",
        "exporter.yaml:3: coder.token_file",
        "exporter.yaml:6: poll.deadline",
        "exporter.yaml:8: insights.windows",
        "exporter.yaml:9: insights.days",
        "exporter.yaml:10: insights.weeks",
        "exporter.yaml:12: privacy.users",
        "exporter.yaml:15: limits.families",
    ]
    assert messages[5].endswith('or a time such as 5m or 1h30m, found "soon".')
    assert messages[9].endswith('expected named, hashed or off, found "hash" (did you mean "hashed"?).')
    assert messages[10].endswith('(did you mean "coder_insights_user_info"?).')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "poll: {deadline: 400}",
            "poll.deadline: expected at most the interval, so that polls do not overlap",
        ),
        ("poll: {offset: 290}", "poll.offset: expected offset and jitter together below the interval"),
        ("poll: {max_staleness: 60}", "poll.max_staleness: expected at least the interval"),
        ("privacy: {users: hashed}", "privacy.hash_key: expected a key (hash_key_file"),
        ("privacy: {hash_key: short}", "privacy.hash_key: expected at least 16 characters"),
        ("agent_stats: {source: postgres}", "agent_stats.dsn: expected a database address"),
        ("poll: {interval: .inf}", "poll.interval: expected seconds above 0"),
        ("poll: {interval: -1}", "poll.interval: expected seconds above 0"),
        ("server: {port: 70000}", "server.port: expected a whole number from 0 to 65535, found 70000"),
        ("server: {port: 1.5}", 'server.port: expected a whole number from 0 to 65535, found "1.5"'),
        ("server: {port: }", "server.port: expected a whole number from 0 to 65535, found nothing"),
        ("server: {enable_reload: 2}", 'server.enable_reload: expected true or false, found "2"'),
        ("server: {host: [a]}", "server.host: expected a name or an address to listen at, found a list"),
        ("insights: {windows: today}", "insights.windows: expected a list of which each is"),
        ("insights: {windows: []}", "found an empty list"),
        ("insights: {windows: [[a]]}", "insights.windows: expected a text, found a list"),
        ("insights: {anchor: 2026-13-01}", 'expected a date such as 2026-01-01, found "2026-13-01"'),
        ("log: {level: loud}", "log.level: expected debug, info, warning or error"),
        ("poll: {jitter: 1, jitter: 2}", "poll.jitter: expected each key once, found it a second time"),
        ("limits: {families: {coder_insights_users: -1}}", "limits.families.coder_insights_users: expected"),
        ("otlp: {endpoint: 'http://ada:hunter2@otel'}", "found a user or password in it"),
        ("agent_stats: {metrics_url: 'ada:hunter2@h'}", "found something else"),
        ("server: {web_config_file: none.yaml}", "server.web_config_file: expected the path of a readable"),
        ("? [a]\n: b", "expected a text as key, found a list"),
        ("poll: *hunter2", "expected YAML, found undefined alias …"),
        ("just text", "expected YAML"),
        ("poll: {hunter2", "expected YAML"),
    ],
)
def test_invalid_values_are_reported(text: str, expected: str, tmp_path: Path) -> None:
    messages = problems(f"{MINIMAL_CONFIG}{text}\n", tmp_path)

    assert len(messages) == 1
    assert expected in messages[0]
    assert "hunter2" not in messages[0]


@pytest.mark.parametrize("text", ["- a list", "a text that is no mapping", "[]"])
def test_top_level_must_be_a_mapping(text: str, tmp_path: Path) -> None:
    messages = problems(text, tmp_path)

    assert "exporter.yaml:1: expected a mapping of keys, found a" in messages[0]


def test_empty_file_reports_required_settings(tmp_path: Path) -> None:
    assert problems("", tmp_path) == [
        "exporter.yaml: coder.url: expected an address such as https://coder.example.com, found nothing.",
        "exporter.yaml: coder.token: expected a session token, found nothing.",
    ]


def test_missing_file_is_a_single_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a readable YAML file, found No such file"):
        load(tmp_path / "none.yaml", {})


def test_secret_in_two_forms_is_rejected(tmp_path: Path) -> None:
    text = f"coder:\n  url: https://coder.example.com\n  token: {TOKEN}\n  token_env: T\n"

    messages = problems(text, tmp_path)

    expected = "expected one of token, token_file, token_env, found token and token_env."
    assert messages == [f"exporter.yaml:3: coder.token: {expected}"]
    assert TOKEN not in "".join(messages)


def test_misplaced_secret_is_not_shown(tmp_path: Path) -> None:
    text = f"coder:\n  url: https://coder.example.com\n  token: [{TOKEN}]\n  {TOKEN}\n"

    assert TOKEN not in "".join(problems(text, tmp_path))


def test_redacted_dump_has_no_secret_and_loads_again(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgres://ada:hunter2@db/coder")
    (tmp_path / "ca").write_text("")
    text = MINIMAL_CONFIG.rstrip() + (
        f"\n  ca_file: {tmp_path}/ca\n"
        "agent_stats: {source: postgres, dsn_file: dsn}\n"
        "privacy: {users: off}\nfilters: {users: {deny: [ada]}}\n"
        "insights: {anchor: 2026-01-01}\n"
    )
    settings = load(write_config(tmp_path, text), {})

    dump = redacted_dump(settings)

    assert TOKEN not in dump
    assert "hunter2" not in dump
    assert "ada" not in dump
    assert "token: '***'" in dump
    assert f"dsn_file: {tmp_path}/dsn" in dump
    loadable = "".join(line for line in dump.splitlines(keepends=True) if not line.endswith(": null\n"))
    reloaded = load(write_config(tmp_path, loadable), {})
    assert redacted_dump(reloaded) == dump
    assert reloaded.insights == settings.insights
    assert reloaded.agent_stats.source == settings.agent_stats.source


def test_repr_shows_no_secret(tmp_path: Path) -> None:
    settings = load(
        write_config(tmp_path, MINIMAL_CONFIG),
        {"INSIGHTS_EXPORTER_SERVER_BEARER_TOKEN": "hunter2-hunter2-hunter2"},
    )

    assert TOKEN not in repr(settings)
    assert "hunter2" not in repr(settings)
