"""A reader of published usage who solves the equations between totals and cells for what was withheld."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from insights_exporter.snapshot import (
    AppUsage,
    Insights,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    WindowUsage,
)

__all__ = ["NOW", "UNLISTED", "Cell", "World", "computable", "published"]

NOW = datetime(2026, 1, 14, 10, tzinfo=UTC)
UNLISTED = "unlisted"
"""The template that the exporter does not list, because it is deleted or excluded."""

Cell = tuple[str, str]
"""Template and app; an empty name is the total over all."""


@dataclass(frozen=True)
class World:
    """Minutes of use by (user, template, app); nobody uses two apps at once, so sums are exact."""

    minutes: Mapping[tuple[str, str, str], int]

    def people(self, cell: Cell) -> set[str]:
        """Return the users whom a cell describes."""
        template, app = cell
        return {
            user
            for (user, one_template, one_app), minutes in self.minutes.items()
            if minutes and template in {"", one_template} and app in {"", one_app}
        }

    def seconds(self, cell: Cell) -> int:
        """Return the true value of a cell."""
        template, app = cell
        return 60 * sum(
            minutes
            for (_, one_template, one_app), minutes in self.minutes.items()
            if template in {"", one_template} and app in {"", one_app}
        )

    @property
    def templates(self) -> list[str]:
        """The templates that anyone used."""
        return sorted({template for _, template, _ in self.minutes})

    @property
    def apps(self) -> list[str]:
        """The apps that anyone used."""
        return sorted({app for _, _, app in self.minutes})

    def insights(self) -> Timestamped[Insights]:
        """Return the insights of a window, without the unlisted template."""
        listed = [template for template in self.templates if template != UNLISTED]
        return Timestamped(
            Insights(self._usage(None), [self._usage(TemplateKey("acme", name)) for name in listed]), NOW
        )

    def _usage(self, key: TemplateKey | None) -> TemplateUsage:
        template = "" if key is None else key.template_name
        users = {
            user: 60.0
            * sum(
                minutes
                for (one, one_template, _), minutes in self.minutes.items()
                if one == user and template in {"", one_template}
            )
            for user in self.people((template, ""))
        }
        apps = [AppUsage(app, "app", float(self.seconds((template, app)))) for app in self.apps]
        window = WindowUsage(
            "7d",
            NOW - timedelta(days=7),
            NOW,
            active_users=len(users),
            seconds=sum(users.values()),
            apps=apps,
            activity=users,
        )
        return TemplateUsage(key, [window], days=[len(users)])


def published(insights: Insights) -> dict[Cell, float]:
    """Return the published cells."""
    cells: dict[Cell, float] = {}
    for usage in (insights.deployment, *insights.templates):
        template = "" if usage.key is None else usage.key.template_name
        for window in usage.windows:
            cells[template, ""] = window.seconds
            cells |= {(template, app.slug): app.seconds for app in window.apps}
    return cells


def computable(world: World, known: Mapping[Cell, float]) -> list[Cell]:
    """Return the unpublished cells with use that linear equations over rows and columns determine."""
    unknown = [cell for cell in _all_cells(world) if cell not in known and world.seconds(cell)]
    # Totals have the opposite sign, but a solution for the absolute values solves both.
    rows = _row_echelon([Fraction(cell in equation) for cell in unknown] for equation in _equations(world))
    return [
        unknown[support[0]]
        for row in rows
        if len(support := [index for index, value in enumerate(row) if value]) == 1
    ]


def _all_cells(world: World) -> Iterator[Cell]:
    yield from ((template, app) for template in ("", *world.templates) for app in ("", *world.apps))


def _equations(world: World) -> Iterator[set[Cell]]:
    """Yield the cells of each row and column, whose sum is their total."""
    for template in ("", *world.templates):
        yield {(template, app) for app in ("", *world.apps)}
    for app in ("", *world.apps):
        yield {(template, app) for template in ("", *world.templates)}


def _row_echelon(rows: Iterable[Sequence[Fraction]]) -> list[list[Fraction]]:
    """Return the reduced row echelon form."""
    matrix = [list(row) for row in rows]
    pivot_row = 0
    for column in range(len(matrix[0]) if matrix else 0):
        pivot = next((index for index in range(pivot_row, len(matrix)) if matrix[index][column]), None)
        if pivot is None:
            continue
        matrix[pivot_row], matrix[pivot] = matrix[pivot], matrix[pivot_row]
        head = matrix[pivot_row][column]
        matrix[pivot_row] = [value / head for value in matrix[pivot_row]]
        for index, row in enumerate(matrix):
            if index != pivot_row and row[column]:
                factor = row[column]
                matrix[index] = [
                    value - factor * lead for value, lead in zip(row, matrix[pivot_row], strict=True)
                ]
        pivot_row += 1
    return matrix
