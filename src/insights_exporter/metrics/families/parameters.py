"""Samples of template parameters: workspaces by value, and display names of values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

import msgspec

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.rows import OptionalFloatSample
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.privacy import BOOL_VALUES, parameter_value_filter
from insights_exporter.snapshot import (
    Insights,
    Inventory,
    Parameter,
    ParameterOption,
    ParameterUsage,
    TemplateKey,
    TemplateUsage,
)

__all__ = ["parameter_counts", "parameter_infos"]

_CACHE_KEY: Final = "parameters"
_IDENTITY_LABEL_COUNT: Final = 5
"""Organization, template, parameter name, parameter type and value identify an info series."""


def parameter_counts(
    templates: Iterable[TemplateUsage], values: LabelValues, *, free_text: bool
) -> Iterator[OptionalFloatSample]:
    """Yield workspaces by value; hidden values count as ``_other``."""
    for usage in templates:
        if usage.key is None:
            continue
        labels = values.template(usage.key)
        for window in usage.windows:
            name = values["window"][window.window]
            compute = partial(_visible_counts_by_parameter, free_text=free_text)
            for parameter, counts in values.derivations.get_or_compute(
                (_CACHE_KEY, usage.key, name), window.parameters, compute
            ):
                parameter_labels = _parameter_labels(values, parameter.name, parameter.type)
                for value, workspaces in counts.items():
                    yield (*labels, *parameter_labels, values["parameter_value"][value], name), workspaces


def parameter_infos(
    inventory: Inventory, insights: Insights | None, values: LabelValues, *, free_text: bool
) -> list[tuple[str, ...]]:
    """Return the label values of each declared or served parameter value."""
    declared: dict[TemplateKey, list[Sequence[Parameter]]] = {}
    for template in inventory.templates:
        declared.setdefault(template.key, []).append(template.parameters)
    windows_by_template = {
        usage.key: usage.windows
        for usage in (insights.templates if insights else ())
        if usage.key is not None
    }
    rows: dict[tuple[str, ...], tuple[str, ...]] = {}
    for key in declared | windows_by_template:
        declarations, usages = (
            declared.get(key, []),
            [window.parameters for window in windows_by_template.get(key, ())],
        )
        compute = partial(_template_parameter_infos, key, values, declarations, usages, free_text=free_text)
        for row in values.derivations.get_or_compute_many(
            (_CACHE_KEY, key), (*declarations, *usages), compute
        ):
            rows.setdefault(row[:_IDENTITY_LABEL_COUNT], row)
    return list(rows.values())


def _template_parameter_infos(
    key: TemplateKey,
    values: LabelValues,
    declarations: Iterable[Sequence[Parameter]],
    usages: Iterable[Sequence[ParameterUsage]],
    *,
    free_text: bool,
) -> list[tuple[str, ...]]:
    """Return the label values of each parameter value of a template."""
    rows: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def add_row(parameter: Parameter, value: str, option: ParameterOption | None) -> None:
        if (parameter.name, parameter.type, value) not in rows:
            rows[parameter.name, parameter.type, value] = _info_row(key, values, parameter, value, option)

    parameters: dict[tuple[str, str], Parameter] = {}
    for parameter in chain.from_iterable(declarations):
        parameters.setdefault((parameter.name, parameter.type), parameter)
    for parameter in parameters.values():
        for option in parameter.options:
            add_row(parameter, option.value, option)
    for usage in chain.from_iterable(usages):
        parameter = parameters.get((usage.name, usage.type)) or Parameter(
            usage.name, usage.type, usage.display_name, options=usage.options
        )
        options = {option.value: option for option in (*usage.options, *parameter.options)}
        for value in _visible_counts(usage, free_text=free_text):
            add_row(parameter, value, options.get(value))
    return list(rows.values())


def _info_row(
    key: TemplateKey,
    values: LabelValues,
    parameter: Parameter,
    value: str,
    option: ParameterOption | None,
) -> tuple[str, ...]:
    parameter_labels = _parameter_labels(values, parameter.name, parameter.type)
    texts = (parameter.display_name, option.name, option.icon) if option else (parameter.display_name, "", "")
    descriptive = [values["display_name"][text] for text in texts]
    is_declared = option is not None or (parameter.type == "bool" and value in BOOL_VALUES)
    is_default = value in _default_values(parameter) and value != catalogue.OTHER
    identity = *values.template(key), *parameter_labels, values["parameter_value"][value]
    return *identity, *descriptive, _bool_label(is_declared), _bool_label(is_default)


def _default_values(parameter: Parameter) -> tuple[str, ...]:
    """Return the default; for a list also each of its items, which are the options of a multi-select."""
    if not parameter.type.startswith("list"):
        return (parameter.default,)
    try:
        items = msgspec.json.decode(parameter.default, type=list[str])
    except msgspec.DecodeError:
        items = []
    return (parameter.default, *items)


def _visible_counts_by_parameter(
    parameters: Iterable[ParameterUsage], *, free_text: bool
) -> list[tuple[ParameterUsage, dict[str, float]]]:
    return [(parameter, _visible_counts(parameter, free_text=free_text)) for parameter in parameters]


def _visible_counts(parameter: ParameterUsage, *, free_text: bool) -> dict[str, float]:
    """Return workspaces by visible value, declared options first."""
    is_visible = parameter_value_filter(parameter, show_free_text=free_text)
    counts: dict[str, float] = dict.fromkeys((option.value for option in parameter.options), 0)
    for value, workspaces in parameter.values.items():
        if workspaces >= 0:
            name = value if is_visible(value) else catalogue.OTHER
            counts[name] = counts.get(name, 0) + workspaces
    return counts


def _parameter_labels(values: LabelValues, name: str, parameter_type: str) -> tuple[str, str]:
    return values["parameter_name"][name], values["parameter_type"][parameter_type]


def _bool_label(value: bool) -> str:  # noqa: FBT001 - the value to format.
    return "true" if value else "false"
