"""Usage reports: the apps and parameters of a range, and the known apps and options without use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from insights_exporter.app_families import usage_family
from insights_exporter.coder import models
from insights_exporter.collectors.base import merge_options
from insights_exporter.snapshot import AppUsage, Parameter, ParameterOption, ParameterUsage

__all__ = [
    "BUILTIN_APPS",
    "EMPTY_REPORT",
    "AppMetadata",
    "UsageReport",
    "combine_apps",
    "merge_apps",
    "normalize_report",
    "with_unused_apps",
    "with_unused_options",
]

AppMetadata = Mapping[tuple[str, str], tuple[str, str]]
"""Display name and icon of an app, by slug and type."""

BUILTIN_APPS: Final[Mapping[str, tuple[str, str]]] = {
    "vscode": ("Visual Studio Code", "/icon/code.svg"),
    "jetbrains": ("JetBrains", "/icon/intellij.svg"),
    "reconnecting-pty": ("Web Terminal", "/icon/terminal.svg"),
    "ssh": ("SSH", "/icon/terminal.svg"),
    "sftp": ("SFTP", "/icon/terminal.svg"),
}
"""Display name and icon of the apps of every template, by slug."""

STRING_LIST_TYPE: Final = "list(string)"


class UsageReport(Struct, frozen=True):
    """Apps and parameters of a range; ``mentioned_template_ids`` are the templates with use or parameters.

    ``parameter_rows`` are Coder's rows by template, in deployment-wide reports only: they show for which
    templates parameters changed.
    """

    apps: tuple[AppUsage, ...] = ()
    parameters: tuple[ParameterUsage, ...] = ()
    mentioned_template_ids: frozenset[str] = frozenset()
    parameter_rows: Mapping[str, Sequence[models.ParameterUsage]] = {}

    def changed_templates(self, previous: object) -> Iterator[str]:
        """Yield the templates that a report of the deployment newly mentions, or with changed parameters.

        Without a previous report, all templates changed.
        """
        old = previous if isinstance(previous, UsageReport) else EMPTY_REPORT
        for template_id in self.mentioned_template_ids:
            is_new = template_id not in old.mentioned_template_ids
            if is_new or self.parameter_rows.get(template_id) != old.parameter_rows.get(template_id):
                yield template_id


EMPTY_REPORT: Final = UsageReport()


# Rows of Coder's responses


def normalize_report(response: models.TemplateInsights, *, by_template: bool = False) -> UsageReport:
    """Return the report of a range; ``by_template`` adds the parameter rows of each template."""
    report = response.report or models.TemplateReport()
    parameter_rows: dict[str, list[models.ParameterUsage]] = {}
    for row in report.parameters_usage:
        for template_id in row.template_ids:
            parameter_rows.setdefault(template_id, []).append(row)
    return UsageReport(
        apps=_merge_apps(report.apps_usage),
        parameters=_merge_parameters(report.parameters_usage),
        mentioned_template_ids=frozenset([*report.template_ids, *parameter_rows]),
        parameter_rows=parameter_rows if by_template else {},
    )


def _merge_apps(rows: Iterable[models.AppUsage]) -> tuple[AppUsage, ...]:
    """Return each app once; rows of one slug with different names are added."""
    apps: dict[tuple[str, str], AppUsage] = {}
    seen_rows: set[tuple[str, str, str, str]] = set()
    # The row with the most seconds determines name and icon. The rest of the sort key makes replicas agree.
    for row in sorted(rows, key=lambda row: (-row.seconds, row.display_name, row.icon)):
        app_type = row.type or ("builtin" if row.slug in BUILTIN_APPS else "app")
        # These fields identify a row in Coder; a repeated row is counted once.
        if (row_key := (row.slug, app_type, row.display_name, row.icon)) in seen_rows:
            continue
        seen_rows.add(row_key)
        existing = apps.get((row.slug, app_type))
        if existing is None:
            apps[row.slug, app_type] = AppUsage(
                row.slug,
                app_type,
                float(row.seconds),
                row.times_used,
                row.display_name,
                row.icon,
                usage_family(row.slug, app_type, row.family),
            )
        else:
            opens = None if existing.opens is None else existing.opens + (row.times_used or 0)
            apps[row.slug, app_type] = msgspec.structs.replace(
                existing, seconds=existing.seconds + row.seconds, opens=opens
            )
    return tuple(apps[key] for key in sorted(apps))


def _merge_parameters(rows: Iterable[models.ParameterUsage]) -> tuple[ParameterUsage, ...]:
    """Return each parameter once; rows of different declarations are added."""
    parameters: dict[tuple[str, str], ParameterUsage] = {}
    # These fields identify a row in Coder; a repeated row is counted once.
    distinct_rows = {
        (row.name, row.type, row.display_name, row.description, tuple(row.options)): row for row in rows
    }
    for row in distinct_rows.values():
        existing = parameters.get((row.name, row.type))
        values = {} if existing is None else existing.values
        for value, count in {item.value: item.count for item in row.values}.items():
            values[value] = values.get(value, 0) + count
        options = merge_options(() if existing is None else existing.options, row.options)
        parameters[row.name, row.type] = ParameterUsage(row.name, row.type, row.display_name, values, options)
    return tuple(parameters.values())


# Rows of a window


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
        AppUsage(slug, app_type, 0.0, 0, display_name, icon, usage_family(slug, app_type))
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
