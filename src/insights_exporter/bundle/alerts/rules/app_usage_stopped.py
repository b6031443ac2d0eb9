"""The alert on an app that is used on every working day, but not today.

Coder reports the time per app, not its users. The expected users of an app are estimated: the users of the
template times the app's share of the template's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    TEMPLATE_SUBJECT,
    TEMPLATE_VARIABLES,
    Alert,
    PanelLink,
    RecordingRule,
    Severity,
)
from insights_exporter.bundle.alerts.rules.active_users import LAST_DAY
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import share
from insights_exporter.bundle.registry import TEMPLATE_INSIGHTS
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import APP_LABELS

__all__ = ["AppUsageStopped"]

_TODAY: Final = {"interval": "day", "ago": "0"}


@dataclass(frozen=True, slots=True)
class AppUsageStopped:
    """The alert and the recorded series that it uses."""

    options: InstallOptions

    def recordings(self) -> tuple[RecordingRule, ...]:
        """Return the recording rules in order of evaluation."""
        return (self.used_days(), self.weekday_ratio(), self.today_ratio(), self.expected_users())

    def used_days(self) -> RecordingRule:
        """Return the number of days on which several users used the app."""
        family, query = catalogue.TEMPLATE_APP_USAGE_WINDOW, self.options.query
        min_seconds = self.options.thresholds.app_seconds
        daily_usage = [query.latest(family, window="yesterday")]
        daily_usage += [query.at_offset(family, f"{ago}d", window="yesterday") for ago in range(1, 7)]
        return RecordingRule(
            name="template_app:coder_insights_template_app_usage_window_seconds:used_days",
            expr="\n+ ".join(f"({usage} > bool {min_seconds:g})" for usage in daily_usage),
            labels=self._app_labels,
            description=(
                "Number of the seven days before today on which the app was used for more than"
                f" {format_threshold(min_seconds, 'seconds')} in total."
            ),
        )

    def weekday_ratio(self) -> RecordingRule:
        """Return how usual work is on this weekday; the working week differs between countries."""
        family, query = catalogue.DEPLOYMENT_ACTIVE_USERS, self.options.query
        return RecordingRule(
            name="deployment:coder_insights_deployment_active_users:weekday_ratio",
            # The same weekday of last week was "yesterday" six days ago.
            expr=share(
                query.at_offset(family, "6d", **LAST_DAY),
                query.over_time("max_over_time", family, "7d", **LAST_DAY),
            ),
            labels=self.options.target_labels,
            description="Users on the same weekday of last week divided by the maximum of the days since.",
        )

    def today_ratio(self) -> RecordingRule:
        """Return how many users are active today in comparison with last week."""
        family, query = catalogue.DEPLOYMENT_ACTIVE_USERS, self.options.query
        return RecordingRule(
            name="deployment:coder_insights_deployment_active_users:today_ratio",
            expr=share(query.latest(family, **_TODAY), query.at_offset(family, "7d", **_TODAY)),
            labels=self.options.target_labels,
            description="Users so far today divided by those a week ago at the same time.",
        )

    def expected_users(self) -> RecordingRule:
        """Return the number of users whom the app usually has by this time of the day."""
        query, on_template = self.options.query, f"{self.options.on_template} group_left ()"
        app_usage = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="7d")
        template_usage = query.latest(catalogue.TEMPLATE_USAGE_WINDOW, window="7d")
        users = query.at_offset(catalogue.TEMPLATE_ACTIVE_USERS, "7d", **_TODAY)
        return RecordingRule(
            name="template_app:coder_insights_template_app_usage_window_seconds:expected_users",
            expr=(
                f"clamp_max({app_usage} / {on_template} ({template_usage} > 0), 1)\n"
                f"* {on_template}\n{users}\n"
                f"* {self.options.on_target} group_left ()\n"
                f"clamp_max({self.today_ratio().selector(query)}, 1)"
            ),
            labels=self._app_labels,
            description=(
                "Expected users of the app by now: users of the template a week ago times the app's share of"
                " the template's time, reduced by the deployment's loss."
            ),
        )

    def alert(self) -> Alert:
        """Return the alert."""
        thresholds, query, on_target = self.options.thresholds, self.options.query, self.options.on_target
        today = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="today")
        return Alert(
            name="CoderInsightsAppUsageStopped",
            expr=(
                f"{self.expected_users().selector(query)} >= {thresholds.app_users:g}\n"
                f"and\n{today} == 0\n"
                f"and\n{self.used_days().selector(query)} >= {thresholds.app_days:g}\n"
                f"and {on_target}\n{self.weekday_ratio().selector(query)} >= {thresholds.workday_share:g}\n"
                f"and {on_target}\n{self.today_ratio().selector(query)} >= {thresholds.workday_share:g}"
            ),
            for_="1h",
            severity=Severity.WARNING,
            summary="An app that is used on every working day has no use today.",
            description=(
                f"{TEMPLATE_SUBJECT}: "
                "{{ $labels.app }} had"
                ' no use today. About {{ printf "%.0f" $value }} users are expected by now, and the rest of'
                " Coder is as busy as last week."
            ),
            rationale=(
                "The app has several users on nearly all working days, and today is a working day; an hour"
                " allows for a late start."
            ),
            thresholds=("app_users", "app_seconds", "app_days", "workday_share"),
            panel=PanelLink(TEMPLATE_INSIGHTS.slug, "App & IDE Usage", TEMPLATE_VARIABLES),
        )

    @property
    def _app_labels(self) -> tuple[str, ...]:
        return (*self.options.template_labels, *APP_LABELS)
