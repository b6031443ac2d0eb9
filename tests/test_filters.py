"""Names decide what is exported."""

from __future__ import annotations

import pytest

from insights_exporter.filters import Filters
from insights_exporter.settings import FilterSettings, NameFilter
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
def test_templates_match_by_name_or_where_there_is_a_slash_with_their_organization(
    *, allow: tuple[str, ...], deny: tuple[str, ...], admitted: bool
) -> None:
    filters = Filters(FilterSettings(templates=NameFilter(allow=allow, deny=deny)))

    assert filters.admits_template(TemplateKey("acme", "go-dev")) is admitted


def test_organization_that_is_left_out_takes_its_templates_along() -> None:
    filters = Filters(FilterSettings(organizations=NameFilter(allow=("acme",))))

    assert filters.admits_template(TemplateKey("acme", "go"))
    assert not filters.admits_template(TemplateKey("beta", "go"))


def test_users_match_by_name() -> None:
    filters = Filters(FilterSettings(users=NameFilter(deny=("svc-?",))))

    assert filters.admits_user("ada")
    assert not filters.admits_user("svc-1")
    assert filters.admits_user("svc-10")
    assert not filters.admits_all_users
    assert Filters().admits_all_users
