"""Whether an app that people use every working day is used by nobody today.

Coder counts an app's time but not its users. So the number of people to expect is estimated: those of the
template, by the app's share of the template's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RecordingRule, Severity
from insights_exporter.bundle.alerts.units import format_threshold
from insights_exporter.bundle.promql import share
from insights_exporter.bundle.registry import TEMPLATE_INSIGHTS
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import APP_LABELS, TEMPLATE_LABELS

__all__ = ["AppUsageStopped"]

_TEMPLATE_LABELS: Final = ("job", *TEMPLATE_LABELS)
_APP_LABELS: Final = (*_TEMPLATE_LABELS, *APP_LABELS)
_ON_TEMPLATE: Final = f"on ({', '.join(_TEMPLATE_LABELS)}) group_left ()"
_TODAY: Final = {"interval": "day", "ago": "0"}
_LAST_DAY: Final = {"interval": "day", "ago": "1"}


@dataclass(frozen=True, slots=True)
class AppUsageStopped:
    """The alert of one site and the recorded series behind it."""

    options: InstallOptions

    def recordings(self) -> tuple[RecordingRule, ...]:
        """Return them in the order in which they must be evaluated."""
        return (self.used_days(), self.weekday_ratio(), self.today_ratio(), self.expected_users())

    def used_days(self) -> RecordingRule:
        """On how many days people used an app."""
        family, query = catalogue.TEMPLATE_APP_USAGE_WINDOW, self.options.query
        min_seconds = self.options.thresholds.app_seconds
        daily_usage = [query.latest(family, window="yesterday")]
        daily_usage += [query.at_offset(family, f"{ago}d", window="yesterday") for ago in range(1, 7)]
        return RecordingRule(
            name="template_app:coder_insights_template_app_usage_window_seconds:used_days",
            expr="\n+ ".join(f"({usage} > bool {min_seconds:g})" for usage in daily_usage),
            labels=_APP_LABELS,
            description=(
                "On how many of the seven days before today people together used an app for more than"
                f" {format_threshold(min_seconds, 'seconds')}."
            ),
        )

    def weekday_ratio(self) -> RecordingRule:
        """Whether people work on this day of the week, which is not the same everywhere."""
        family, query = catalogue.DEPLOYMENT_ACTIVE_USERS, self.options.query
        return RecordingRule(
            name="deployment:coder_insights_deployment_active_users:weekday_ratio",
            # The same weekday a week ago was, six days ago, yesterday.
            expr=share(
                query.at_offset(family, "6d", **_LAST_DAY),
                query.over_time("max_over_time", family, "7d", **_LAST_DAY),
            ),
            labels=("job",),
            description="Users on the same weekday a week ago, as a share of the most on a day from then on.",
        )

    def today_ratio(self) -> RecordingRule:
        """Whether people are at work today."""
        family, query = catalogue.DEPLOYMENT_ACTIVE_USERS, self.options.query
        return RecordingRule(
            name="deployment:coder_insights_deployment_active_users:today_ratio",
            expr=share(query.latest(family, **_TODAY), query.at_offset(family, "7d", **_TODAY)),
            labels=("job",),
            description="Users so far today, as a share of those a week ago by the same time.",
        )

    def expected_users(self) -> RecordingRule:
        """How many people should have used an app by now."""
        query = self.options.query
        app_usage = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="7d")
        template_usage = query.latest(catalogue.TEMPLATE_USAGE_WINDOW, window="7d")
        users = query.at_offset(catalogue.TEMPLATE_ACTIVE_USERS, "7d", **_TODAY)
        return RecordingRule(
            name="template_app:coder_insights_template_app_usage_window_seconds:expected_users",
            expr=(
                f"clamp_max({app_usage} / {_ON_TEMPLATE} ({template_usage} > 0), 1)\n"
                f"* {_ON_TEMPLATE}\n{users}\n"
                f"* on (job) group_left ()\nclamp_max({self.today_ratio().selector(query)}, 1)"
            ),
            labels=_APP_LABELS,
            description=(
                "Users that an app should have had by now: those of its template a week ago, less what all"
                " templates lost, by the app's share of the template's time."
            ),
        )

    def alert(self) -> Alert:
        """Nobody uses an app that people use every working day."""
        thresholds, query = self.options.thresholds, self.options.query
        today = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="today")
        return Alert(
            name="CoderInsightsAppUsageStopped",
            expr=(
                f"{self.expected_users().selector(query)} >= {thresholds.app_users:g}\n"
                f"and\n{today} == 0\n"
                f"and\n{self.used_days().selector(query)} >= {thresholds.app_days:g}\n"
                f"and on (job)\n{self.weekday_ratio().selector(query)} >= {thresholds.workday_share:g}\n"
                f"and on (job)\n{self.today_ratio().selector(query)} >= {thresholds.workday_share:g}"
            ),
            for_="1h",
            severity=Severity.WARNING,
            summary="Nobody uses an app today that people use every working day.",
            description=(
                "Nobody has used {{ $labels.app }} in template {{ $labels.template_name }} of"
                " {{ $labels.organization_name }} today. Going by last week, about"
                ' {{ printf "%.0f" $value }} people should have by now, and the rest of Coder is as busy as'
                " then."
            ),
            rationale=(
                "Used on nearly all working days, by several people, in a company that is at work today: its"
                " silence is neither a day off nor one person's leave; an hour lets a late start pass."
            ),
            thresholds=("app_users", "app_seconds", "app_days", "workday_share"),
            panel=PanelLink(
                TEMPLATE_INSIGHTS.slug,
                "App & IDE Usage",
                {"organization": "organization_name", "template": "template_name"},
            ),
        )
