"""Recorded series of latency; where agents report, these count, else what Coder says of today.

Slow are users who are above a step and much slower than they usually are. Who is far away is always slow; at
night these few may be all who are at work, and that is no incident. What is usual comes from the window of
30 days; where that is not asked for, everybody above a step is slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import RecordingRule
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import Expr, QueryBuilder, not_equal
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS, labels

__all__ = ["TEMPLATE_LABELS", "THRESHOLD_BY_STEP", "LatencyRecordingRules", "slow_description"]

TEMPLATE_LABELS: Final = ("job", *labels.TEMPLATE_LABELS)
THRESHOLD_BY_STEP: Final = {
    "warning": "latency_warning",
    "critical": "latency_critical",
    "objective": "objective_latency",
}
"""The steps against which slow users are counted, and the threshold behind each."""

_RANGE: Final = "15m"
_BY_TEMPLATE: Final = f"by ({', '.join(TEMPLATE_LABELS)})"


@dataclass(frozen=True, slots=True)
class LatencyRecordingRules:
    """The recorded series of one site."""

    options: InstallOptions

    def all_rules(self) -> tuple[RecordingRule, ...]:
        """Return them in the order in which they must be evaluated."""
        return (
            self.agents_reporting(),
            self.reported_user_p95(),
            self.user_p95(),
            self.user_baseline(),
            self.reported_template_p95(),
            self.template_p95(),
            self.measured_users(),
            *(self.slow_users(step) for step in THRESHOLD_BY_STEP),
            self.app_p95(),
            self.app_users(),
            self.relay_p50(),
        )

    def agents_reporting(self) -> RecordingRule:
        """Whether agents report with usernames; nights without reports do not change it."""
        return RecordingRule(
            name="deployment:coder_insights_connection_latency_seconds:reporting",
            expr=f"{self._reported_buckets('', le='+Inf').max('job')} >= bool 0",
            labels=("job",),
            description="Present while agent reports are read, so that Coder's own percentiles are not needed.",
        )

    def reported_user_p95(self) -> RecordingRule:
        """How slow each user's connections are now."""
        return RecordingRule(
            name="template_user:coder_insights_connection_latency_seconds:p95_15m",
            expr=_quantile_expr("0.95", self._reported_buckets(_RANGE)),
            labels=(*TEMPLATE_LABELS, *labels.USER_LABELS),
            description="95th percentile of a user's reported round trips over 15 minutes.",
        )

    def user_p95(self) -> RecordingRule:
        """How slow each user's connections are, from the best source there is."""
        today = self._query.latest(
            catalogue.USER_LATENCY_P95, window="today", username=not_equal(catalogue.OTHER)
        )
        return RecordingRule(
            name="template_user:coder_insights_latency_seconds:p95",
            expr=f"{self.reported_user_p95().selector(self._query)}\nor\n{self._unless_reporting(str(today))}",
            labels=(*TEMPLATE_LABELS, *labels.USER_LABELS),
            description="The same, or without agent reports the user's p95 today.",
        )

    def user_baseline(self) -> RecordingRule:
        """How slow each user's connections usually are."""
        median = self._query.latest(
            catalogue.USER_LATENCY_P50, window="30d", username=not_equal(catalogue.OTHER)
        )
        return RecordingRule(
            name="template_user:coder_insights_latency_seconds:usual",
            expr=str(median),
            labels=(*TEMPLATE_LABELS, *labels.USER_LABELS),
            description="Median round trip of a user over 30 days, which no single bad day changes.",
        )

    def reported_template_p95(self) -> RecordingRule:
        """How slow a template's connections are now."""
        buckets = self._query.buckets(catalogue.CONNECTION_LATENCY, _RANGE)
        return RecordingRule(
            name="template:coder_insights_connection_latency_seconds:p95_15m",
            expr=_quantile_expr("0.95", buckets.sum(*TEMPLATE_LABELS, "le")),
            labels=TEMPLATE_LABELS,
            description="95th percentile of a template's reported round trips over 15 minutes.",
        )

    def template_p95(self) -> RecordingRule:
        """How slow a template's connections are, from the best source there is."""
        reported = self.reported_template_p95().selector(self._query)
        today = _quantile_expr("0.95", self._window_buckets("today", "p95"))
        return RecordingRule(
            name="template:coder_insights_latency_seconds:p95",
            expr=f"{reported}\nor\n{self._unless_reporting(today)}",
            labels=TEMPLATE_LABELS,
            description="The same, or without agent reports the 95th percentile of its users' p95 today.",
        )

    def measured_users(self) -> RecordingRule:
        """Of how many users the latency is known."""
        return RecordingRule(
            name="template:coder_insights_latency_seconds:users",
            expr=(
                f"{_count_by_template(self.reported_user_p95().selector(self._query))}\n"
                f"or\n{self._unless_reporting(str(self._window_buckets('today', 'p95', le='+Inf')))}"
            ),
            labels=TEMPLATE_LABELS,
            description="Users of a template whose latency is known.",
        )

    def slow_users(self, step: str) -> RecordingRule:
        """How many users are above a step, and slower than usual."""
        thresholds = self.options.thresholds
        threshold: float = getattr(thresholds, THRESHOLD_BY_STEP[step])
        current, baseline = (rule.selector(self._query) for rule in (self.user_p95(), self.user_baseline()))
        slow_users = f"{current} > {threshold:g}\nunless\n{current} <= {thresholds.latency_increase_factor:g} * {baseline}"
        return RecordingRule(
            name="template:coder_insights_latency_seconds:slow_users",
            expr=f"{_count_by_template(slow_users)}\nor\n0 * {_count_by_template(current)}\nor\n{self._slow_users_without_names(threshold)}",
            labels=(*TEMPLATE_LABELS, "step"),
            const_labels={"step": step},
            description=f"Slow users of a template: their p95 is {slow_description(threshold, thresholds)}.",
        )

    def _slow_users_without_names(self, threshold: float) -> str:
        """Where names are switched off: as many as are usually slow are forgiven, whoever they are."""
        baseline_limit = threshold / self.options.thresholds.latency_increase_factor
        baseline_bound = max(
            (bucket_bound for bucket_bound in LATENCY_BUCKETS if bucket_bound <= baseline_limit),
            default=LATENCY_BUCKETS[0],
        )
        slow_today, slow_baseline = (
            f"({self._window_buckets(window, statistic, le='+Inf')}"
            f"\n- {self._window_buckets(window, statistic, le=repr(float(bound)))})"
            for window, statistic, bound in (("today", "p95", threshold), ("30d", "p50", baseline_bound))
        )
        return self._unless_reporting(f"(clamp_min({slow_today}\n- {slow_baseline}, 0)\nor\n{slow_today})")

    def app_p95(self) -> RecordingRule:
        """How slow connections are while an app is open."""
        return RecordingRule(
            name="template_app:coder_insights_app_connection_latency_seconds:p95_15m",
            expr=_quantile_expr("0.95", self._query.buckets(catalogue.APP_CONNECTION_LATENCY, _RANGE)),
            labels=(*TEMPLATE_LABELS, "app"),
            description="95th percentile of the round trips reported while an app was open, over 15 minutes.",
        )

    def app_users(self) -> RecordingRule:
        """How many users have an app open."""
        sessions = self._query.rate(catalogue.USER_APP_SESSION, _RANGE, username=not_equal(catalogue.OTHER))
        return RecordingRule(
            name="template_app:coder_insights_user_app_session_seconds:users_15m",
            expr=f"count by ({', '.join((*TEMPLATE_LABELS, 'app'))}) ({sessions} > 0)",
            labels=(*TEMPLATE_LABELS, "app"),
            description="Users who had a session of an app open within 15 minutes.",
        )

    def relay_p50(self) -> RecordingRule:
        """How far agents are from their relay."""
        return RecordingRule(
            name="relay:coder_insights_agent_relay_latency_seconds:p50",
            expr=_quantile_expr("0.5", self._query.buckets(catalogue.AGENT_RELAY_LATENCY)),
            labels=("job", "derp_region"),
            description="Median round trip between agents and their preferred relay.",
        )

    @property
    def _query(self) -> QueryBuilder:
        return self.options.query

    def _reported_buckets(self, range_: str, **labels: str) -> Expr:
        family = catalogue.CONNECTION_LATENCY
        return self._query.buckets(family, range_, username=not_equal(catalogue.OTHER), **labels)

    def _window_buckets(self, window: str, statistic: str, **labels: str) -> Expr:
        matchers = {"window": window, "statistic": statistic, **labels}
        return self._query.buckets(catalogue.TEMPLATE_USER_LATENCY, "", **matchers)

    def _unless_reporting(self, expr: str) -> str:
        return f"(\n{expr}\nunless on (job)\n{self.agents_reporting().selector(self._query)}\n)"


def slow_description(threshold_seconds: float, thresholds: Thresholds) -> str:
    """Say in words where slow users are."""
    return (
        f"above {1000 * threshold_seconds:g} ms and {thresholds.latency_increase_factor:g} times their usual"
    )


def _count_by_template(users: str) -> str:
    return f"count {_BY_TEMPLATE} ({users})"


def _quantile_expr(quantile: str, buckets: Expr) -> str:
    # Without observations the quantile is NaN; the comparison leaves it out.
    return f"histogram_quantile({quantile}, {buckets}) >= 0"
