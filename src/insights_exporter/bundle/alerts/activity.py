"""Whether those who hold a seat use it."""

from __future__ import annotations

from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import USER_SUPPORT
from insights_exporter.bundle.queries import share
from insights_exporter.metrics import catalogue

__all__ = ["group"]


def group(site: Site) -> Group:
    """Return the rules on activity."""
    limits, scope = site.thresholds, site.scope
    seats = scope.latest(catalogue.USERS, status="active")
    used = scope.latest(catalogue.DEPLOYMENT_UNIQUE_USERS, window="30d")
    idle = Recording(
        name="deployment:coder_insights_users:idle_30d",
        expr=f"clamp_min({seats} - {used}, 0)",
        labels=("job",),
        meaning="Accounts that take a seat and did not use a workspace within 30 days.",
    )
    alert = Alert(
        name="CoderInsightsSeatsIdle",
        expr=(
            f"{idle.read(scope)} >= {limits.idle_seats:g}\n"
            f"and\n{share(idle.read(scope), seats)} >= {limits.idle_seats_share:g}"
        ),
        wait="6h",
        severity=Severity.INFO,
        summary="Many who hold a seat have not used a workspace for 30 days.",
        description=(
            "{{ $value | humanize }} accounts take a seat of the licence and did not use a workspace in the"
            " last 30 days."
        ),
        because="A count and no names: who they are stands on the dashboard, where access is controlled.",
        limits=("idle_seats", "idle_seats_share"),
        panel=Panel(USER_SUPPORT.slug, "Users without activity"),
    )
    return Group(
        subject="activity", title="User activity", interval="1m", recordings=(idle,), alerts=(alert,)
    )
