"""Names decide what is exported."""

from __future__ import annotations

import pytest

from insights_exporter.config.settings import FilterSettings, NameFilter
from insights_exporter.filters import Filters
from insights_exporter.snapshot import TemplateKey


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
