"""Values of parameters: which may be shown, how many workspaces have them, and what they are called."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.rows import Row
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import (
    Insights,
    Inventory,
    Parameter,
    ParameterOption,
    ParameterUse,
    TemplateKey,
    TemplateUse,
)

__all__ = ["counted", "described"]

_YES_OR_NO = ("true", "false")
_KEY: Final = "parameters"
_IDENTITY: Final = 5
"""A value is told apart by organization, template, name and type of the parameter, and itself."""


def counted(templates: Iterable[TemplateUse], values: LabelValues, *, free_text: bool) -> Iterator[Row]:
    """Yield the workspaces per value; what may not be shown counts as ``_other``."""
    for use in templates:
        if use.key is None:
            continue
        labels = values.template(use.key)
        for window in use.windows:
            name = values["window"][window.window]
            derive = partial(_each_shown, free_text=free_text)
            for parameter, shown in values.derived.of((_KEY, use.key, name), window.parameters, derive):
                named = _named(values, parameter.name, parameter.type)
                for value, workspaces in shown.items():
                    yield (*labels, *named, values["parameter_value"][value], name), workspaces


def described(
    inventory: Inventory, insights: Insights | None, values: LabelValues, *, free_text: bool
) -> list[tuple[str, ...]]:
    """Return what to show for each value that is declared or served, each once."""
    declared: dict[TemplateKey, list[Sequence[Parameter]]] = {}
    for template in inventory.templates:
        declared.setdefault(template.key, []).append(template.parameters)
    used = {use.key: use.windows for use in (insights.templates if insights else ()) if use.key is not None}
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for key in declared | used:
        own, uses = declared.get(key, []), [window.parameters for window in used.get(key, ())]
        describe = partial(_described, key, values, own, uses, free_text=free_text)
        for row in values.derived.of_all((_KEY, key), (*own, *uses), describe):
            found.setdefault(row[:_IDENTITY], row)
    return list(found.values())


def _described(
    key: TemplateKey,
    values: LabelValues,
    declared: Iterable[Sequence[Parameter]],
    used: Iterable[Sequence[ParameterUse]],
    *,
    free_text: bool,
) -> list[tuple[str, ...]]:
    """Return what to show for each value of a template's parameters, each once."""
    found: dict[tuple[str, str, str], tuple[str, ...]] = {}

    def note(parameter: Parameter, value: str, option: ParameterOption | None) -> None:
        if (parameter.name, parameter.type, value) not in found:
            found[parameter.name, parameter.type, value] = _row(key, values, parameter, value, option)

    known: dict[tuple[str, str], Parameter] = {}
    for parameter in chain.from_iterable(declared):
        known.setdefault((parameter.name, parameter.type), parameter)
    for parameter in known.values():
        for option in parameter.options:
            note(parameter, option.value, option)
    for use in chain.from_iterable(used):
        parameter = known.get((use.name, use.type)) or Parameter(
            use.name, use.type, use.display_name, options=use.options
        )
        options = {option.value: option for option in (*use.options, *parameter.options)}
        for value in _shown(use, free_text=free_text):
            note(parameter, value, options.get(value))
    return list(found.values())


def _row(
    key: TemplateKey,
    values: LabelValues,
    parameter: Parameter,
    value: str,
    option: ParameterOption | None,
) -> tuple[str, ...]:
    named = _named(values, parameter.name, parameter.type)
    told = (parameter.display_name, option.name, option.icon) if option else (parameter.display_name, "", "")
    facts = [values["display_name"][text] for text in told]
    known = option is not None or (parameter.type == "bool" and value in _YES_OR_NO)
    default = value == parameter.default and value != catalogue.OTHER
    identity = *values.template(key), *named, values["parameter_value"][value]
    return *identity, *facts, _flag(known), _flag(default)


def _each_shown(
    parameters: Iterable[ParameterUse], *, free_text: bool
) -> list[tuple[ParameterUse, dict[str, float]]]:
    return [(parameter, _shown(parameter, free_text=free_text)) for parameter in parameters]


def _shown(parameter: ParameterUse, *, free_text: bool) -> dict[str, float]:
    """Return the workspaces by value that may be shown, declared options first."""
    options = [option.value for option in parameter.options]
    is_declared = _declared(parameter, frozenset(options))
    shown: dict[str, float] = dict.fromkeys(options, 0)
    for value, workspaces in parameter.values.items():
        if workspaces >= 0:
            name = value if free_text or is_declared(value) else catalogue.OTHER
            shown[name] = shown.get(name, 0) + workspaces
    return shown


def _declared(parameter: ParameterUse, options: frozenset[str]) -> Callable[[str], bool]:
    """Return what tells whether a value is one that the template itself offers."""

    def is_declared(value: str) -> bool:
        # An empty value tells nothing of anybody.
        if not value or value in options or (parameter.type == "bool" and value in _YES_OR_NO):
            return True
        return bool(options) and parameter.type == "list(string)" and _choices(value) <= options

    return is_declared


def _choices(value: str) -> frozenset[str]:
    """Return the elements of a multiple choice; a value that is none is its only element."""
    try:
        chosen = json.loads(value)
    except (ValueError, RecursionError):
        return frozenset((value,))
    if isinstance(chosen, list) and all(isinstance(choice, str) for choice in chosen):
        return frozenset(chosen)
    return frozenset((value,))


def _named(values: LabelValues, name: str, kind: str) -> tuple[str, str]:
    return values["parameter_name"][name], values["parameter_type"][kind]


def _flag(value: bool) -> str:  # noqa: FBT001 - a flag is what it writes.
    return "true" if value else "false"
