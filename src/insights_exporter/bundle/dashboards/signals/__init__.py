"""What panels ask for, by subject; nothing here knows how it is drawn or where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from insights_exporter.bundle.queries import HOUSE, Labels, Scope, like
from insights_exporter.metrics.catalogue import OTHER

__all__ = ["ONE", "SCOPE", "SEVERAL", "SOME_USERS", "WINDOW", "Where"]

Where = Mapping[str, Labels]
"""Matchers by label."""

SCOPE: Final = Scope(HOUSE)

ONE: Final[Where] = {"organization_name": "$organization", "template_name": "$template"}
"""The one template of the page."""

SEVERAL: Final[Where] = {"organization_name": like("$organization"), "template_name": like("$template")}
"""The templates that are selected, all to begin with."""

SOME_USERS: Final = like("$username").but(OTHER)
"""The users who are selected, all to begin with; those who are folded into one are nobody."""

WINDOW: Final[Where] = {"window": "$window"}
