"""PromQL of the panels, by subject; layout and style are in other modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from insights_exporter.bundle.promql import TARGET_MATCHERS, MatcherValue, QueryBuilder, regex
from insights_exporter.metrics.catalogue import OTHER

__all__ = ["ONE_TEMPLATE", "QUERY", "SELECTED_TEMPLATES", "SELECTED_USERS", "WINDOW", "Matchers"]

Matchers = Mapping[str, MatcherValue]

QUERY: Final = QueryBuilder(TARGET_MATCHERS)

ONE_TEMPLATE: Final[Matchers] = {"organization_name": "$organization", "template_name": "$template"}

SELECTED_TEMPLATES: Final[Matchers] = {
    "organization_name": regex("$organizations"),
    "template_name": regex("$templates"),
}

SELECTED_USERS: Final = regex("$username").excluding(OTHER)
"""The selected users, without the series that stands for all folded users."""

WINDOW: Final[Matchers] = {"window": "$window"}
