"""Loading of exporter.yaml and of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from insights_exporter.config.errors import InvalidConfigError
from insights_exporter.config.loading import load
from insights_exporter.config.secret_settings import redacted_dump
from insights_exporter.config.settings import AgentStatsSource, Settings, UsernameMode
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import EnvironmentSecret, FileSecret, LiteralSecret

TOKEN = "abcdefghij-klmnopqrstuvwxyzABCDEF"
FAMILY_NAMES = {"coder_insights_user_info", "coder_insights_users"}
MINIMAL_CONFIG = f"coder:\n  url: https://coder.example.com\n  token: {TOKEN}\n"


def write_config(folder: Path, text: str) -> Path:
    file = folder / "exporter.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(text: str, folder: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the problems of a file, without the folder in their locations."""
    with pytest.raises(InvalidConfigError) as caught:
        load(write_config(folder, text), environ or {}, family_names=FAMILY_NAMES)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


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

    assert settings.coder.token == FileSecret(tmp_path / "token")
    assert settings.coder.token.read().reveal() == TOKEN
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
    """YAML 1.1 reads a bare ``off`` as false. The reader keeps the text."""
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

    assert [line.partition(": expected")[0] for line in messages] == [
        "exporter.yaml:2: coder.url",
        "exporter.yaml:3: coder.token_file",
        "exporter.yaml:5: poll.intervall",
        "exporter.yaml:6: poll.deadline",
        "exporter.yaml:8: insights.windows",
        "exporter.yaml:9: insights.days",
        "exporter.yaml:10: insights.weeks",
        "exporter.yaml:12: privacy.users",
        "exporter.yaml:13: server",
        "exporter.yaml:15: limits.families",
        "INSIGHTS_EXPORTER_POLL_OFSET",
    ]
    assert messages[0].endswith('expected an http(s) URL, got "coder.example.com"')
    assert "expected one of deadline, interval, jitter," in messages[2]
    assert messages[2].endswith('got an unknown key (did you mean "interval"?)')
    assert messages[3].endswith('or a duration such as 5m or 1h30m, got "soon"')
    assert messages[7].endswith('expected named, hashed or off, got "hash" (did you mean "hashed"?)')
    assert messages[8].endswith("expected a mapping of keys, got a list")
    assert messages[9].endswith('(did you mean "coder_insights_user_info"?)')
    assert messages[10].endswith(
        'expected the name of a setting, got an unknown name (did you mean "INSIGHTS_EXPORTER_POLL_OFFSET"?)'
    )


def test_a_conflict_between_keys_is_reported_beside_other_problems(tmp_path: Path) -> None:
    messages = problems(MINIMAL_CONFIG + "poll: {interval: 60, offset: later, deadline: 90}\n", tmp_path)

    assert [line.partition(": expected")[0] for line in messages] == [
        "exporter.yaml:4: poll.offset",
        "exporter.yaml:4: poll.deadline",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "poll: {deadline: 400}",
            "poll.deadline: expected at most poll.interval (300 s), so that polls do not overlap, got 400 s",
        ),
        ("poll: {offset: 290}", "poll.offset: expected offset + jitter < interval (300 s), got 300 s"),
        ("poll: {max_staleness: 60}", "poll.max_staleness: expected at least poll.interval (300 s)"),
        ("privacy: {users: hashed}", "privacy.hash_key: expected a key (hash_key_file"),
        ("privacy: {hash_key: short}", "privacy.hash_key: expected at least 16 characters, got 5 characters"),
        (
            "privacy: {min_group_size: 5}",
            (
                "privacy.min_group_size: expected 0 or 1 with users: named "
                "(a series per user describes one person), or users: off, got 5"
            ),
        ),
        (
            "privacy: {users: hashed, hash_key: sixteen-characters, min_group_size: 2}",
            (
                "privacy.min_group_size: expected 0 or 1 with users: hashed "
                "(a series per user describes one person)"
            ),
        ),
        ("agent_stats: {source: postgres}", "agent_stats.dsn: expected a connection string"),
        ("poll: {interval: .inf}", "poll.interval: expected seconds > 0"),
        ("poll: {interval: -1}", "poll.interval: expected seconds > 0"),
        ("server: {port: 70000}", "server.port: expected a whole number from 0 to 65535, got 70000"),
        ("server: {port: 1.5}", 'server.port: expected a whole number from 0 to 65535, got "1.5"'),
        ("server: {port: }", "server.port: expected a whole number from 0 to 65535, got nothing"),
        ("server: {enable_reload: 2}", 'server.enable_reload: expected true or false, got "2"'),
        ("server: {host: [a]}", "server.host: expected a text, got a list"),
        (
            "insights: {windows: today}",
            'expected a list of "today", "yesterday" or days such as "7d", got a text',
        ),
        ("insights: {windows: []}", "got an empty list"),
        (
            "insights: {windows: [[a]]}",
            'expected "today", "yesterday" or days such as "7d", got a list',
        ),
        ("insights: {anchor: 2026-13-01}", 'expected a date such as 2026-01-01, got "2026-13-01"'),
        ("log: {level: loud}", "log.level: expected debug, info, warning or error"),
        ("poll: {jitter: 1, jitter: 2}", "poll.jitter: expected each key once, got a duplicate key"),
        ("limits: {families: {coder_insights_users: -1}}", "limits.families.coder_insights_users: expected"),
        ("otlp: {endpoint: 'http://ada:hunter2@otel'}", "got a URL with a user or password"),
        ("agent_stats: {metrics_url: 'ada:hunter2@h'}", "got another text"),
        ("server: {web_config_file: none.yaml}", "server.web_config_file: expected the path of a readable"),
        ("? [a]\n: b", "expected a text as key, got a list"),
        ("poll: *hunter2", "expected YAML, got a syntax error: undefined alias …"),
        ("just text", "expected YAML, got a syntax error"),
        ("poll: {hunter2", "expected YAML, got a syntax error: expected ',' or '}'"),
        ("server: {open_metrics: true}", "expected the new name server.public_metrics, got the old name"),
        ("server: {open_page: true}", "expected the new name server.public_page, got the old name"),
        ("x: " + 5000 * "[", "exporter.yaml:4: expected at most 32 nested levels, got more"),
        ("x: &x [*x]", "exporter.yaml:4: expected at most 20000 values, got more"),
        (
            "\n".join(f"x{n + 1}: &x{n + 1} [{', '.join(10 * [f'*x{n}'])}]" for n in range(8)).replace(
                "*x0", "y"
            ),
            "expected at most 20000 values, got more, after expansion of aliases",
        ),
        ("filters: {users: {deny: ['']}}", "filters.users.deny: expected a shell pattern, got nothing"),
        ("otlp: {resource_attributes: {a: [1]}}", "otlp.resource_attributes.a: expected a text, got a list"),
        ("poll: {interval: 5 minutes}", 'or a duration such as 5m or 1h30m, got "5 minutes"'),
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

    assert "exporter.yaml:1: expected a mapping of keys, got a" in messages[0]


def test_empty_file_reports_required_settings(tmp_path: Path) -> None:
    assert problems("", tmp_path) == [
        "exporter.yaml: coder.url: expected an http(s) URL, got nothing",
        "exporter.yaml: coder.token: expected a session token, got nothing",
    ]


def test_missing_file_is_a_single_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: expected a readable YAML file, got No such file"):
        load(tmp_path / "none.yaml", {})


def test_secret_in_two_forms_is_rejected(tmp_path: Path) -> None:
    text = f"coder:\n  url: https://coder.example.com\n  token: {TOKEN}\n  token_env: T\n"

    messages = problems(text, tmp_path)

    expected = "expected one of token, token_file, token_env, got token and token_env"
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
    reloaded = load(write_config(tmp_path, dump), {})
    assert redacted_dump(reloaded) == dump
    assert reloaded.insights == settings.insights
    assert reloaded.agent_stats.source == settings.agent_stats.source


def test_no_representation_shows_a_secret(tmp_path: Path) -> None:
    settings = load(
        write_config(tmp_path, MINIMAL_CONFIG),
        {"INSIGHTS_EXPORTER_SERVER_BEARER_TOKEN": "hunter2-hunter2-hunter2"},
    )

    for text in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert TOKEN not in text
        assert "hunter2" not in text


def test_old_variables_name_the_new_ones(tmp_path: Path) -> None:
    messages = problems(MINIMAL_CONFIG, tmp_path, {"INSIGHTS_EXPORTER_SERVER_OPEN_METRICS": "true"})

    new_name = "INSIGHTS_EXPORTER_SERVER_PUBLIC_METRICS"
    assert messages == [
        f"INSIGHTS_EXPORTER_SERVER_OPEN_METRICS: expected the new name {new_name}, got the old name"
    ]


def test_null_means_not_set(tmp_path: Path) -> None:
    text = MINIMAL_CONFIG + "insights: {anchor: null}\nserver: null\nfilters: {users: }\n"

    assert load(write_config(tmp_path, text), {}) == load(write_config(tmp_path, MINIMAL_CONFIG), {})


def test_an_item_of_an_overridden_list_has_the_location_of_the_variable(tmp_path: Path) -> None:
    text = (
        MINIMAL_CONFIG + "insights: {windows: [today, 7d]}\nlimits: {families: {coder_insights_users: 1}}\n"
    )
    environ = {
        "INSIGHTS_EXPORTER_INSIGHTS_WINDOWS": "today,fortnight",
        "INSIGHTS_EXPORTER_LIMITS_FAMILIES": "coder_insights_users=few",
    }

    assert [message.partition(": expected")[0] for message in problems(text, tmp_path, environ)] == [
        "INSIGHTS_EXPORTER_INSIGHTS_WINDOWS: insights.windows",
        "INSIGHTS_EXPORTER_LIMITS_FAMILIES: limits.families.coder_insights_users",
    ]


def test_problems_of_sections_and_lists_have_the_line_of_the_key(tmp_path: Path) -> None:
    text = (
        MINIMAL_CONFIG + "pol:\n  interval: 60\ninsights:\n  windows:\n  - today\n  - later\nlog:\n  - info\n"
    )

    assert [message.partition(": expected")[0] for message in problems(text, tmp_path)] == [
        "exporter.yaml:4: pol",
        "exporter.yaml:9: insights.windows",
        "exporter.yaml:10: log",
    ]
