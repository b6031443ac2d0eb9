"""Grafana's transformations as far as the dashboards use them, carried out on real answers.

Each fails where an option names a field that is not there, which Grafana would pass over in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any, Final

from tests.support.boards import Panel
from tests.support.grafana import Frame

__all__ = ["MissingFieldError", "transformed"]

Options = Mapping[str, Any]


class MissingFieldError(AssertionError):
    """An option names a field that is not in the answer."""


def transformed(panel: Panel, frames: list[Frame]) -> list[Frame]:
    """Return what a panel shows of the answers to its targets; raise where a field is not there."""
    for one in panel.json.get("transformations", ()):
        frames = _KINDS[one["id"]](frames, one["options"])
    return frames


def _expect(frame: Frame, *names: str) -> None:
    if absent := [name for name in names if name not in frame]:
        raise MissingFieldError(f"Expected fields out of {list(frame)}, found {absent}.")


def _rows(frame: Frame) -> list[dict[str, Any]]:
    return [dict(zip(frame, values, strict=True)) for values in zip(*frame.values(), strict=True)]


def _columns(rows: list[dict[str, Any]], names: list[str]) -> Frame:
    return {name: [row.get(name) for row in rows] for name in names}


def _merge(frames: list[Frame], _: Options) -> list[Frame]:
    """Join rows that agree in the fields which all frames have, and contradict each other nowhere."""
    if len(frames) < 2:
        return frames
    keys = [name for name in frames[0] if all(name in frame for frame in frames)]
    merged: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for frame in frames:
        for row in _rows(frame):
            alike = merged.setdefault(tuple(row[key] for key in keys), [])
            fitting = [one for one in alike if all(one.get(k, v) in {None, v} for k, v in row.items())]
            for one in fitting:
                one.update(row)
            if not fitting:
                alike.append(row)
    names = list(dict.fromkeys(name for frame in frames for name in frame))
    return [_columns([row for alike in merged.values() for row in alike], names)]


def _organize(frames: list[Frame], options: Options) -> list[Frame]:
    order, renamed = options["indexByName"], options["renameByName"]
    excluded = {name for name, out in options["excludeByName"].items() if out}
    found = []
    for frame in frames:
        _expect(frame, *order, *renamed, *excluded)
        kept = sorted((name for name in frame if name not in excluded), key=lambda name: order.get(name, 99))
        found.append({renamed.get(name, name): frame[name] for name in kept})
    return found


def _join_by_field(frames: list[Frame], options: Options) -> list[Frame]:
    by = options["byField"]
    for frame in frames:
        _expect(frame, by)
    moments = sorted({moment for frame in frames for moment in frame[by]})
    joined: Frame = {by: moments}
    for frame in frames:
        for name, values in frame.items():
            if name != by:
                known = dict(zip(frame[by], values, strict=True))
                joined[name] = [known.get(moment) for moment in moments]
    return [joined]


def _group_by(frames: list[Frame], options: Options) -> list[Frame]:
    (frame,) = frames
    _expect(frame, *options["fields"])
    keys = [name for name in frame if options["fields"].get(name, {}).get("operation") == "groupby"]
    numbers = [name for name in frame if options["fields"].get(name, {}).get("operation") == "aggregate"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in _rows(frame):
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    found: Frame = {key: [group[place] for group in groups] for place, key in enumerate(keys)}
    for name in numbers:
        assert options["fields"][name]["aggregations"] == ["mean"]
        found[f"{name} (mean)"] = [
            fmean(row[name] for row in rows if row[name] is not None)
            if any(row[name] is not None for row in rows)
            else None
            for rows in groups.values()
        ]
    return [found]


def _grouping_to_matrix(frames: list[Frame], options: Options) -> list[Frame]:
    (frame,) = frames
    row, column, value = options["rowField"], options["columnField"], options["valueField"]
    _expect(frame, row, column, value)
    cells = dict(zip(zip(frame[row], frame[column], strict=True), frame[value], strict=True))
    rows, columns = (list(dict.fromkeys(frame[name])) for name in (row, column))
    matrix: Frame = {f"{row}\\{column}": rows}
    return [matrix | {_text(name): [cells.get((one, name), "") for one in rows] for name in columns}]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sort_by(frames: list[Frame], options: Options) -> list[Frame]:
    (one,) = options["sort"]
    found = []
    for frame in frames:
        _expect(frame, one["field"])
        rows = sorted(_rows(frame), key=lambda row: row[one["field"]], reverse=one.get("desc", False))
        found.append(_columns(rows, list(frame)))
    return found


def _convert(frames: list[Frame], options: Options) -> list[Frame]:
    for one in options["conversions"]:
        assert one["destinationType"] == "time"
        for frame in frames:
            _expect(frame, one["targetField"])
            assert all(isinstance(value, float) for value in frame[one["targetField"]])
    return frames


_KINDS: Final[Mapping[str, Callable[[list[Frame], Options], list[Frame]]]] = {
    "convertFieldType": _convert,
    "groupBy": _group_by,
    "groupingToMatrix": _grouping_to_matrix,
    "joinByField": _join_by_field,
    "merge": _merge,
    "organize": _organize,
    "sortBy": _sort_by,
}
