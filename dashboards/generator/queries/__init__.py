"""What panels ask for, by subject; nothing here knows how it is drawn or where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from insights_exporter.bundle.promql import TARGET_MATCHERS, MatcherValue, QueryBuilder, regex
from insights_exporter.metrics.catalogue import OTHER

__all__ = ["ONE_TEMPLATE", "QUERY", "SELECTED_TEMPLATES", "SELECTED_USERS", "WINDOW", "Matchers"]

Matchers = Mapping[str, MatcherValue]
"""Matchers by label."""

QUERY: Final = QueryBuilder(TARGET_MATCHERS)

ONE_TEMPLATE: Final[Matchers] = {"organization_name": "$organization", "template_name": "$template"}
"""The one template of the page."""

SELECTED_TEMPLATES: Final[Matchers] = {
    "organization_name": regex("$organization"),
    "template_name": regex("$template"),
}
"""The templates that are selected, all to begin with."""

SELECTED_USERS: Final = regex("$username").excluding(OTHER)
"""The users who are selected, all to begin with; those who are folded into one are nobody."""

WINDOW: Final[Matchers] = {"window": "$window"}
