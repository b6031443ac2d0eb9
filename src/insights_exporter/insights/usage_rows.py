"""The app and parameter rows of a window, with unused apps and options as 0."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from insights_exporter.insights.normalization import UsageReport
from insights_exporter.snapshot import AppUsage, Parameter, ParameterOption, ParameterUsage

__all__ = ["AppMetadata", "combine_apps", "merge_apps", "with_unused_apps", "with_unused_options"]

AppMetadata = Mapping[tuple[str, str], tuple[str, str]]
"""Display name and icon of an app, by slug and type."""

STRING_LIST_TYPE: Final = "list(string)"


def merge_apps(apps_by_source: Iterable[AppMetadata]) -> AppMetadata:
    """Return each app once; of several display names, the first in alphabetical order."""
    merged: dict[tuple[str, str], tuple[str, str]] = {}
    for apps in apps_by_source:
        for key, metadata in apps.items():
            merged[key] = min(merged.get(key, metadata), metadata)
    return merged


def combine_apps(parts: Sequence[UsageReport], whole: UsageReport | None) -> Sequence[AppUsage]:
    """Return the apps of a window: seconds added over the parts, opens from the report for the whole window.

    Without a report for the whole window, opens are unknown unless the window has one part.
    """
    if len(parts) == 1:
        return parts[0].apps
    opens = {} if whole is None else {(app.slug, app.type): app.opens for app in whole.apps}
    combined: dict[tuple[str, str], AppUsage] = {}
    for part in parts:
        for app in part.apps:
            key = app.slug, app.type
            previous = combined.get(key)
            whole_opens = opens.get(key, None if whole is None else 0)
            if whole_opens is not None:
                # The report for the whole window can be up to an hour older than that for today.
                whole_opens = max(whole_opens, app.opens or 0)
            seconds = app.seconds + (0.0 if previous is None else previous.seconds)
            if previous is not None and previous.opens is not None and whole_opens is not None:
                whole_opens = max(whole_opens, previous.opens)
            combined[key] = msgspec.structs.replace(app, seconds=seconds, opens=whole_opens)
    return tuple(combined[key] for key in sorted(combined))


def with_unused_apps(apps: Sequence[AppUsage], known_apps: AppMetadata) -> tuple[AppUsage, ...]:
    """Return the apps of a window, plus the known apps without use as 0."""
    used = {(app.slug, app.type) for app in apps}
    unused = (
        AppUsage(slug, app_type, 0.0, 0, display_name, icon)
        for (slug, app_type), (display_name, icon) in sorted(known_apps.items())
        if (slug, app_type) not in used
    )
    return (*apps, *unused)


def with_unused_options(
    reported: Sequence[ParameterUsage], declared: Iterable[Parameter]
) -> tuple[ParameterUsage, ...]:
    """Return the parameters of a window, plus the declared options without workspaces as 0."""
    usages = {(usage.name, usage.type): usage for usage in reported}
    for parameter in declared:
        reported_usage = usages.get(
            (parameter.name, parameter.type),
            ParameterUsage(parameter.name, parameter.type, parameter.display_name, {}),
        )
        if not parameter.options and (parameter.name, parameter.type) not in usages:
            continue
        options = {option.value: option for option in (*reported_usage.options, *parameter.options)}
        usages[parameter.name, parameter.type] = msgspec.structs.replace(
            reported_usage, options=tuple(options.values())
        )
    return tuple(
        msgspec.structs.replace(usage, values=_count_values(usage.values, usage.options, usage.type))
        for usage in usages.values()
    )


def _count_values(
    values: Mapping[str, int], options: Sequence[ParameterOption], parameter_type: str
) -> dict[str, int]:
    counts = {option.value: 0 for option in options}
    for value, count in values.items():
        # The value of a multi-select is a JSON list; each of its elements counts.
        for element in _parse_list(value) if parameter_type == STRING_LIST_TYPE and options else (value,):
            counts[element] = counts.get(element, 0) + count
    return counts


def _parse_list(value: str) -> tuple[str, ...]:
    try:
        elements = json.loads(value)
    except ValueError:
        return (value,)
    if not isinstance(elements, list) or not all(isinstance(element, str) for element in elements):
        return (value,)
    return tuple(dict.fromkeys(elements))
