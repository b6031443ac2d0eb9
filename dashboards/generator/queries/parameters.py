"""Chosen values of template parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dashboards.generator.queries import QUERY, WINDOW, Matchers, self_metrics
from dashboards.generator.queries.usage import TEMPLATE_LABELS
from insights_exporter.bundle.promql import Expr, regex
from insights_exporter.metrics import catalogue

__all__ = ["PARAMETER_LABELS", "default_values", "parameter_usage", "value_shares", "with_display_names"]

PARAMETER_LABELS: Final = ("job", *TEMPLATE_LABELS, "parameter_name", "parameter_type")


def with_display_names(values: Expr, matchers: Matchers) -> Expr:
    """Add ``parameter`` and ``value``: display names, and readable texts for special values."""
    info = QUERY.latest(catalogue.PARAMETER_INFO, **matchers)
    named = values.join_info(info, "display_name", "option_name", "is_default")
    named = named.coalesce_label("parameter", "parameter_name", "display_name")
    named = named.coalesce_label("value", "parameter_value", "option_name")
    return _readable(named)


def _readable(values: Expr) -> Expr:
    text = values.text
    for pattern, replacement in (
        ("", "(empty)"),
        (catalogue.OTHER, "(not shown)"),
        ("true", "True"),
        ("false", "False"),
    ):
        text = f'label_replace({text}, "value", "{replacement}", "value", "{pattern}")'
    return replace(values, text=text, max_operand="")


def parameter_usage(matchers: Matchers) -> Expr:
    """Return the workspaces per value of each parameter, highest first; unchosen options are 0.

    Where a parameter has options, values outside them are omitted, as on Coder's page.
    """
    family = catalogue.PARAMETER_INFO
    workspaces = QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **matchers, **WINDOW)
    value_labels = ", ".join(label for label in workspaces.labels if label != "parameter_type")
    parameter_labels = value_labels.removesuffix(", parameter_value")
    option, non_option = (QUERY.selector(family, **matchers, option_name=name) for name in (regex(".+"), ""))
    text = f"({workspaces} unless on ({value_labels}) ({non_option} and on ({parameter_labels}) {option}))"
    shown = replace(workspaces, text=text, max_operand="")
    return with_display_names(shown, matchers).and_on(self_metrics.fresh()).apply("sort_desc")


def value_shares(matchers: Matchers) -> Expr:
    """Return each value's share of the workspaces of its parameter."""
    workspaces = QUERY.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, **matchers, **WINDOW)
    group_labels = ", ".join(PARAMETER_LABELS)
    text = f"({workspaces} / on ({group_labels}) group_left () ({workspaces.sum(*PARAMETER_LABELS)} > 0))"
    return replace(workspaces, text=text, max_operand="")


def default_values(matchers: Matchers) -> Expr:
    """Return the default of each parameter with the label ``default``, its name or value."""
    info = QUERY.latest(catalogue.PARAMETER_INFO, is_default="true", **matchers)
    return info.coalesce_label("default", "parameter_value", "option_name")
