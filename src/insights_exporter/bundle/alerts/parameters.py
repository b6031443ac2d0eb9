"""Whether the options that templates offer are chosen."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RuleGroup, Severity
from insights_exporter.bundle.registry import TEMPLATE_OPTIMIZATION
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE_LABELS

__all__ = ["group"]


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on parameters."""
    thresholds, query = options.thresholds, options.query
    template_labels = ("job", *TEMPLATE_LABELS)
    option_workspaces = query.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, window="30d")
    workspaces = option_workspaces.sum(*template_labels, "parameter_name", "parameter_type").max(
        *template_labels
    )
    alert = Alert(
        name="CoderInsightsParameterOptionsUnused",
        expr=(
            f"count by ({', '.join(template_labels)}) ({option_workspaces} == 0)\n"
            f"and\n{workspaces} >= {thresholds.parameter_workspaces:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="A template offers options that nobody has chosen for 30 days.",
        description=(
            "Template {{ $labels.template_name }} of {{ $labels.organization_name }} offers"
            " {{ $value | humanize }} options of parameters that no workspace chose in the last 30 days."
        ),
        rationale="One alert per template and not one per option, and only where enough workspaces were built.",
        thresholds=("parameter_workspaces",),
        panel=PanelLink(
            TEMPLATE_OPTIMIZATION.slug,
            "Unused options",
            {"organization": "organization_name", "template": "template_name"},
        ),
    )
    return RuleGroup(slug="parameters", title="Template parameters", interval="1m", alerts=(alert,))
