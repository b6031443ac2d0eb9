"""Tables: which columns stand in which order, how each looks, and what is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard

from dashboards.generator import units
from dashboards.generator.panels import Panel, PanelInfo, with_defaults
from dashboards.generator.targets import Target, table_query
from dashboards.generator.theme import (
    ACCENT_STEPS,
    GREEN,
    LATENCY_MS_STEPS,
    PROBLEM_COUNT_STEPS,
    RED,
    ThresholdSteps,
    template_link,
)
from dashboards.generator.units import Unit
from insights_exporter.bundle.promql import Expr

__all__ = [
    "ORGANIZATION_COLUMN",
    "TEMPLATE_COLUMN",
    "TREND_STEPS",
    "CellStyle",
    "Column",
    "custom_table_panel",
    "latency_column",
    "problem_column",
    "share_column",
    "table_panel",
    "trend_column",
]


class CellStyle(Enum):
    """How a cell is drawn; shades go from the least to the most of all cells."""

    TEXT = "auto"
    GAUGE = "gauge"
    COLORED_BACKGROUND = "color-background"
    SHADED_BACKGROUND = "shade"
    COLORED_TEXT = "color-text"
    IMAGE = "image"

    @property
    def options(self) -> dict[str, str]:
        """Return Grafana's options of the cell."""
        extra_options = {
            CellStyle.GAUGE: {"mode": "basic", "valueDisplayMode": "text"},
            CellStyle.COLORED_BACKGROUND: {"mode": "basic"},
            CellStyle.SHADED_BACKGROUND: {"mode": "basic"},
        }
        cell_type = CellStyle.COLORED_BACKGROUND.value if self is CellStyle.SHADED_BACKGROUND else self.value
        return {"type": cell_type} | extra_options.get(self, {})


_MIN_COLUMN_WIDTH: Final = 80
"""Pixels; by itself Grafana lets no column become narrower than 150, and the last ones fall off the edge."""

TREND_STEPS: Final[ThresholdSteps] = ((None, RED), (-0.1, "text"), (0.1, GREEN))
"""Colours of a change: it matters from a tenth on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: ``source`` is a label, or the letter of the query whose number it shows."""

    source: str
    title: str
    unit: Unit | None = None
    cell_style: CellStyle = CellStyle.TEXT
    steps: ThresholdSteps = ACCENT_STEPS
    width: int | None = None
    max_value: float | None = None
    no_value: str = "-"
    value_mappings: Mapping[str, str] | None = None
    link: Mapping[str, str] | None = None

    def properties(self) -> dict[str, Any]:
        """Return what Grafana is told about the field."""
        found: dict[str, Any] = {"custom.cellOptions": self.cell_style.options, "noValue": self.no_value}
        if self.unit is not None:
            found |= {"unit": self.unit.id, "custom.align": "right"}
            if self.unit.decimals is not None:
                found["decimals"] = self.unit.decimals
        if self.cell_style is CellStyle.GAUGE:
            found |= {"min": 0, "custom.align": "auto"}
            found |= {"fieldMinMax": True} if self.max_value is None else {"max": self.max_value}
        if self.cell_style is CellStyle.SHADED_BACKGROUND:
            found["color"] = {"mode": "continuous-purples"}
        elif self.cell_style not in {CellStyle.TEXT, CellStyle.IMAGE}:
            found["thresholds"] = {"mode": "absolute", "steps": _threshold_steps(self.steps)}
            found["color"] = {"mode": "thresholds"}
            # Without it, nothing looks as good as the best.
            found["mappings"] = [
                _null_mapping(
                    self.no_value, "text" if self.cell_style is CellStyle.COLORED_TEXT else "transparent"
                )
            ]
        if self.width is not None:
            found["custom.width"] = self.width
        if self.value_mappings is not None:
            options = {
                key: {"text": text, "index": index}
                for index, (key, text) in enumerate(self.value_mappings.items())
            }
            found["mappings"] = [*found.get("mappings", ()), {"type": "value", "options": options}]
        if self.link is not None:
            found["links"] = [dict(self.link)]
        return found


ORGANIZATION_COLUMN: Final = Column(source="organization_name", title="Organization", width=110)
TEMPLATE_COLUMN: Final = Column(source="template_name", title="Template", link=template_link())
"""Where each row of a table on templates begins; the name leads to the template's own page."""


def latency_column(source: str, title: str, *, width: int | None = None, no_value: str = "-") -> Column:
    """Return round trips in milliseconds, as the title says, on the colours of Coder's page."""
    return Column(
        source=source,
        title=f"{title} (ms)",
        unit=units.MILLISECONDS,
        cell_style=CellStyle.COLORED_BACKGROUND,
        steps=LATENCY_MS_STEPS,
        width=width,
        no_value=no_value,
    )


def problem_column(source: str, title: str, noun: str, *, width: int | None = None) -> Column:
    """Return a count of things that there should be none of."""
    unit = units.count_of(noun)
    return Column(
        source=source,
        title=title,
        unit=unit,
        cell_style=CellStyle.COLORED_TEXT,
        steps=PROBLEM_COUNT_STEPS,
        width=width,
    )


def share_column(source: str, title: str, steps: ThresholdSteps = ACCENT_STEPS) -> Column:
    """Return a share of a whole as a bar."""
    return Column(
        source=source, title=title, unit=units.SHARE, cell_style=CellStyle.GAUGE, steps=steps, max_value=1
    )


def trend_column(source: str, title: str) -> Column:
    """Return a change in green and red."""
    return Column(
        source=source,
        title=title,
        unit=units.RELATIVE_CHANGE,
        cell_style=CellStyle.COLORED_TEXT,
        steps=TREND_STEPS,
    )


def _null_mapping(text: str, color: str) -> dict[str, Any]:
    result = {"text": text, "color": color, "index": 0}
    return {"type": "special", "options": {"match": "null+nan", "result": result}}


def _threshold_steps(steps: ThresholdSteps) -> list[dict[str, Any]]:
    return [{"value": value, "color": color} for value, color in steps]


def table_panel(
    panel_info: PanelInfo,
    queries: Sequence[Expr],
    columns: Sequence[Column],
    *,
    sort: str = "",
    descending: bool = True,
) -> Panel:
    """Return a table whose rows join the queries by the labels that all of them have."""
    fields = _field_names(queries, columns)
    labels = [label for query in queries for label in query.labels]
    titles_by_field = {fields[column.source]: column.title for column in columns}
    hidden = dict.fromkeys(
        field for field in ("Time", *labels, *fields.values()) if field not in titles_by_field
    )
    organize_options = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {field: index for index, field in enumerate(titles_by_field)},
        "renameByName": titles_by_field,
    }
    transformations: list[tuple[str, Mapping[str, Any]]] = [("organize", organize_options)]
    if len(queries) > 1:
        transformations.insert(0, ("merge", {}))
    return custom_table_panel(
        panel_info,
        [table_query(query) for query in queries],
        columns,
        transformations=transformations,
        sort=sort,
        descending=descending,
    )


def _field_names(queries: Sequence[Expr], columns: Sequence[Column]) -> dict[str, str]:
    """Return the name that Grafana gives to each label and to the number of each query."""
    letters = ascii_uppercase[: len(queries)]
    value_fields = {letter: f"Value #{letter}" for letter in letters} if len(queries) > 1 else {"A": "Value"}
    label_fields = {label: label for query in queries for label in query.labels}
    if unknown := {column.source for column in columns} - set(label_fields) - set(value_fields):
        raise ValueError(f"Expected columns out of the queries, found {', '.join(sorted(unknown))}.")
    if ambiguous := {column.title for column in columns} & {"Value", *value_fields.values(), *label_fields}:
        # Grafana would give what is said of one field to both.
        raise ValueError(f"Expected titles unlike names of fields, found {', '.join(sorted(ambiguous))}.")
    return label_fields | value_fields


def custom_table_panel(
    panel_info: PanelInfo,
    targets: Sequence[Target],
    columns: Sequence[Column],
    *,
    transformations: Sequence[tuple[str, Mapping[str, Any]]],
    sort: str = "",
    descending: bool = True,
) -> Panel:
    """Return a table made by transformations of one's own."""
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(kinds.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).reducer([]).count_rows(False))
        .filterable(False)
        .min_width(_MIN_COLUMN_WIDTH)
    )
    for name, options in transformations:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val=name, options=options))
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    overrides = [(column.title, column.properties()) for column in columns]
    return with_defaults(panel, panel_info, targets, overrides).build()
