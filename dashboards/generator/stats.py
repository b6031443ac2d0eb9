"""Stat panels: numbers that distinguish a missing value, a missing result and old data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import common, stat
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard

from dashboards.generator.panels import (
    SMALL_SHARE_MAPPING,
    Panel,
    PanelInfo,
    ValueMappings,
    null_mapping,
    threshold_properties,
    value_mapping,
    with_defaults,
)
from dashboards.generator.queries import self_metrics
from dashboards.generator.targets import Target, instant_query
from dashboards.generator.theme import NO_DATA, PLAIN_STEPS, TRANSPARENT, ThresholdSteps, threshold_config
from dashboards.generator.units import SHARE, Unit
from insights_exporter.bundle.promql import Expr

__all__ = ["NO_RESULT", "Stat", "stat_panel"]

NO_RESULT: Final = -9999
"""Value of a stat whose query has no result although the data is fresh; a mapping shows the text for it."""

_MISSING: Final = "No data"
_LINE_TEXT_SIZE: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """One number of a stat panel.

    ``query`` must return at most one series without labels. ``no_value`` is shown while it returns none
    although the data is fresh. Old data is not shown, unless the number is ``always_shown``. ``label``
    replaces the name where several queries share a cell.
    """

    name: str
    query: Expr | str
    unit: Unit
    description: str
    steps: ThresholdSteps = PLAIN_STEPS
    no_value: str = "No data"
    value_mappings: ValueMappings | None = None
    hide_if_absent: bool = False
    always_shown: bool = False
    label: str = ""

    def target(self) -> Target:
        """Return the target.

        Grafana drops cells without a series. NaN therefore stands for missing or old data, and another number
        for a query without a result.
        """
        if self.hide_if_absent:
            return instant_query(self.query, self.name)
        if self.always_shown:
            return instant_query(f"({self.query}) or vector(NaN)", self.name)
        fresh = self_metrics.fresh()
        absent = f"{fresh} * 0 + {NO_RESULT}"
        return instant_query(f"(({self.query}) and on () {fresh}) or {absent} or vector(NaN)", self.name)

    def properties(self) -> dict[str, Any]:
        """Return the properties of the number's field."""
        missing = self.no_value if self.always_shown else _MISSING
        mappings = [null_mapping(missing, TRANSPARENT)]
        value_mappings = dict(self.value_mappings or {})
        if not (self.hide_if_absent or self.always_shown):
            value_mappings[str(NO_RESULT)] = (self.no_value, TRANSPARENT)
        if value_mappings:
            mappings.append(value_mapping(value_mappings))
        if self.unit == SHARE:
            mappings.append(dict(SMALL_SHARE_MAPPING))
        found = {"unit": self.unit.id, "mappings": mappings, **threshold_properties(self.steps)}
        if self.label:
            found["displayName"] = self.label
        return found if self.unit.decimals is None else found | {"decimals": self.unit.decimals}


def stat_panel(
    title: str,
    stats: Sequence[Stat],
    *,
    description: str = "",
    no_value: str = NO_DATA,
    is_one_line: bool = False,
) -> Panel:
    """Return a panel with one cell per number; two cells stay side by side on a phone."""
    texts = [f"**{one.label or one.name}:** {one.description.removesuffix('.')}." for one in stats]
    texts = list(dict.fromkeys(texts))
    panel_info = PanelInfo(
        title=title,
        description="\n".join(filter(None, (description, *texts))),
        unit=Unit("none", ", ".join(dict.fromkeys(one.unit.description for one in stats))),
        no_value=no_value,
    )
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .color_mode(kinds.BigValueColorMode.BACKGROUND_SOLID)
        .text_mode(kinds.BigValueTextMode.VALUE_AND_NAME)
        # Name and value of a wide cell would be at its two ends.
        .wide_layout(is_one_line)
        .justify_mode(kinds.BigValueJustifyMode.CENTER if is_one_line else kinds.BigValueJustifyMode.AUTO)
        .thresholds(threshold_config(PLAIN_STEPS))
        .color_scheme(build.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    )
    if is_one_line:
        panel = panel.text(
            common.VizTextDisplayOptions().title_size(_LINE_TEXT_SIZE).value_size(_LINE_TEXT_SIZE)
        )
    overrides = [(one.name, one.properties()) for one in stats]
    return with_defaults(panel, panel_info, [one.target() for one in stats], overrides).build()
