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

from insights_exporter.bundle.dashboards import units
from insights_exporter.bundle.dashboards.house import (
    ANY_IS_BAD,
    GREEN,
    IN_ACCENT,
    LATENCY_MS,
    RED,
    Steps,
    template_link,
)
from insights_exporter.bundle.dashboards.styles import About, Built, dressed
from insights_exporter.bundle.dashboards.targets import Target, rows
from insights_exporter.bundle.dashboards.units import Unit
from insights_exporter.bundle.queries import Vector

__all__ = [
    "ORGANIZATION",
    "TEMPLATE",
    "TREND",
    "Column",
    "Look",
    "bad_column",
    "grid",
    "latency_column",
    "listing",
    "share_column",
    "trend_column",
]


class Look(Enum):
    """How a cell is drawn; shades go from the least to the most of all cells."""

    TEXT = "auto"
    BAR = "gauge"
    BLOCK = "color-background"
    SHADE = "shade"
    INK = "color-text"
    PICTURE = "image"

    @property
    def options(self) -> dict[str, str]:
        """Return Grafana's options of the cell."""
        more = {
            Look.BAR: {"mode": "basic", "valueDisplayMode": "text"},
            Look.BLOCK: {"mode": "basic"},
            Look.SHADE: {"mode": "basic"},
        }
        kind = Look.BLOCK.value if self is Look.SHADE else self.value
        return {"type": kind} | more.get(self, {})


_NARROWEST: Final = 80
"""Pixels; by itself Grafana lets no column become narrower than 150, and the last ones fall off the edge."""

TREND: Final[Steps] = ((None, RED), (-0.1, "text"), (0.1, GREEN))
"""Colours of a change: it matters from a tenth on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: ``source`` is a label, or the letter of the query whose number it shows."""

    source: str
    title: str
    unit: Unit | None = None
    look: Look = Look.TEXT
    steps: Steps = IN_ACCENT
    width: int | None = None
    most: float | None = None
    empty: str = "-"
    words: Mapping[str, str] | None = None
    link: Mapping[str, str] | None = None

    def properties(self) -> dict[str, Any]:
        """Return what Grafana is told about the field."""
        found: dict[str, Any] = {"custom.cellOptions": self.look.options, "noValue": self.empty}
        if self.unit is not None:
            found |= {"unit": self.unit.id, "custom.align": "right"}
            if self.unit.decimals is not None:
                found["decimals"] = self.unit.decimals
        if self.look is Look.BAR:
            found |= {"min": 0, "custom.align": "auto"}
            found |= {"fieldMinMax": True} if self.most is None else {"max": self.most}
        if self.look is Look.SHADE:
            found["color"] = {"mode": "continuous-purples"}
        elif self.look not in {Look.TEXT, Look.PICTURE}:
            found["thresholds"] = {"mode": "absolute", "steps": _steps(self.steps)}
            found["color"] = {"mode": "thresholds"}
            # Without it, nothing looks as good as the best.
            found["mappings"] = [_nothing(self.empty, "text" if self.look is Look.INK else "transparent")]
        if self.width is not None:
            found["custom.width"] = self.width
        if self.words is not None:
            options = {
                key: {"text": text, "index": place} for place, (key, text) in enumerate(self.words.items())
            }
            found["mappings"] = [*found.get("mappings", ()), {"type": "value", "options": options}]
        if self.link is not None:
            found["links"] = [dict(self.link)]
        return found


ORGANIZATION: Final = Column(source="organization_name", title="Organization", width=110)
TEMPLATE: Final = Column(source="template_name", title="Template", link=template_link())
"""Where each row of a table on templates begins; the name leads to the template's own page."""


def latency_column(source: str, title: str, *, width: int | None = None, empty: str = "-") -> Column:
    """Return round trips in milliseconds, as the title says, on the colours of Coder's page."""
    return Column(
        source=source,
        title=f"{title} (ms)",
        unit=units.MILLISECONDS,
        look=Look.BLOCK,
        steps=LATENCY_MS,
        width=width,
        empty=empty,
    )


def bad_column(source: str, title: str, of: str, *, width: int | None = None) -> Column:
    """Return a count of things that there should be none of."""
    unit = units.count(of)
    return Column(source=source, title=title, unit=unit, look=Look.INK, steps=ANY_IS_BAD, width=width)


def share_column(source: str, title: str, steps: Steps = IN_ACCENT) -> Column:
    """Return a share of a whole as a bar."""
    return Column(source=source, title=title, unit=units.SHARE, look=Look.BAR, steps=steps, most=1)


def trend_column(source: str, title: str) -> Column:
    """Return a change in green and red."""
    return Column(source=source, title=title, unit=units.CHANGE, look=Look.INK, steps=TREND)


def _nothing(text: str, color: str) -> dict[str, Any]:
    shown = {"text": text, "color": color, "index": 0}
    return {"type": "special", "options": {"match": "null+nan", "result": shown}}


def _steps(steps: Steps) -> list[dict[str, Any]]:
    return [{"value": value, "color": color} for value, color in steps]


def listing(
    about: About,
    queries: Sequence[Vector],
    columns: Sequence[Column],
    *,
    sort: str = "",
    falling: bool = True,
) -> Built:
    """Return a table whose rows join the queries by the labels that all of them have."""
    fields = _fields(queries, columns)
    labels = [label for query in queries for label in query.labels]
    shown = {fields[column.source]: column.title for column in columns}
    hidden = dict.fromkeys(field for field in ("Time", *labels, *fields.values()) if field not in shown)
    order = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {field: place for place, field in enumerate(shown)},
        "renameByName": shown,
    }
    shaped: list[tuple[str, Mapping[str, Any]]] = [("organize", order)]
    if len(queries) > 1:
        shaped.insert(0, ("merge", {}))
    return grid(about, [rows(query) for query in queries], columns, shaped=shaped, sort=sort, falling=falling)


def _fields(queries: Sequence[Vector], columns: Sequence[Column]) -> dict[str, str]:
    """Return the name that Grafana gives to each label and to the number of each query."""
    letters = ascii_uppercase[: len(queries)]
    numbers = {letter: f"Value #{letter}" for letter in letters} if len(queries) > 1 else {"A": "Value"}
    labels = {label: label for query in queries for label in query.labels}
    if unknown := {column.source for column in columns} - set(labels) - set(numbers):
        raise ValueError(f"Expected columns out of the queries, found {', '.join(sorted(unknown))}.")
    if same := {column.title for column in columns} & {"Value", *numbers.values(), *labels}:
        # Grafana would give what is said of one field to both.
        raise ValueError(f"Expected titles unlike names of fields, found {', '.join(sorted(same))}.")
    return labels | numbers


def grid(  # noqa: PLR0913 - a table has that many traits.
    about: About,
    targets: Sequence[Target],
    columns: Sequence[Column],
    *,
    shaped: Sequence[tuple[str, Mapping[str, Any]]],
    sort: str = "",
    falling: bool = True,
) -> Built:
    """Return a table made by transformations of one's own."""
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(kinds.TableCellHeight.SM)
        .footer(common.TableFooterOptions().show(False).reducer([]).count_rows(False))
        .filterable(False)
        .min_width(_NARROWEST)
    )
    for name, options in shaped:
        panel = panel.with_transformation(dashboard.DataTransformerConfig(id_val=name, options=options))
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(falling)])
    overrides = [(column.title, column.properties()) for column in columns]
    return dressed(panel, about, targets, overrides).build()
