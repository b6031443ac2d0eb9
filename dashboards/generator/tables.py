"""Tables: columns, cell styles and transformations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import common, table
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard

from dashboards.generator import units
from dashboards.generator.panels import (
    SMALL_SHARE_MAPPING,
    Panel,
    PanelInfo,
    null_mapping,
    threshold_properties,
    with_defaults,
)
from dashboards.generator.targets import Target, table_query
from dashboards.generator.theme import (
    ACCENT,
    ACCENT_STEPS,
    GREEN,
    LATENCY_MS_STEPS,
    PROBLEM_COUNT_STEPS,
    RED,
    TRANSPARENT,
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
    "p95_column",
    "problem_column",
    "share_column",
    "table_panel",
    "trend_column",
]


class CellStyle(Enum):
    """Style of a cell; shades run from the smallest to the largest value of all cells."""

    TEXT = "auto"
    GAUGE = "gauge"
    COLORED_BACKGROUND = "color-background"
    SHADED_BACKGROUND = "shade"
    IMAGE = "image"

    @property
    def options(self) -> dict[str, str]:
        """Return Grafana's cell options."""
        extra_options = {
            CellStyle.GAUGE: {"mode": "basic", "valueDisplayMode": "text"},
            CellStyle.COLORED_BACKGROUND: {"mode": "basic"},
            CellStyle.SHADED_BACKGROUND: {"mode": "basic"},
        }
        cell_type = CellStyle.COLORED_BACKGROUND.value if self is CellStyle.SHADED_BACKGROUND else self.value
        return {"type": cell_type} | extra_options.get(self, {})


_MIN_COLUMN_WIDTH: Final = 80
"""Pixels. Grafana's default of 150 pushes the last columns beyond the edge."""

_CHARACTER_WIDTH: Final = 7.5
_HEADER_PADDING: Final = 18
_SORT_ARROW: Final = 26
"""Pixels of a header: a character on average, the padding, and the arrow of the sorted column."""

_MIN_GAUGE_WIDTH: Final = 125
_MIN_TEXT_WIDTH: Final = 110
"""Widths with which a phone shows whole names, and a bar beside its number; the table then scrolls."""

_REDUCER: Final = "lastNotNull"
_FIRST: Final = "firstNotNull"

TREND_STEPS: Final[ThresholdSteps] = ((None, RED), (-0.1, TRANSPARENT), (0.1, GREEN))
"""Changes of less than 10 % have no colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column; ``source`` is a label, or the letter of the query whose value it shows."""

    source: str
    title: str
    unit: Unit | None = None
    cell_style: CellStyle = CellStyle.TEXT
    steps: ThresholdSteps = ACCENT_STEPS
    width: int | None = None
    min_width: int | None = None
    max_value: float | None = None
    no_value: str = "-"
    value_mappings: Mapping[str, str] | None = None
    link: Mapping[str, str] | None = None
    hide_text: bool = False

    def properties(self, *, is_sorted: bool = False) -> dict[str, Any]:
        """Return the properties of the column's field."""
        header_width = round(_CHARACTER_WIDTH * len(self.title)) + _HEADER_PADDING + _SORT_ARROW * is_sorted
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
            # Without the mapping, a missing value has the colour of the first threshold.
            found |= threshold_properties(self.steps)
            found["mappings"] = [null_mapping(self.no_value, TRANSPARENT)]
        elif self.unit is not None:
            found["mappings"] = [null_mapping(self.no_value, "text")]
        if self.unit == units.SHARE:
            found["mappings"] = [*found.get("mappings", ()), SMALL_SHARE_MAPPING]
        if self.hide_text:
            options = {"from": -1e9, "to": 1e9, "result": {"text": " ", "index": 0}}
            found["mappings"] = [*found.get("mappings", ()), {"type": "range", "options": options}]
        if self.width is not None:
            found["custom.width"] = max(self.width, header_width)
        elif self.cell_style is not CellStyle.SHADED_BACKGROUND:
            found["custom.minWidth"] = self.min_width or max(self._content_width(), header_width)
        if self.value_mappings is not None:
            options = {
                key: {"text": text, "index": index}
                for index, (key, text) in enumerate(self.value_mappings.items())
            }
            found["mappings"] = [*found.get("mappings", ()), {"type": "value", "options": options}]
        if self.link is not None:
            found["links"] = [dict(self.link)]
        return found

    def _content_width(self) -> int:
        if self.cell_style is CellStyle.GAUGE:
            return _MIN_GAUGE_WIDTH
        return _MIN_COLUMN_WIDTH if self.unit else _MIN_TEXT_WIDTH


ORGANIZATION_COLUMN: Final = Column(source="organization_name", title="Organization", width=110)
TEMPLATE_COLUMN: Final = Column(source="template_name", title="Template", link=template_link(), min_width=115)
"""First columns of a table by template; the name links to Template Insights."""


def latency_column(source: str, title: str, *, width: int | None = None, no_value: str = "-") -> Column:
    """Return the p50 of a user, in the colours of Coder's page."""
    return Column(
        source=source,
        title=title,
        unit=units.MILLISECONDS,
        cell_style=CellStyle.COLORED_BACKGROUND,
        steps=LATENCY_MS_STEPS,
        width=width,
        no_value=no_value,
    )


def p95_column(source: str, title: str, *, width: int | None = None, no_value: str = "-") -> Column:
    """Return a p95 or a quantile over users; Coder's colours do not apply to it."""
    return Column(source=source, title=title, unit=units.MILLISECONDS, width=width, no_value=no_value)


def problem_column(source: str, title: str, noun: str, *, width: int | None = None) -> Column:
    """Return a count whose normal value is 0."""
    unit = units.count_of(noun)
    return Column(
        source=source,
        title=title,
        unit=unit,
        cell_style=CellStyle.COLORED_BACKGROUND,
        steps=PROBLEM_COUNT_STEPS,
        width=width,
    )


def share_column(source: str, title: str, steps: ThresholdSteps = ACCENT_STEPS) -> Column:
    """Return a share as a bar; steps without a colour have the accent."""
    visible_steps = tuple((value, ACCENT if color == TRANSPARENT else color) for value, color in steps)
    return Column(
        source=source,
        title=title,
        unit=units.SHARE,
        cell_style=CellStyle.GAUGE,
        steps=visible_steps,
        max_value=1,
    )


def trend_column(source: str, title: str, *, width: int | None = None, no_value: str = "-") -> Column:
    """Return a relative change, green or red from 10 % on."""
    return Column(
        source=source,
        title=title,
        unit=units.RELATIVE_CHANGE,
        cell_style=CellStyle.COLORED_BACKGROUND,
        steps=TREND_STEPS,
        width=width,
        no_value=no_value,
    )


def table_panel(  # noqa: PLR0913 - each argument is an option of the table.
    panel_info: PanelInfo,
    queries: Sequence[Expr],
    columns: Sequence[Column],
    *,
    sort: str = "",
    descending: bool = True,
    base: Expr | None = None,
    tied: Sequence[str] = (),
    always_shown: bool = False,
) -> Panel:
    """Return a table whose rows join the results of the queries by their common labels.

    ``base`` returns all rows, by default the first query. Where another query has no value for a row, NaN
    stands for it, so that its column does not disappear. ``tied`` are labels with several values of equal
    rank per row, such as the most chosen options of a parameter; the row shows the first of them in
    alphabetical order. Databases order the results of ``topk`` differently.
    """
    queries = [_complete(query, base or queries[0]) for query in queries]
    fields = _field_names(queries, columns)
    shown = [fields[column.source] for column in columns]
    labels = dict.fromkeys(
        label for query in queries for label in query.labels if label in shown or label not in tied
    )
    group_fields: dict[str, Any] = {
        label: {"operation": "groupby", "aggregations": []} for label in labels if label not in tied
    }
    reducers = {field: _FIRST if field in tied else _REDUCER for field in shown if field not in group_fields}
    group_fields |= {
        field: {"operation": "aggregate", "aggregations": [reducer]} for field, reducer in reducers.items()
    }
    names = {field: f"{field} ({reducer})" for field, reducer in reducers.items()}
    titles_by_field = {
        names.get(fields[column.source], fields[column.source]): column.title for column in columns
    }
    organize_options = {
        "excludeByName": dict.fromkeys((label for label in labels if label not in shown), True),
        "indexByName": {field: index for index, field in enumerate(titles_by_field)},
        "renameByName": titles_by_field,
    }
    transformations: list[tuple[str, Mapping[str, Any]]] = [
        # Grafana drops an empty result here. It would otherwise show the headers of the values alone.
        ("groupBy", {"fields": group_fields}),
        ("organize", organize_options),
    ]
    if len(queries) > 1:
        transformations.insert(0, ("merge", {}))
    # The sort is stable, so the last one decides first. Merged rows keep the order of the results.
    for field in (field for field in tied if field in shown):
        transformations.insert(0, ("sortBy", {"fields": {}, "sort": [{"field": field}]}))
    return custom_table_panel(
        panel_info,
        [table_query(query, always_shown=always_shown) for query in queries],
        columns,
        transformations=transformations,
        sort=sort,
        descending=descending,
    )


def _complete(query: Expr, base: Expr) -> Expr:
    if query.text == base.text or set(query.labels) != set(base.labels):
        return query
    return replace(query, text=f"{query} or {base} * NaN", max_operand="")


def _field_names(queries: Sequence[Expr], columns: Sequence[Column]) -> dict[str, str]:
    """Return Grafana's field name of each label and of the value of each query."""
    letters = ascii_uppercase[: len(queries)]
    value_fields = {letter: f"Value #{letter}" for letter in letters} if len(queries) > 1 else {"A": "Value"}
    label_fields = {label: label for query in queries for label in query.labels}
    if unknown := {column.source for column in columns} - set(label_fields) - set(value_fields):
        raise ValueError(
            f"columns: expected labels or letters of the queries, got {', '.join(sorted(unknown))}"
        )
    if ambiguous := {column.title for column in columns} & {"Value", *value_fields.values(), *label_fields}:
        # Grafana would apply an override to both fields.
        raise ValueError(
            f"columns: expected titles that differ from field names, got {', '.join(sorted(ambiguous))}"
        )
    return label_fields | value_fields


def custom_table_panel(  # noqa: PLR0913 - each argument is an option of the table.
    panel_info: PanelInfo,
    targets: Sequence[Target],
    columns: Sequence[Column],
    *,
    transformations: Sequence[tuple[str, Mapping[str, Any]]],
    sort: str = "",
    descending: bool = True,
    min_column_width: int = _MIN_COLUMN_WIDTH,
) -> Panel:
    """Return a table with its own transformations."""
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(kinds.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).reducer([]).count_rows(False))
        .filterable(False)
        .min_width(min_column_width)
    )
    for name, options in transformations:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val=name, options=options))
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    overrides = [(column.title, column.properties(is_sorted=column.title == sort)) for column in columns]
    return with_defaults(panel, panel_info, targets, overrides).build()
