"""Emulation of the Grafana transformations that the dashboards use.

A transformation fails if an option names a missing field, which Grafana would ignore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isnan
from statistics import fmean
from typing import Any, Final

from tests.support.dashboards import Panel
from tests.support.grafana import Frame

__all__ = ["MissingFieldError", "apply_transformations"]

Options = Mapping[str, Any]


class MissingFieldError(AssertionError):
    """An option names a field that the response lacks."""


def apply_transformations(panel: Panel, frames: list[Frame]) -> list[Frame]:
    """Return the transformed frames of a panel; raise for a missing field."""
    for transformation in panel.json.get("transformations", ()):
        frames = _TRANSFORMATIONS[transformation["id"]](frames, transformation["options"])
    return frames


def _require_fields(frame: Frame, *names: str) -> None:
    if missing := [name for name in names if name not in frame]:
        raise MissingFieldError(f"Expected fields out of {list(frame)}, found {missing}.")


def _rows(frame: Frame) -> list[dict[str, Any]]:
    return [dict(zip(frame, values, strict=True)) for values in zip(*frame.values(), strict=True)]


def _columns(rows: list[dict[str, Any]], names: list[str]) -> Frame:
    return {name: [row.get(name) for row in rows] for name in names}


def _merge(frames: list[Frame], _: Options) -> list[Frame]:
    """Join rows that have equal values in the fields of all frames and no conflicting values."""
    if len(frames) < 2:
        return frames
    keys = [name for name in frames[0] if all(name in frame for frame in frames)]
    merged: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for frame in frames:
        for row in _rows(frame):
            rows_of_key = merged.setdefault(tuple(row[key] for key in keys), [])
            compatible_rows = [
                candidate
                for candidate in rows_of_key
                if all(candidate.get(k, v) in {None, v} for k, v in row.items())
            ]
            for candidate in compatible_rows:
                candidate.update(row)
            if not compatible_rows:
                rows_of_key.append(row)
    names = list(dict.fromkeys(name for frame in frames for name in frame))
    return [_columns([row for rows_of_key in merged.values() for row in rows_of_key], names)]


def _organize(frames: list[Frame], options: Options) -> list[Frame]:
    order, new_names = options["indexByName"], options["renameByName"]
    excluded = {name for name, is_excluded in options["excludeByName"].items() if is_excluded}
    result = []
    for frame in frames:
        _require_fields(frame, *order, *new_names, *excluded)
        kept_names = sorted(
            (name for name in frame if name not in excluded), key=lambda name: order.get(name, 99)
        )
        result.append({new_names.get(name, name): frame[name] for name in kept_names})
    return result


def _join_by_field(frames: list[Frame], options: Options) -> list[Frame]:
    by = options["byField"]
    for frame in frames:
        _require_fields(frame, by)
    key_values = sorted({key_value for frame in frames for key_value in frame[by]})
    joined: Frame = {by: key_values}
    for frame in frames:
        for name, values in frame.items():
            if name != by:
                values_by_key = dict(zip(frame[by], values, strict=True))
                joined[name] = [values_by_key.get(key_value) for key_value in key_values]
    return [joined]


def _group_by(frames: list[Frame], options: Options) -> list[Frame]:
    if not any(_rows(frame) for frame in frames):
        return []  # Grafana drops a frame without any field to group by, and an empty result has no labels.
    (frame,) = frames
    _require_fields(frame, *options["fields"])
    keys = [name for name in frame if options["fields"].get(name, {}).get("operation") == "groupby"]
    numbers = [name for name in frame if options["fields"].get(name, {}).get("operation") == "aggregate"]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in _rows(frame):
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    grouped: Frame = {key: [group[index] for group in groups] for index, key in enumerate(keys)}
    for name in numbers:
        (reducer,) = options["fields"][name]["aggregations"]
        grouped[f"{name} ({reducer})"] = [
            _REDUCERS[reducer]([row[name] for row in rows if not _is_missing(row[name])])
            for rows in groups.values()
        ]
    return [grouped]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


_REDUCERS: Final[Mapping[str, Callable[[list[Any]], Any]]] = {
    "firstNotNull": lambda values: values[0] if values else None,
    "lastNotNull": lambda values: values[-1] if values else None,
    "mean": lambda values: fmean(values) if values else None,
}


def _grouping_to_matrix(frames: list[Frame], options: Options) -> list[Frame]:
    (frame,) = frames
    row, column, value = options["rowField"], options["columnField"], options["valueField"]
    _require_fields(frame, row, column, value)
    cells = dict(zip(zip(frame[row], frame[column], strict=True), frame[value], strict=True))
    rows, columns = (list(dict.fromkeys(frame[name])) for name in (row, column))
    matrix: Frame = {f"{row}\\{column}": rows}
    return [matrix | {_text(name): [cells.get((row_key, name), "") for row_key in rows] for name in columns}]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _sort_by(frames: list[Frame], options: Options) -> list[Frame]:
    (sort_option,) = options["sort"]
    sorted_frames = []
    if any(_rows(frame) for frame in frames) and not any(sort_option["field"] in frame for frame in frames):
        raise MissingFieldError(f"Expected the field {sort_option['field']} in a frame.")
    for frame in frames:
        if sort_option["field"] not in frame:
            sorted_frames.append(frame)
            continue
        rows = sorted(
            _rows(frame), key=lambda row: row[sort_option["field"]], reverse=sort_option.get("desc", False)
        )
        sorted_frames.append(_columns(rows, list(frame)))
    return sorted_frames


def _convert(frames: list[Frame], options: Options) -> list[Frame]:
    for conversion in options["conversions"]:
        assert conversion["destinationType"] == "time"
        for frame in frames:
            _require_fields(frame, conversion["targetField"])
            assert all(isinstance(value, float) for value in frame[conversion["targetField"]])
    return frames


_TRANSFORMATIONS: Final[Mapping[str, Callable[[list[Frame], Options], list[Frame]]]] = {
    "convertFieldType": _convert,
    "groupBy": _group_by,
    "groupingToMatrix": _grouping_to_matrix,
    "joinByField": _join_by_field,
    "merge": _merge,
    "organize": _organize,
    "sortBy": _sort_by,
}
