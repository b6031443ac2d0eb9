"""Recorded latency series: from agent reports, or from Coder's percentiles of today without reports.

A user is slow when the p50 is 300 ms or more, as on Coder's page and on the dashboards. Alerts leave out slow
users whose p50 is usual for them: distant users are always slow, and at night they can be the only users. The
usual latency is the p50 of the window of 30 days. Without that window, every slow user counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import RecordingRule
from insights_exporter.bundle.alerts.thresholds import Thresholds
from insights_exporter.bundle.promql import Expr, QueryBuilder, not_equal
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS
from insights_exporter.metrics.family import USER_LABELS

__all__ = ["THRESHOLD_BY_STEP", "LatencyRecordingRules", "high_latency"]

THRESHOLD_BY_STEP: Final = {
    "warning": "latency_warning",
    "critical": "latency_critical",
    "objective": "objective_latency",
}
"""Thresholds by value of the label ``step``."""

_RANGE: Final = "15m"
_QUANTILES: Final = {"p50": "0.5", "p95": "0.95"}


@dataclass(frozen=True, slots=True)
class LatencyRecordingRules:
    """The recorded latency series of an installation."""

    options: InstallOptions

    def all_rules(self) -> tuple[RecordingRule, ...]:
        """Return the rules in order of evaluation."""
        return (
            self.agents_reporting(),
            *(self.reported_user_latency(statistic) for statistic in _QUANTILES),
            *(self.user_latency(statistic) for statistic in _QUANTILES),
            self.user_baseline(),
            self.reported_template_p95(),
            self.template_p95(),
            self.measured_users(),
            *(self.slow_users(step) for step in THRESHOLD_BY_STEP),
            self.high_p95_users(),
            self.app_p95(),
            self.app_users(),
            self.relay_p50(),
        )

    def agents_reporting(self) -> RecordingRule:
        """Return a series that exists while agent reports with user names are read, also at night."""
        buckets = self._reported_buckets("", le="+Inf").max(*self.options.target_labels)
        return RecordingRule(
            name="deployment:coder_insights_connection_latency_seconds:reporting",
            expr=f"{buckets} >= bool 0",
            labels=self.options.target_labels,
            description="Present while agent reports are read; they replace Coder's percentiles.",
        )

    def reported_user_latency(self, statistic: str) -> RecordingRule:
        """Return the p50 or p95 of each user from agent reports."""
        return RecordingRule(
            name=f"template_user:coder_insights_connection_latency_seconds:{statistic}_15m",
            expr=_quantile_expr(_QUANTILES[statistic], self._reported_buckets(_RANGE)),
            labels=self._user_labels,
            description=f"{statistic} of a user's reported round trips over 15 minutes.",
        )

    def user_latency(self, statistic: str) -> RecordingRule:
        """Return the p50 or p95 of each user from the best available source."""
        family = catalogue.USER_LATENCY_P50 if statistic == "p50" else catalogue.USER_LATENCY_P95
        today = self._query.latest(family, window="today", username=not_equal(catalogue.OTHER))
        reported = self.reported_user_latency(statistic).selector(self._query)
        return RecordingRule(
            name=f"template_user:coder_insights_latency_seconds:{statistic}",
            expr=f"{reported}\nor\n{self._unless_reporting(str(today))}",
            labels=self._user_labels,
            description=f"The same; without agent reports, the user's {statistic} of today.",
        )

    def user_baseline(self) -> RecordingRule:
        """Return the usual latency of each user."""
        median = self._query.latest(
            catalogue.USER_LATENCY_P50, window="30d", username=not_equal(catalogue.OTHER)
        )
        return RecordingRule(
            name="template_user:coder_insights_latency_seconds:usual",
            expr=str(median),
            labels=self._user_labels,
            description="p50 of a user over 30 days; one bad day does not change it.",
        )

    def reported_template_p95(self) -> RecordingRule:
        """Return the p95 of each template from agent reports."""
        buckets = self._query.buckets(catalogue.CONNECTION_LATENCY, _RANGE)
        return RecordingRule(
            name="template:coder_insights_connection_latency_seconds:p95_15m",
            expr=_quantile_expr("0.95", buckets.sum(*self.options.template_labels, "le")),
            labels=self.options.template_labels,
            description="95th percentile of a template's reported round trips over 15 minutes.",
        )

    def template_p95(self) -> RecordingRule:
        """Return the p95 of each template from the best available source."""
        reported = self.reported_template_p95().selector(self._query)
        today = _quantile_expr("0.95", self._window_buckets("today", "p95"))
        return RecordingRule(
            name="template:coder_insights_latency_seconds:p95",
            expr=f"{reported}\nor\n{self._unless_reporting(today)}",
            labels=self.options.template_labels,
            description="The same; without agent reports, the 95th percentile of the users' p95 of today.",
        )

    def measured_users(self) -> RecordingRule:
        """Return the number of users with a known latency."""
        return RecordingRule(
            name="template:coder_insights_latency_seconds:users",
            expr=(
                f"{self._count_by_template(self.reported_user_latency('p50').selector(self._query))}\n"
                f"or\n{self._unless_reporting(str(self._window_buckets('today', 'p50', le='+Inf')))}"
            ),
            labels=self.options.template_labels,
            description="Users of a template with a known latency.",
        )

    def slow_users(self, step: str) -> RecordingRule:
        """Return the number of users whose p50 is above a step and above its usual value."""
        thresholds = self.options.thresholds
        threshold: float = getattr(thresholds, THRESHOLD_BY_STEP[step])
        return RecordingRule(
            name="template:coder_insights_latency_seconds:slow_users",
            expr=self._users_above("p50", threshold),
            labels=(*self.options.template_labels, "step"),
            const_labels={"step": step},
            description=f"Users of a template whose p50 is {high_latency(threshold, thresholds)}.",
        )

    def high_p95_users(self) -> RecordingRule:
        """Return the number of users whose p95 is high and above their usual latency."""
        thresholds = self.options.thresholds
        return RecordingRule(
            name="template:coder_insights_latency_seconds:high_p95_users",
            expr=self._users_above("p95", thresholds.latency_critical),
            labels=self.options.template_labels,
            description=(
                f"Users of a template whose p95 is {high_latency(thresholds.latency_critical, thresholds)}."
            ),
        )

    def _users_above(self, statistic: str, threshold: float) -> str:
        factor = self.options.thresholds.latency_increase_factor
        current, baseline = (
            rule.selector(self._query) for rule in (self.user_latency(statistic), self.user_baseline())
        )
        users = f"{current} >= {threshold:g}\nunless\n{current} <= {factor:g} * {baseline}"
        return (
            f"{self._count_by_template(users)}\n"
            f"or\n0 * {self._count_by_template(current)}\n"
            f"or\n{self._users_above_without_names(statistic, threshold)}"
        )

    def _users_above_without_names(self, statistic: str, threshold: float) -> str:
        """Return the number of users above a threshold minus those who usually are."""
        baseline_limit = threshold / self.options.thresholds.latency_increase_factor
        baseline_bound = max(
            (bucket_bound for bucket_bound in LATENCY_BUCKETS if bucket_bound <= baseline_limit),
            default=LATENCY_BUCKETS[0],
        )
        slow_today, slow_baseline = (
            f"({self._window_buckets(window, window_statistic, le='+Inf')}"
            f"\n- {self._window_buckets(window, window_statistic, le=repr(float(bound)))})"
            for window, window_statistic, bound in (
                ("today", statistic, threshold),
                ("30d", "p50", baseline_bound),
            )
        )
        return self._unless_reporting(f"(clamp_min({slow_today}\n- {slow_baseline}, 0)\nor\n{slow_today})")

    def app_p95(self) -> RecordingRule:
        """Return the p95 of connections while an app is open."""
        return RecordingRule(
            name="template_app:coder_insights_app_connection_latency_seconds:p95_15m",
            expr=_quantile_expr("0.95", self._query.buckets(catalogue.APP_CONNECTION_LATENCY, _RANGE)),
            labels=(*self.options.template_labels, "app"),
            description="95th percentile of reported round trips while the app was open, over 15 minutes.",
        )

    def app_users(self) -> RecordingRule:
        """Return the number of users with an open session of an app."""
        sessions = self._query.rate(catalogue.USER_APP_SESSION, _RANGE, username=not_equal(catalogue.OTHER))
        labels = (*self.options.template_labels, "app")
        return RecordingRule(
            name="template_app:coder_insights_user_app_session_seconds:users_15m",
            expr=f"count by ({', '.join(labels)}) ({sessions} > 0)",
            labels=labels,
            description="Users with an open session of the app within 15 minutes.",
        )

    def relay_p50(self) -> RecordingRule:
        """Return the median latency between agents and their relay."""
        return RecordingRule(
            name="relay:coder_insights_agent_relay_latency_seconds:p50",
            expr=_quantile_expr("0.5", self._query.buckets(catalogue.AGENT_RELAY_LATENCY)),
            labels=(*self.options.target_labels, "derp_region"),
            description="Median round trip between agents and their preferred relay.",
        )

    @property
    def _query(self) -> QueryBuilder:
        return self.options.query

    @property
    def _user_labels(self) -> tuple[str, ...]:
        return (*self.options.template_labels, *USER_LABELS)

    def _reported_buckets(self, range_: str, **labels: str) -> Expr:
        family = catalogue.CONNECTION_LATENCY
        return self._query.buckets(family, range_, username=not_equal(catalogue.OTHER), **labels)

    def _window_buckets(self, window: str, statistic: str, **labels: str) -> Expr:
        matchers = {"window": window, "statistic": statistic, **labels}
        return self._query.buckets(catalogue.TEMPLATE_USER_LATENCY, "", **matchers)

    def _unless_reporting(self, expr: str) -> str:
        reporting = self.agents_reporting().selector(self._query)
        return f"(\n{expr}\nunless {self.options.on_target}\n{reporting}\n)"

    def _count_by_template(self, users: str) -> str:
        return f"count by ({', '.join(self.options.template_labels)}) ({users})"


def high_latency(threshold_seconds: float, thresholds: Thresholds) -> str:
    """Return what alerts call a high latency of a user, in words."""
    factor = thresholds.latency_increase_factor
    return f"{1000 * threshold_seconds:g} ms or more and above {factor:g} times their usual p50"


def _quantile_expr(quantile: str, buckets: Expr) -> str:
    # Without observations the quantile is NaN, which the comparison removes.
    return f"histogram_quantile({quantile}, {buckets}) >= 0"
