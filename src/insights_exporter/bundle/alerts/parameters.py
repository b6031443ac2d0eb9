"""Whether the options that templates offer are chosen."""

from __future__ import annotations

from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import TEMPLATE_OPTIMIZATION
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE

__all__ = ["group"]


def group(site: Site) -> Group:
    """Return the rules on parameters."""
    limits, scope = site.thresholds, site.scope
    of_template = ("job", *TEMPLATE)
    chosen = scope.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, window="30d")
    workspaces = chosen.sum(*of_template, "parameter_name", "parameter_type").max(*of_template)
    alert = Alert(
        name="CoderInsightsParameterOptionsUnused",
        expr=(
            f"count by ({', '.join(of_template)}) ({chosen} == 0)\n"
            f"and\n{workspaces} >= {limits.parameter_workspaces:g}"
        ),
        wait="6h",
        severity=Severity.INFO,
        summary="A template offers options that nobody has chosen for 30 days.",
        description=(
            "Template {{ $labels.template_name }} of {{ $labels.organization_name }} offers"
            " {{ $value | humanize }} options of parameters that no workspace chose in the last 30 days."
        ),
        because="One alert per template and not one per option, and only where enough workspaces were built.",
        limits=("parameter_workspaces",),
        panel=Panel(
            TEMPLATE_OPTIMIZATION.slug,
            "Unused options",
            {"organization": "organization_name", "template": "template_name"},
        ),
    )
    return Group(subject="parameters", title="Template parameters", interval="1m", alerts=(alert,))
