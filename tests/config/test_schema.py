"""The JSON Schema of exporter.yaml agrees with the loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from insights_exporter.config.errors import InvalidConfigError
from insights_exporter.config.loading import load
from insights_exporter.config.schema import SECTIONS, json_schema, keys
from insights_exporter.config.settings import Settings

DOCS_FOLDER = Path(__file__).parents[2] / "docs"
DEPLOY_FOLDER = Path(__file__).parents[2] / "deploy"
VALIDATOR = Draft202012Validator(json.loads(json_schema()))


class Yaml12Loader(yaml.SafeLoader):
    """Loader with the booleans of YAML 1.2, which editors use: ``off`` is a text; dates are texts, too."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # The class attribute of PyYAML has this form.
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if not tag.endswith(":timestamp") and not (tag.endswith(":bool") and first in "oOyYnN")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def schema_errors(text: str) -> list[str]:
    document: Any = yaml.load(text, Loader=Yaml12Loader)  # noqa: S506  # A subclass of SafeLoader.
    return [error.json_path for error in VALIDATOR.iter_errors(document)]


def test_the_schema_is_valid() -> None:
    Draft202012Validator.check_schema(VALIDATOR.schema)


def test_every_model_field_is_a_key_with_description_and_expected_values() -> None:
    def count(model: Any) -> int:
        annotations = [field.annotation for field in model.model_fields.values()]
        return sum(count(item) if hasattr(item, "model_fields") else 1 for item in annotations)

    assert len(list(keys())) == count(Settings)
    assert [key.path for key in keys() if not key.description or not key.expected] == []
    assert [section.path for section in SECTIONS if not section.description] == []


def test_the_documented_example_is_valid() -> None:
    page = (DOCS_FOLDER / "configuration.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]

    assert example.startswith("# yaml-language-server: $schema=")
    assert "coder:" in example
    assert schema_errors(example) == []


@pytest.mark.parametrize(
    "file", sorted(DEPLOY_FOLDER.rglob("exporter.yaml")), ids=lambda file: file.parent.name
)
def test_deployed_examples_are_valid(file: Path) -> None:
    assert schema_errors(file.read_text(encoding="utf-8")) == []


def test_the_committed_schema_is_up_to_date() -> None:
    assert (DOCS_FOLDER / "exporter.schema.json").read_text(encoding="utf-8") == json_schema()


def test_a_file_with_every_kind_of_value_is_valid(tmp_path: Path) -> None:
    text = (
        "coder: {url: 'https://coder.example.com', token: abcdefghij-klmnopqrstuvwxyzABCDEF}\n"
        "poll: {interval: 5m, offset: 0, deadline: 1m30s, jitter: 0.5}\n"
        "insights: {windows: [today, 30d], utc_offset: -5, anchor: 2026-01-01}\n"
        "filters: {users: {deny: [bot-*]}}\n"
        "privacy: {users: off}\n"
        "limits: {families: {coder_insights_users: 0}}\n"
        "agent_stats: {state_file: state.json, metrics_url: null}\n"
        "server:\n"
        "otlp: {protocol: grpc, resource_attributes: {site: berlin}}\n"
    )
    file = tmp_path / "exporter.yaml"
    file.write_text(text)

    assert schema_errors(text) == []
    assert load(file, {}).poll.deadline == 90.0


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("coder: {url: foo}", "$.coder.url"),
        ("coder: {url: 'https://ada:pw@coder'}", "$.coder.url"),
        ("coder: {token: a, token_env: b}", "$.coder"),
        ("coder: {workspace_page_size: 1001}", "$.coder.workspace_page_size"),
        ("coder: [1]", "$.coder"),
        ("poll: {intervall: 1}", "$.poll"),
        ("poll: {interval: 0}", "$.poll.interval"),
        ("poll: {deadline: soon}", "$.poll.deadline"),
        ("insights: {windows: [fortnight]}", "$.insights.windows[0]"),
        ("insights: {windows: []}", "$.insights.windows"),
        ("filters: {users: {deny: ['']}}", "$.filters.users.deny[0]"),
        ("privacy: {users: hash}", "$.privacy.users"),
        ("limits: {families: {coder_insights_users: -1}}", "$.limits.families.coder_insights_users"),
        ("server: {port: 70000}", "$.server.port"),
        ("server: {open_metrics: true}", "$.server"),
        ("log: {level: loud}", "$.log.level"),
        ("unknown: 1", "$"),
    ],
)
def test_schema_and_loader_reject_the_same_files(text: str, path: str, tmp_path: Path) -> None:
    file = tmp_path / "exporter.yaml"
    file.write_text(text)

    assert schema_errors(text) == [path]
    with pytest.raises(InvalidConfigError):
        load(file, {"CODER_URL": "https://coder.example.com", "CODER_SESSION_TOKEN": "token"})


def test_no_key_is_required_as_the_environment_can_supply_it() -> None:
    assert schema_errors("coder: {}") == []
