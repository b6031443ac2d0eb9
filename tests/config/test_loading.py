"""What becomes of a file and the environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from insights_exporter.config import ConfigProblems, load, masked
from insights_exporter.config.spec import SECTIONS
from insights_exporter.errors import ConfigError
from insights_exporter.secret import EnvironmentSecret, FileSecret, LiteralSecret
from insights_exporter.settings import AgentStatsSource, FilterSettings, Settings, UserNames

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"
LEAST = f"coder:\n  url: https://coder.example.com\n  token: {TOKEN}\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "exporter.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(text: str, folder: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the faults of a file with the folder cut from their places."""
    with pytest.raises(ConfigProblems) as caught:
        load(written(folder, text), environ or {})
    return [str(one).replace(f"{folder}/", "") for one in caught.value.problems]


def test_every_setting_can_be_said_and_nothing_else() -> None:
    said = {(section.target, key.name) for section in SECTIONS for key in section.keys}
    targets = {section.target for section in SECTIONS}
    fields = {(target, field.name) for target in targets for field in dataclasses.fields(target)}

    assert fields == said
    containers = {"filters": {one.name for one in dataclasses.fields(FilterSettings)}}
    named = {section.path.partition(".")[0] for section in SECTIONS}
    assert {one.name for one in dataclasses.fields(Settings)} == named
    assert {s.path.partition(".")[2] for s in SECTIONS if "." in s.path} == containers["filters"]


def test_an_address_and_a_token_are_enough(tmp_path: Path) -> None:
    settings = load(written(tmp_path, LEAST), {})

    assert settings.coder.url == "https://coder.example.com"
    assert settings.coder.token.read().reveal() == TOKEN
    assert settings == Settings(coder=settings.coder)


def test_coders_own_variables_are_enough_without_a_file() -> None:
    environ = {"CODER_URL": "https://coder.example.com", "CODER_SESSION_TOKEN": TOKEN}

    settings = load(None, environ)

    assert settings.coder.url == "https://coder.example.com"
    assert settings.coder.token == EnvironmentSecret("CODER_SESSION_TOKEN", environ)


def test_coders_own_variables_do_not_outdo_a_file(tmp_path: Path) -> None:
    settings = load(
        written(tmp_path, LEAST), {"CODER_URL": "https://other.example.com", "CODER_SESSION_TOKEN": "x"}
    )

    assert settings.coder.url == "https://coder.example.com"
    assert isinstance(settings.coder.token, LiteralSecret)


def test_the_environment_outdoes_the_file_in_every_form(tmp_path: Path) -> None:
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

    settings = load(written(tmp_path, LEAST + "poll:\n  interval: 60\n  jitter: 5\n"), environ)

    assert settings.coder.token == FileSecret(tmp_path / "token") or settings.coder.token.read()
    assert isinstance(settings.coder.token, FileSecret)
    assert settings.poll.interval == 600.0
    assert settings.poll.jitter == 5.0
    assert settings.insights.windows == ("today", "14d")
    assert settings.filters.templates.deny == ("acme/*",)
    assert settings.limits.families == {"coder_insights_user_info": 0}
    assert settings.server.enable_reload is True


def test_a_full_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("0123456789abcdef\n")
    text = LEAST + (
        "poll: {interval: 5m, offset: 0, deadline: 1m30s}\n"
        "insights:\n  windows: [today, 30d]\n  utc_offset: -5\n  anchor: 2026-01-01\n"
        "filters:\n  users: {deny: [bot-*]}\n"
        "privacy: {users: hashed, hash_key_file: secrets/key}\n"
        "agent_stats:\n  source: postgres\n  dsn_env: DSN\n  state_file: state.json\n"
        "server:\n"
        "otlp: {resource_attributes: {site: berlin}}\n"
    )

    settings = load(written(tmp_path, text), {"DSN": "postgres://ada:hunter2@db/coder"})

    assert (settings.poll.interval, settings.poll.offset, settings.poll.deadline) == (300.0, 0.0, 90.0)
    assert settings.insights.anchor == date(2026, 1, 1)
    assert settings.insights.utc_offset == -5
    assert settings.filters.users.deny == ("bot-*",)
    assert settings.privacy.hash_key is not None
    assert settings.privacy.hash_key.read().reveal() == "0123456789abcdef"
    assert settings.agent_stats.source is AgentStatsSource.POSTGRES
    assert settings.agent_stats.state_file == tmp_path / "state.json"
    assert settings.otlp.resource_attributes == {"site": "berlin"}


def test_off_is_a_word_where_words_are_wanted(tmp_path: Path) -> None:
    """YAML takes a bare ``off`` for false; who writes it means the word."""
    settings = load(written(tmp_path, LEAST + "privacy:\n  users: off\n"), {})

    assert settings.privacy.users is UserNames.OFF


def test_every_fault_is_told_at_once_with_line_key_expected_and_found(tmp_path: Path) -> None:
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

    found = problems(text, tmp_path, {"INSIGHTS_EXPORTER_POLL_OFSET": "1"})

    assert found[0].startswith("exporter.yaml:5: poll.intervall: expected one of deadline, interval, jitter,")
    assert found[0].endswith('found an unknown key (did you mean "interval"?).')
    assert found[1] == "exporter.yaml:13: server: expected a mapping of keys, found a list."
    assert found[2].startswith(
        "INSIGHTS_EXPORTER_POLL_OFSET: expected the name of a setting, found an unknown"
    )
    assert found[2].endswith('(did you mean "INSIGHTS_EXPORTER_POLL_OFFSET"?).')
    assert [line.partition(": expected")[0] for line in found[3:]] == [
        "exporter.yaml:2: coder.url",
        "exporter.yaml:3: coder.token_file",
        "exporter.yaml:6: poll.deadline",
        "exporter.yaml:8: insights.windows",
        "exporter.yaml:9: insights.days",
        "exporter.yaml:10: insights.weeks",
        "exporter.yaml:12: privacy.users",
        "exporter.yaml:15: limits.families",
    ]
    assert found[5].endswith('or a time such as 5m or 1h30m, found "soon".')
    assert found[9].endswith('expected named, hashed or off, found "hash" (did you mean "hashed"?).')
    assert found[10].endswith('(did you mean "coder_insights_user_info"?).')


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
def test_bad_values_are_named(text: str, expected: str, tmp_path: Path) -> None:
    found = problems(f"{LEAST}{text}\n", tmp_path)

    assert len(found) == 1
    assert expected in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize("text", ["- a list", "a text that is no mapping", "[]"])
def test_a_file_is_a_mapping(text: str, tmp_path: Path) -> None:
    found = problems(text, tmp_path)

    assert "exporter.yaml:1: expected a mapping of keys, found a" in found[0]


def test_an_empty_file_lacks_an_address_and_a_token(tmp_path: Path) -> None:
    assert problems("", tmp_path) == [
        "exporter.yaml: coder.url: expected an address such as https://coder.example.com, found nothing.",
        "exporter.yaml: coder.token: expected a session token, found nothing.",
    ]


def test_a_missing_file_is_one_fault_beside_what_it_would_have_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a readable YAML file, found No such file"):
        load(tmp_path / "none.yaml", {})


def test_a_secret_has_one_place(tmp_path: Path) -> None:
    text = f"coder:\n  url: https://coder.example.com\n  token: {TOKEN}\n  token_env: T\n"

    found = problems(text, tmp_path)

    expected = "expected one of token, token_file, token_env, found token and token_env."
    assert found == [f"exporter.yaml:3: coder.token: {expected}"]
    assert TOKEN not in "".join(found)


def test_a_secret_in_the_wrong_form_is_not_repeated(tmp_path: Path) -> None:
    text = f"coder:\n  url: https://coder.example.com\n  token: [{TOKEN}]\n  {TOKEN}\n"

    assert TOKEN not in "".join(problems(text, tmp_path))


def test_what_is_shown_has_no_secret_and_loads_again(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgres://ada:hunter2@db/coder")
    (tmp_path / "ca").write_text("")
    text = LEAST.rstrip() + (
        f"\n  ca_file: {tmp_path}/ca\n"
        "agent_stats: {source: postgres, dsn_file: dsn}\n"
        "privacy: {users: off}\nfilters: {users: {deny: [ada]}}\n"
        "insights: {anchor: 2026-01-01}\n"
    )
    settings = load(written(tmp_path, text), {})

    shown = masked(settings)

    assert TOKEN not in shown
    assert "hunter2" not in shown
    assert "ada" not in shown
    assert "token: '***'" in shown
    assert f"dsn_file: {tmp_path}/dsn" in shown
    clean = "".join(line for line in shown.splitlines(keepends=True) if not line.endswith(": null\n"))
    again = load(written(tmp_path, clean), {})
    assert masked(again) == shown
    assert again.insights == settings.insights
    assert again.agent_stats.source == settings.agent_stats.source


def test_a_repr_of_settings_shows_no_secret(tmp_path: Path) -> None:
    settings = load(
        written(tmp_path, LEAST), {"INSIGHTS_EXPORTER_SERVER_BEARER_TOKEN": "hunter2-hunter2-hunter2"}
    )

    assert TOKEN not in repr(settings)
    assert "hunter2" not in repr(settings)
