"""Recorded series of latency; where agents report, these count, else what Coder says of today.

Slow are users who are above a step and much slower than they usually are. Who is far away is always slow; at
night these few may be all who are at work, and that is no incident. What is usual comes from the window of
30 days; where that is not asked for, everybody above a step is slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.model import Recording
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.queries import Scope, Vector, but
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.catalogue.labels import TEMPLATE, USER

__all__ = ["OF_TEMPLATE", "STEPS", "LatencyRecords", "slowly"]

OF_TEMPLATE: Final = ("job", *TEMPLATE)
STEPS: Final = {
    "warning": "latency_warning",
    "critical": "latency_critical",
    "objective": "objective_latency",
}
"""The steps against which slow users are counted, and the threshold behind each."""

_OVER: Final = "15m"
_BY_TEMPLATE: Final = f"by ({', '.join(OF_TEMPLATE)})"


@dataclass(frozen=True, slots=True)
class LatencyRecords:
    """The recorded series of one site."""

    site: Site

    def all(self) -> tuple[Recording, ...]:
        """Return them in the order in which they must be evaluated."""
        return (
            self.reporting(),
            self.user(),
            self.latest(),
            self.usual(),
            self.reported(),
            self.template(),
            self.measured(),
            *(self.slow(step) for step in STEPS),
            self.app(),
            self.app_users(),
            self.relay(),
        )

    def reporting(self) -> Recording:
        """Whether agents report with usernames; nights without reports do not change it."""
        return Recording(
            name="deployment:coder_insights_connection_latency_seconds:reporting",
            expr=f"{self._reports('', le='+Inf').max('job')} >= bool 0",
            labels=("job",),
            meaning="Present while agent reports are read, so that Coder's own percentiles are not needed.",
        )

    def user(self) -> Recording:
        """How slow each user's connections are now."""
        return Recording(
            name="template_user:coder_insights_connection_latency_seconds:p95_15m",
            expr=_quantile("0.95", self._reports(_OVER)),
            labels=(*OF_TEMPLATE, *USER),
            meaning="95th percentile of a user's reported round trips over 15 minutes.",
        )

    def latest(self) -> Recording:
        """How slow each user's connections are, from the best source there is."""
        today = self._scope.latest(catalogue.USER_LATENCY_P95, window="today", username=but(catalogue.OTHER))
        return Recording(
            name="template_user:coder_insights_latency_seconds:p95",
            expr=f"{self.user().read(self._scope)}\nor\n{self._unless_reporting(str(today))}",
            labels=(*OF_TEMPLATE, *USER),
            meaning="The same, or without agent reports the user's p95 today.",
        )

    def usual(self) -> Recording:
        """How slow each user's connections usually are."""
        median = self._scope.latest(catalogue.USER_LATENCY_P50, window="30d", username=but(catalogue.OTHER))
        return Recording(
            name="template_user:coder_insights_latency_seconds:usual",
            expr=str(median),
            labels=(*OF_TEMPLATE, *USER),
            meaning="Median round trip of a user over 30 days, which no single bad day changes.",
        )

    def reported(self) -> Recording:
        """How slow a template's connections are now."""
        everyone = self._scope.buckets(catalogue.CONNECTION_LATENCY, _OVER)
        return Recording(
            name="template:coder_insights_connection_latency_seconds:p95_15m",
            expr=_quantile("0.95", everyone.sum(*OF_TEMPLATE, "le")),
            labels=OF_TEMPLATE,
            meaning="95th percentile of a template's reported round trips over 15 minutes.",
        )

    def template(self) -> Recording:
        """How slow a template's connections are, from the best source there is."""
        reported = self.reported().read(self._scope)
        today = _quantile("0.95", self._buckets("today", "p95"))
        return Recording(
            name="template:coder_insights_latency_seconds:p95",
            expr=f"{reported}\nor\n{self._unless_reporting(today)}",
            labels=OF_TEMPLATE,
            meaning="The same, or without agent reports the 95th percentile of its users' p95 today.",
        )

    def measured(self) -> Recording:
        """Of how many users the latency is known."""
        return Recording(
            name="template:coder_insights_latency_seconds:users",
            expr=(
                f"{_count(self.user().read(self._scope))}\n"
                f"or\n{self._unless_reporting(str(self._buckets('today', 'p95', le='+Inf')))}"
            ),
            labels=OF_TEMPLATE,
            meaning="Users of a template whose latency is known.",
        )

    def slow(self, step: str) -> Recording:
        """How many users are above a step, and slower than usual."""
        limits = self.site.thresholds
        above: float = getattr(limits, STEPS[step])
        latest, usual = (one.read(self._scope) for one in (self.latest(), self.usual()))
        slow = f"{latest} > {above:g}\nunless\n{latest} <= {limits.latency_rise:g} * {usual}"
        return Recording(
            name="template:coder_insights_latency_seconds:slow_users",
            expr=f"{_count(slow)}\nor\n0 * {_count(latest)}\nor\n{self._unnamed(above)}",
            labels=(*OF_TEMPLATE, "step"),
            constants={"step": step},
            meaning=f"Slow users of a template: their p95 is {slowly(above, limits)}.",
        )

    def _unnamed(self, above: float) -> str:
        """Where names are switched off: as many as are usually slow are forgiven, whoever they are."""
        below = above / self.site.thresholds.latency_rise
        usual = max((one for one in LATENCY_BUCKETS if one <= below), default=LATENCY_BUCKETS[0])
        slow, always = (
            f"({self._buckets(window, statistic, le='+Inf')}"
            f"\n- {self._buckets(window, statistic, le=repr(float(bound)))})"
            for window, statistic, bound in (("today", "p95", above), ("30d", "p50", usual))
        )
        return self._unless_reporting(f"(clamp_min({slow}\n- {always}, 0)\nor\n{slow})")

    def app(self) -> Recording:
        """How slow connections are while an app is open."""
        return Recording(
            name="template_app:coder_insights_app_connection_latency_seconds:p95_15m",
            expr=_quantile("0.95", self._scope.buckets(catalogue.APP_CONNECTION_LATENCY, _OVER)),
            labels=(*OF_TEMPLATE, "app"),
            meaning="95th percentile of the round trips reported while an app was open, over 15 minutes.",
        )

    def app_users(self) -> Recording:
        """How many users have an app open."""
        sessions = self._scope.rate(catalogue.USER_APP_SESSION, _OVER, username=but(catalogue.OTHER))
        return Recording(
            name="template_app:coder_insights_user_app_session_seconds:users_15m",
            expr=f"count by ({', '.join((*OF_TEMPLATE, 'app'))}) ({sessions} > 0)",
            labels=(*OF_TEMPLATE, "app"),
            meaning="Users who had a session of an app open within 15 minutes.",
        )

    def relay(self) -> Recording:
        """How far agents are from their relay."""
        return Recording(
            name="relay:coder_insights_agent_relay_latency_seconds:p50",
            expr=_quantile("0.5", self._scope.buckets(catalogue.AGENT_RELAY_LATENCY)),
            labels=("job", "derp_region"),
            meaning="Median round trip between agents and their preferred relay.",
        )

    @property
    def _scope(self) -> Scope:
        return self.site.scope

    def _reports(self, over: str, **labels: str) -> Vector:
        family = catalogue.CONNECTION_LATENCY
        return self._scope.buckets(family, over, username=but(catalogue.OTHER), **labels)

    def _buckets(self, window: str, statistic: str, **labels: str) -> Vector:
        told = {"window": window, "statistic": statistic, **labels}
        return self._scope.buckets(catalogue.TEMPLATE_USER_LATENCY, "", **told)

    def _unless_reporting(self, expr: str) -> str:
        return f"(\n{expr}\nunless on (job)\n{self.reporting().read(self._scope)}\n)"


def slowly(above: float, limits: Thresholds) -> str:
    """Say in words where slow users are."""
    return f"above {1000 * above:g} ms and {limits.latency_rise:g} times their usual"


def _count(users: str) -> str:
    return f"count {_BY_TEMPLATE} ({users})"


def _quantile(quantile: str, buckets: Vector) -> str:
    # Without observations the quantile is NaN; the comparison leaves it out.
    return f"histogram_quantile({quantile}, {buckets}) >= 0"
