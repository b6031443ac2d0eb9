"""Families with labels, written as the Go client of Prometheus writes them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

__all__ = ["DuplicateError", "Vector", "written"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class DuplicateError(Exception):
    """Two things have the same labels; coderd then has no page at all to show."""


class Vector:
    """A family; without children it is not written."""

    def __init__(self, name: str, text: str, labels: Iterable[str] = (), *, kind: str = "gauge") -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self.kind = kind
        self.values: dict[tuple[str, ...], float] = {}
        self._observed: tuple[int, float] | None = None

    def set(self, value: float, *labels: str) -> None:
        """Set a child; whatever it was before is overwritten."""
        self.values[labels] = value

    def add(self, value: float, *labels: str) -> None:
        """Add to a child."""
        self.values[labels] = self.values.get(labels, 0.0) + value

    def once(self, value: float, *labels: str) -> None:
        """Set a child that must not be there yet."""
        if labels in self.values:
            raise DuplicateError(f'collected metric "{self.name}" was collected before with the same labels')
        self.values[labels] = value

    def observe(self, count: int, total: float) -> None:
        """Make it a histogram of so many observations, all of them short."""
        self._observed = count, total

    def lines(self) -> Iterable[str]:
        """Yield the lines of the family; labels are in the order of their names."""
        if not self.values and self._observed is None:
            return
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} {self.kind}"
        if self._observed is not None:
            count, total = self._observed
            for bound in ("0.005", "0.01", "+Inf"):
                yield f'{self.name}_bucket{{le="{bound}"}} {count}'
            yield f"{self.name}_sum {_number(total)}"
            yield f"{self.name}_count {count}"
        order = sorted(range(len(self.labels)), key=self.labels.__getitem__)
        for labels in sorted(self.values, key=lambda one: [one[place] for place in order]):
            pairs = ",".join(f'{self.labels[place]}="{labels[place].translate(_ESCAPES)}"' for place in order)
            yield (
                f"{self.name}{{{pairs}}} {_number(self.values[labels])}"
                if pairs
                else (f"{self.name} {_number(self.values[labels])}")
            )


def written(vectors: Iterable[Vector]) -> str:
    """Return a page; families are in the order of their names."""
    ordered = sorted(vectors, key=lambda one: one.name)
    return "".join(f"{line}\n" for one in ordered for line in one.lines())


def _number(value: float) -> str:
    """Return the shortest form as Go has it: an exponent from a million on."""
    if value == int(value) and abs(value) < 1_000_000:
        return str(int(value))
    exact = Decimal(repr(float(value))).normalize()
    exponent = exact.adjusted()
    if -4 <= exponent < 6:
        return f"{exact:f}"
    return f"{exact.scaleb(-exponent):f}e{exponent:+03d}"
