"""Whether those who hold a seat use it."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, RuleGroup, Severity
from insights_exporter.bundle.promql import share
from insights_exporter.bundle.registry import USER_SUPPORT
from insights_exporter.metrics import catalogue

__all__ = ["group"]


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on activity."""
    thresholds, query = options.thresholds, options.query
    seats = query.latest(catalogue.USERS, status="active")
    active_users = query.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, window="30d")
    idle_seats = RecordingRule(
        name="deployment:coder_insights_users:idle_30d",
        expr=f"clamp_min({seats} - {active_users}, 0)",
        labels=("job",),
        description="Accounts that take a seat and did not use a workspace within 30 days.",
    )
    alert = Alert(
        name="CoderInsightsSeatsIdle",
        expr=(
            f"{idle_seats.selector(query)} >= {thresholds.idle_seats:g}\n"
            f"and\n{share(idle_seats.selector(query), seats)} >= {thresholds.idle_seats_share:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="Many who hold a seat have not used a workspace for 30 days.",
        description=(
            "{{ $value | humanize }} accounts take a seat of the licence and did not use a workspace in the"
            " last 30 days."
        ),
        rationale="A count and no names: who they are stands on the dashboard, where access is controlled.",
        thresholds=("idle_seats", "idle_seats_share"),
        panel=PanelLink(USER_SUPPORT.slug, "Users without activity"),
    )
    return RuleGroup(
        slug="activity", title="User activity", interval="1m", recordings=(idle_seats,), alerts=(alert,)
    )
