"""Rows of the document: templates, organizations, apps and parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from insights_exporter.privacy import BOOL_VALUES, parameter_value_filter
from insights_exporter.report.data import CURRENT, PREVIOUS
from insights_exporter.report.document import (
    AppRow,
    Measure,
    OrganizationRow,
    ParameterRow,
    ParameterValueRow,
    TemplateName,
    TemplateRow,
)
from insights_exporter.report.measures import (
    Comparison,
    WindowPair,
    complete_sum,
    known_sum,
    latency_bands,
    ratio,
)
from insights_exporter.snapshot import AppUsage, ParameterUsage, Template, TemplateUsage, WindowUsage

__all__ = ["app_rows", "organization_rows", "parameter_rows", "template_rows", "unused_templates"]

NOT_SHOWN: Final = "(not shown)"
"""Label of the values that the privacy rules withhold."""

EMPTY_VALUE: Final = "(empty)"

Usages = Sequence[tuple[Template, TemplateUsage]]
"""The templates with use or builds, and their usage."""


# Templates and organizations


def template_rows(usages: Usages, comparison: Comparison) -> tuple[TemplateRow, ...]:
    """Return the templates that were used in the period or before it, the most used first."""
    total = known_sum(WindowPair.of(usage).seconds for _, usage in usages)
    rows = [_template_row(template, usage, total, comparison) for template, usage in _used(usages)]
    return tuple(
        sorted(rows, key=lambda row: (*_most_used(row.usage_seconds), row.organization, row.template))
    )


def unused_templates(templates: Sequence[Template], usages: Usages) -> tuple[TemplateName, ...]:
    """Return the templates without use in the period and before it."""
    used = {template.key for template, _ in _used(usages)}
    return tuple(_template_name(template) for template in templates if template.key not in used)


def organization_rows(
    templates: Sequence[Template],
    usages: Usages,
    users: Mapping[str, Mapping[str, int]],
    comparison: Comparison,
) -> tuple[OrganizationRow, ...]:
    """Return the organizations, the most used first; ``users`` are distinct, by organization and window."""
    total = known_sum(WindowPair.of(usage).seconds for _, usage in usages)
    rows = []
    for organization in sorted({template.key.organization_name for template in templates}):
        pairs = [
            WindowPair.of(usage)
            for template, usage in usages
            if template.key.organization_name == organization
        ]
        seconds = complete_sum(pair.seconds for pair in pairs)
        previous_seconds = complete_sum(pair.previous_seconds for pair in pairs)
        counts = users.get(organization, {})
        rows.append(
            OrganizationRow(
                organization=organization,
                active_users=comparison.measure(counts.get(CURRENT), counts.get(PREVIOUS)),
                usage_seconds=comparison.measure(seconds, previous_seconds),
                usage_seconds_per_user=ratio(seconds, counts.get(CURRENT)),
                share=ratio(seconds, total),
                templates_in_use=sum(pair.is_used for pair in pairs),
                templates=sum(template.key.organization_name == organization for template in templates),
            )
        )
    return tuple(sorted(rows, key=lambda row: (*_most_used(row.usage_seconds), row.organization)))


def _used(usages: Usages) -> Iterator[tuple[Template, TemplateUsage]]:
    for template, usage in usages:
        pair = WindowPair.of(usage)
        if pair.is_used or pair.was_used:
            yield template, usage


def _template_row(
    template: Template, usage: TemplateUsage, total: float, comparison: Comparison
) -> TemplateRow:
    pair, name = WindowPair.of(usage), _template_name(template)
    return TemplateRow(
        organization=name.organization,
        template=name.template,
        display_name=name.display_name,
        deprecated=template.deprecated,
        active_users=comparison.users(pair),
        usage_seconds=comparison.seconds(pair),
        usage_seconds_per_user=ratio(pair.seconds, pair.users),
        active_days_per_user=ratio(complete_sum(usage.days), pair.users),
        share=ratio(pair.seconds, total),
        latency=latency_bands(pair.current),
        # Coder is not asked for the apps of each template in the period before.
        apps=app_rows(pair.current, None, Comparison(has_previous=False)),
    )


def _template_name(template: Template) -> TemplateName:
    return TemplateName(
        organization=template.key.organization_name,
        template=template.key.template_name,
        display_name=template.display_name or template.key.template_name,
    )


def _most_used(seconds: Measure) -> tuple[float, float]:
    """Return a sort key: the most used in the period first, then in the period before."""
    return -(seconds.value or 0.0), -(seconds.previous or 0.0)


# Apps


def app_rows(
    current: WindowUsage | None, previous: WindowUsage | None, comparison: Comparison
) -> tuple[AppRow, ...]:
    """Return the apps that were used in the period or before it, the most used first."""
    apps = {(app.slug, app.type): app for app in current.apps} if current else {}
    before = {(app.slug, app.type): app for app in previous.apps if app.seconds > 0} if previous else {}
    for key in before.keys() - apps.keys():
        apps[key] = msgspec.structs.replace(before[key], seconds=0.0, opens=0)
    total = sum(app.seconds for app in apps.values())
    rows = []
    for key, app in apps.items():
        previous_seconds = before[key].seconds if key in before else 0.0
        if app.seconds > 0 or previous_seconds > 0:
            rows.append(_app_row(app, comparison.measure(app.seconds, previous_seconds), total))
    return tuple(sorted(rows, key=lambda row: (*_most_used(row.usage_seconds), row.slug)))


def _app_row(app: AppUsage, measure: Measure, total: float) -> AppRow:
    return AppRow(
        slug=app.slug,
        type=app.type,
        display_name=app.display_name or app.slug,
        usage_seconds=measure,
        share=ratio(app.seconds, total),
        # Coder sends 0 for builtin apps, whose opens it does not count.
        opens=None if app.type == "builtin" else app.opens,
    )


# Parameters


def parameter_rows(usages: Usages, *, show_free_text: bool) -> Iterator[ParameterRow]:
    """Yield the parameters of the templates with a workspace build in the period, the most used first."""
    for template, usage in sorted(usages, key=lambda item: -(WindowPair.of(item[1]).seconds or 0.0)):
        window = WindowPair.of(usage).current
        parameters = () if window is None else window.parameters
        if not any(any(parameter.values.values()) for parameter in parameters):
            continue
        name = _template_name(template)
        for parameter in parameters:
            yield ParameterRow(
                organization=name.organization,
                template=name.template,
                display_name=name.display_name,
                parameter=parameter.name,
                parameter_display_name=parameter.display_name or parameter.name,
                type=parameter.type,
                values=_value_rows(parameter, show_free_text=show_free_text),
            )


def _value_rows(usage: ParameterUsage, *, show_free_text: bool) -> tuple[ParameterValueRow, ...]:
    """Return workspaces by value, the most frequent first, and the withheld values together."""
    names = {option.value: option.name for option in usage.options if option.name}
    is_visible = parameter_value_filter(usage, show_free_text=show_free_text)
    counts = {value: workspaces for value, workspaces in usage.values.items() if is_visible(value)}
    hidden = sum(workspaces for value, workspaces in usage.values.items() if value not in counts)
    if usage.type == "bool":
        names = {value: value.capitalize() for value in BOOL_VALUES}
        if not hidden:
            counts = dict.fromkeys(BOOL_VALUES, 0) | counts
    rows = [
        ParameterValueRow(
            value=value,
            display_name=names.get(value, value) or EMPTY_VALUE,
            workspaces=workspaces,
            is_unused=not workspaces,
        )
        for value, workspaces in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    if hidden:
        rows.append(ParameterValueRow(value=None, display_name=NOT_SHOWN, workspaces=hidden, is_unused=False))
    return tuple(rows)
