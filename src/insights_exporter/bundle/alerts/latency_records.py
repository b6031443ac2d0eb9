"""Recorded series of latency; where agents report, these count, else what Coder says of today."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.model import Recording
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.queries import Scope, Vector, but
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import TEMPLATE, USER

__all__ = ["OF_TEMPLATE", "STEPS", "LatencyRecords"]

OF_TEMPLATE: Final = ("job", *TEMPLATE)
STEPS: Final = {
    "warning": "latency_warning",
    "critical": "latency_critical",
    "objective": "objective_latency",
}
"""The steps against which slow users are counted, and the threshold behind each."""

_TODAY: Final = {"statistic": "p95", "window": "today"}
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
        return Recording(
            name="template:coder_insights_latency_seconds:p95",
            expr=f"{reported}\nor\n{self._unless_reporting(_quantile('0.95', self._today()))}",
            labels=OF_TEMPLATE,
            meaning="The same, or without agent reports the 95th percentile of its users' p95 today.",
        )

    def measured(self) -> Recording:
        """Of how many users the latency is known."""
        return Recording(
            name="template:coder_insights_latency_seconds:users",
            expr=f"{self._users()}\nor\n{self._unless_reporting(str(self._today(le='+Inf')))}",
            labels=OF_TEMPLATE,
            meaning="Users of a template whose latency is known.",
        )

    def slow(self, step: str) -> Recording:
        """How many users are above a step."""
        above: float = getattr(self.site.thresholds, STEPS[step])
        users = f"{self._users(f' > {above:g}')}\nor\n0 * {self._users()}"
        today = f"{self._today(le='+Inf')}\n- {self._today(le=repr(float(above)))}"
        return Recording(
            name="template:coder_insights_latency_seconds:slow_users",
            expr=f"{users}\nor\n{self._unless_reporting(today)}",
            labels=(*OF_TEMPLATE, "step"),
            constants={"step": step},
            meaning=f"Users of a template whose p95 is above {1000 * above:g} ms.",
        )

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

    def _today(self, **labels: str) -> Vector:
        return self._scope.buckets(catalogue.TEMPLATE_USER_LATENCY, "", **_TODAY, **labels)

    def _users(self, condition: str = "") -> str:
        return f"count {_BY_TEMPLATE} ({self.user().read(self._scope)}{condition})"

    def _unless_reporting(self, expr: str) -> str:
        return f"(\n{expr}\nunless on (job)\n{self.reporting().read(self._scope)}\n)"


def _quantile(quantile: str, buckets: Vector) -> str:
    # Without observations the quantile is NaN; the comparison leaves it out.
    return f"histogram_quantile({quantile}, {buckets}) >= 0"
