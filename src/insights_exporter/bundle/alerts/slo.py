"""The objective on latency, and how fast its budget burns."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.latency_records import LatencyRecords, slowly
from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.boards import DEPLOYMENT_OVERVIEW
from insights_exporter.bundle.queries import share

__all__ = ["group"]

_WINDOWS: Final = ("15m", "1h", "2h", "6h", "1d", "3d")


def group(site: Site) -> Group:
    """Return the rules on the objective."""
    scope, users = site.scope, LatencyRecords(site)
    slow = Recording(
        name="deployment:coder_insights_latency_seconds:slow_users",
        expr=f"sum by (job) ({users.slow('objective').read(scope, step='objective')})",
        labels=("job",),
        meaning="Slow users by the objective's step; one who uses two templates counts twice.",
    )
    known = Recording(
        name="deployment:coder_insights_latency_seconds:users",
        expr=f"sum by (job) ({users.measured().read(scope)})",
        labels=("job",),
        meaning="Users whose latency is known; one who uses two templates counts twice.",
    )
    ratios = {
        window: Recording(
            name=f"deployment:coder_insights_latency_seconds:slow_ratio_{window}",
            expr=share(
                f"sum_over_time({slow.read(scope)}[{window}])",
                f"sum_over_time({known.read(scope)}[{window}])",
            ),
            labels=("job",),
            meaning=f"Share of slow users by the objective's step, weighed by their time, over {window}.",
        )
        for window in _WINDOWS
    }
    return Group(
        subject="slo",
        title="Latency objective",
        interval="1m",
        recordings=(slow, known, *ratios.values()),
        alerts=(
            _burn(site, ratios, slow, fast=True),
            _burn(site, ratios, slow, fast=False),
        ),
    )


def _burn(site: Site, ratios: dict[str, Recording], slow: Recording, *, fast: bool) -> Alert:
    limits = site.thresholds
    pairs = (
        (("15m", "1h", limits.burn_page_short), ("1h", "6h", limits.burn_page_long))
        if fast
        else (("2h", "1d", limits.burn_ticket_short), ("6h", "3d", limits.burn_ticket_long))
    )
    return Alert(
        name=f"CoderInsightsLatencyBudget{'Fast' if fast else 'Slow'}Burn",
        expr="\nor\n".join(_pair(site, ratios, slow, *pair) for pair in pairs),
        wait="5m" if fast else "30m",
        severity=Severity.CRITICAL if fast else Severity.WARNING,
        summary=(
            "The latency budget of a month burns within days."
            if fast
            else "The latency budget of a month burns faster than the month passes."
        ),
        description=(
            f"{{{{ $value | humanizePercentage }}}} of users were {slowly(limits.objective_latency, limits)},"
            f" where {1 - limits.objective:.2%} may be, both lately and over the longer window."
        ),
        because=(
            "Burning 14.4 or 6 times too fast leaves less than a week; the short window ends the call soon."
            if fast
            else "Burning 3 times too fast or just too fast leaves a week or more: a ticket is enough."
        ),
        limits=(
            "objective",
            "objective_latency",
            "latency_rise",
            *(("burn_page_short", "burn_page_long") if fast else ("burn_ticket_short", "burn_ticket_long")),
            "slow_users",
        ),
        panel=Panel(DEPLOYMENT_OVERVIEW.slug, "Users above the latency objective"),
    )


def _pair(  # noqa: PLR0913, PLR0917 - a burn rate has that many numbers.
    site: Site, ratios: dict[str, Recording], slow: Recording, short: str, long: str, times: float
) -> str:
    bound = f"{times * (1 - site.thresholds.objective):.6g}"
    return (
        f"(\n{ratios[long].read(site.scope)} > {bound}\n"
        f"and\n{ratios[short].read(site.scope)} > {bound}\n"
        f"and\nmax_over_time({slow.read(site.scope)}[{long}]) >= {site.thresholds.slow_users:g}\n)"
    )
