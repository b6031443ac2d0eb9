"""Filters, usernames and parameter values."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.config.settings import FilterSettings, NameFilter, UsernameMode
from insights_exporter.privacy import Filters, UsernamePolicy, parameter_value_filter
from insights_exporter.snapshot import ParameterOption, ParameterUsage, TemplateKey


def test_named_mode_returns_username() -> None:
    assert UsernamePolicy(UsernameMode.NAMED).pseudonymize("ada") == "ada"


def test_off_mode_returns_none() -> None:
    assert UsernamePolicy(UsernameMode.OFF).pseudonymize("ada") is None


def test_hashed_mode_returns_truncated_hmac() -> None:
    """Computed with ``printf ada | openssl dgst -sha256 -hmac key``."""
    assert UsernamePolicy(UsernameMode.HASHED, b"key").pseudonymize("ada") == "user-708a727d2475357e"


def test_hash_depends_on_key() -> None:
    first, repeated, other = (
        UsernamePolicy(UsernameMode.HASHED, key).pseudonymize("ada") for key in (b"a", b"a", b"b")
    )

    assert first == repeated
    assert first != other


def test_hashed_mode_requires_key() -> None:
    with pytest.raises(ValueError, match="expected a key"):
        UsernamePolicy(UsernameMode.HASHED)


@settings(max_examples=100)
@given(st.text(st.characters()))
def test_hash_format_is_stable_for_any_username(name: str) -> None:
    hashed = UsernamePolicy(UsernameMode.HASHED, b"key").pseudonymize(name)

    assert hashed is not None
    assert len(hashed) == len("user-") + 16
    assert set(hashed.removeprefix("user-")) <= set("0123456789abcdef")


OPTIONS = (ParameterOption("eu"), ParameterOption("us"))


@pytest.mark.parametrize(
    ("parameter_type", "options", "value", "visible"),
    [
        ("string", OPTIONS, "eu", True),
        ("string", OPTIONS, "ada's own", False),
        ("string", OPTIONS, "", True),
        ("string", (), "", True),
        ("string", (), "true", False),
        ("bool", (), "true", True),
        ("bool", (), "yes", False),
        ("list(string)", OPTIONS, '["us", "eu"]', True),
        ("list(string)", OPTIONS, "[]", True),
        ("list(string)", OPTIONS, '["eu", "ada"]', False),
        ("list(string)", OPTIONS, '[["eu"]]', False),
        ("list(string)", OPTIONS, "[" * 100_000, False),
        ("list(string)", (), "[]", False),
        ("string", OPTIONS, '["us", "eu"]', False),
    ],
    ids=lambda case: case if isinstance(case, str) and len(case) < 20 else None,
)
def test_parameter_values_that_the_template_declares_are_visible(
    *, parameter_type: str, options: tuple[ParameterOption, ...], value: str, visible: bool
) -> None:
    usage = ParameterUsage("region", parameter_type, "", {}, options)

    assert parameter_value_filter(usage, show_free_text=False)(value) is visible
    assert parameter_value_filter(usage, show_free_text=True)(value)


@pytest.mark.parametrize(
    ("allow", "deny", "admitted"),
    [
        ((), (), True),
        (("go-*",), (), True),
        (("acme/go-*",), (), True),
        (("beta/*",), (), False),
        (("rust",), (), False),
        ((), ("go-dev",), False),
        (("go-dev",), ("acme/*",), False),
        (("GO-DEV",), (), False),
        (("ac*",), (), False),
        ((), ("ac*",), True),
        ((), ("ac*/*",), False),
        (("*/go-*",), (), True),
    ],
)
def test_template_patterns_match_name_or_organization_and_name(
    *, allow: tuple[str, ...], deny: tuple[str, ...], admitted: bool
) -> None:
    filters = Filters(FilterSettings(templates=NameFilter(allow=allow, deny=deny)))

    assert filters.allows_template(TemplateKey("acme", "go-dev")) is admitted


def test_filtered_organization_excludes_its_templates() -> None:
    filters = Filters(FilterSettings(organizations=NameFilter(allow=("acme",))))

    assert filters.allows_template(TemplateKey("acme", "go"))
    assert not filters.allows_template(TemplateKey("beta", "go"))


def test_users_match_by_name() -> None:
    filters = Filters(FilterSettings(users=NameFilter(deny=("svc-?",))))

    assert filters.allows_user("ada")
    assert not filters.allows_user("svc-1")
    assert filters.allows_user("svc-10")
    assert not filters.allows_all_users
    assert Filters().allows_all_users
