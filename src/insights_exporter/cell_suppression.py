"""Cell suppression: which numbers about people must be withheld, so that none describes too few of them.

The terms are those of statistical disclosure control. A cell of a table is *primary* suppressed if it
describes fewer people than the minimum. It is *complementary* suppressed if it could help to compute another
cell: a published total minus the published cells is the sum of the withheld ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import nlargest
from typing import TypeVar

__all__ = [
    "band_of",
    "cells_to_withhold",
    "computable_cells",
    "describes_too_few",
    "merge_small_bands",
    "people_in_rest",
    "sum_of_largest",
    "value_in_band",
    "with_complementary_cells",
]

K = TypeVar("K", bound=Hashable)
N = TypeVar("N", bound=Hashable)


def describes_too_few(people: int, min_group_size: int) -> bool:
    """Return whether a number describes somebody, but fewer people than the minimum; 0 describes nobody."""
    return 0 < people < min_group_size


def cells_to_withhold(people: Mapping[K, int], total: int | None, min_group_size: int) -> frozenset[K]:
    """Return the cells of a one-way table that must be withheld.

    ``people`` has the distinct people of each cell, ``total`` those of the published total. They may be in
    several cells, so the total can be less than the sum. None means that no total is published. If the result
    has every cell that describes somebody, and still too few people, the total must be withheld, too.
    """
    primary = {cell for cell, count in people.items() if describes_too_few(count, min_group_size)}
    if total is None:
        return frozenset(primary)

    return with_complementary_cells(
        primary, people, lambda withheld: people_in_rest(people, total, withheld), min_group_size
    )


def people_in_rest(people: Mapping[K, int], total: int, withheld: Collection[K]) -> int:
    """Return the least number of people that the total minus the published cells describes."""
    published = sum(count for cell, count in people.items() if cell not in withheld)
    return max(0, total - published, *(people[cell] for cell in withheld))


def with_complementary_cells(
    primary: AbstractSet[K],
    sizes: Mapping[K, float],
    people_in: Callable[[Collection[K]], int],
    min_group_size: int,
) -> frozenset[K]:
    """Return the primary cells and the smallest others, until together they describe enough people.

    ``sizes`` has all cells; those of size 0 are never added, because they are known to be 0.
    ``people_in`` returns a lower bound of the people that the total minus the published cells describes.
    """
    withheld = set(primary)
    others = sorted(
        (cell for cell, size in sizes.items() if size > 0 and cell not in withheld),
        key=lambda cell: (sizes[cell], str(cell)),
    )
    for cell in others:
        if not describes_too_few(people_in(withheld), min_group_size):
            break
        withheld.add(cell)
    return frozenset(withheld)


def sum_of_largest(amounts: Iterable[float], min_group_size: int) -> float:
    """Return the most that fewer people than the minimum can have together, of the amounts of all people.

    A part of the amounts that is larger describes at least ``min_group_size`` people, whoever they are.
    """
    return sum(nlargest(min_group_size - 1, amounts))


def band_of(value: float, bounds: Sequence[float]) -> int:
    """Return the band of a value; the inclusive upper ``bounds`` are those of all bands but the highest."""
    return bisect_left(bounds, value)


def value_in_band(band: int, bounds: Sequence[float]) -> float:
    """Return the value that stands for those of a band: its middle, or twice the highest bound."""
    if band >= len(bounds):
        return 2 * bounds[-1]
    return ((bounds[band - 1] if band else 0.0) + bounds[band]) / 2


def merge_small_bands(people: Sequence[Collection[Hashable]], min_group_size: int) -> list[int]:
    """Return the band in which each band of a distribution is counted, lowest band first.

    A band with too few people is merged with the next lower one, and the lowest with the next higher one, so
    that nobody stands out as slow. Only if all bands together have too few people, a band still has.
    """
    merged = [set(band) for band in people]
    targets = list(range(len(merged)))

    def move(source: int, target: int) -> None:
        merged[target] |= merged[source]
        merged[source] = set()
        for band, current in enumerate(targets):
            if current == source:
                targets[band] = target

    for band in reversed(range(1, len(merged))):
        if describes_too_few(len(merged[band]), min_group_size):
            move(band, band - 1)
    next_band = next((band for band in range(1, len(merged)) if merged[band]), None)
    if next_band is not None and describes_too_few(len(merged[0]), min_group_size):
        move(0, next_band)
    return targets


def computable_cells(withheld: Iterable[tuple[N, N]]) -> set[tuple[N, N]]:
    """Return the withheld cells of a two-way table that follow from its published cells and totals.

    A cell is a pair of row and column; totals are cells of one more row and column, so all cells of a row or
    column except the total add up to the total. Rows and columns must not share names. With withheld cells as
    edges between rows and columns, exactly the bridges of the graph can be computed (Gusfield, 1988).
    """
    neighbors: defaultdict[N, list[N]] = defaultdict(list)
    for row, column in withheld:
        neighbors[row].append(column)
        neighbors[column].append(row)
    order: dict[N, int] = {}
    lowest: dict[N, int] = {}
    bridges: set[tuple[N, N]] = set()
    for root in neighbors:
        if root in order:
            continue
        order[root] = lowest[root] = len(order)
        # Depth first without recursion: a deployment can have thousands of templates.
        path = [(root, iter(neighbors[root]))]
        parents: dict[N, N] = {}
        while path:
            node, remaining = path[-1]
            for neighbor in remaining:
                if neighbor not in order:
                    order[neighbor] = lowest[neighbor] = len(order)
                    parents[neighbor] = node
                    path.append((neighbor, iter(neighbors[neighbor])))
                    break
                if parents.get(node) != neighbor:
                    lowest[node] = min(lowest[node], order[neighbor])
            else:
                path.pop()
                if node in parents:
                    parent = parents[node]
                    lowest[parent] = min(lowest[parent], lowest[node])
                    if lowest[node] > order[parent]:
                        bridges |= {(parent, node), (node, parent)}
    return {cell for cell in withheld if cell in bridges}
