"""Whether an app that people use every working day is used by nobody today.

Coder counts an app's time but not its users. So the number of people to expect is estimated: those of the
template, by the app's share of the template's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.bundle.alerts.model import Alert, Panel, Recording, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.units import amount
from insights_exporter.bundle.boards import TEMPLATE_INSIGHTS
from insights_exporter.bundle.queries import share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.catalogue.labels import APP, TEMPLATE

__all__ = ["AppStopped"]

_OF_TEMPLATE: Final = ("job", *TEMPLATE)
_OF_APP: Final = (*_OF_TEMPLATE, *APP)
_ON_TEMPLATE: Final = f"on ({', '.join(_OF_TEMPLATE)}) group_left ()"
_TODAY: Final = {"interval": "day", "ago": "0"}
_LAST_DAY: Final = {"interval": "day", "ago": "1"}


@dataclass(frozen=True, slots=True)
class AppStopped:
    """The alert of one site and the recorded series behind it."""

    site: Site

    def recordings(self) -> tuple[Recording, ...]:
        """Return them in the order in which they must be evaluated."""
        return (self.days(), self.weekday(), self.company(), self.expected())

    def days(self) -> Recording:
        """On how many days people used an app."""
        family, scope = catalogue.TEMPLATE_APP_USAGE_WINDOW, self.site.scope
        much = self.site.thresholds.app_seconds
        days = [scope.latest(family, window="yesterday")]
        days += [scope.at(family, f"{ago}d", window="yesterday") for ago in range(1, 7)]
        return Recording(
            name="template_app:coder_insights_template_app_usage_window_seconds:used_days",
            expr="\n+ ".join(f"({day} > bool {much:g})" for day in days),
            labels=_OF_APP,
            meaning=(
                "On how many of the seven days before today people together used an app for more than"
                f" {amount(much, 'seconds')}."
            ),
        )

    def weekday(self) -> Recording:
        """Whether people work on this day of the week, which is not the same everywhere."""
        family, scope = catalogue.DEPLOYMENT_ACTIVE_USERS, self.site.scope
        return Recording(
            name="deployment:coder_insights_deployment_active_users:weekday_ratio",
            # The same weekday a week ago was, six days ago, yesterday.
            expr=share(
                scope.at(family, "6d", **_LAST_DAY), scope.over("max_over_time", family, "7d", **_LAST_DAY)
            ),
            labels=("job",),
            meaning="Users on the same weekday a week ago, as a share of the most on a day from then on.",
        )

    def company(self) -> Recording:
        """Whether people are at work today."""
        family, scope = catalogue.DEPLOYMENT_ACTIVE_USERS, self.site.scope
        return Recording(
            name="deployment:coder_insights_deployment_active_users:today_ratio",
            expr=share(scope.latest(family, **_TODAY), scope.at(family, "7d", **_TODAY)),
            labels=("job",),
            meaning="Users so far today, as a share of those a week ago by the same time.",
        )

    def expected(self) -> Recording:
        """How many people should have used an app by now."""
        scope = self.site.scope
        app = scope.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="7d")
        whole = scope.latest(catalogue.TEMPLATE_USAGE_WINDOW, window="7d")
        users = scope.at(catalogue.TEMPLATE_ACTIVE_USERS, "7d", **_TODAY)
        return Recording(
            name="template_app:coder_insights_template_app_usage_window_seconds:expected_users",
            expr=(
                f"clamp_max({app} / {_ON_TEMPLATE} ({whole} > 0), 1)\n"
                f"* {_ON_TEMPLATE}\n{users}\n"
                f"* on (job) group_left ()\nclamp_max({self.company().read(scope)}, 1)"
            ),
            labels=_OF_APP,
            meaning=(
                "Users that an app should have had by now: those of its template a week ago, less what all"
                " templates lost, by the app's share of the template's time."
            ),
        )

    def alert(self) -> Alert:
        """Nobody uses an app that people use every working day."""
        limits, scope = self.site.thresholds, self.site.scope
        today = scope.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="today")
        return Alert(
            name="CoderInsightsAppUsageStopped",
            expr=(
                f"{self.expected().read(scope)} >= {limits.app_users:g}\n"
                f"and\n{today} == 0\n"
                f"and\n{self.days().read(scope)} >= {limits.app_days:g}\n"
                f"and on (job)\n{self.weekday().read(scope)} >= {limits.company_share:g}\n"
                f"and on (job)\n{self.company().read(scope)} >= {limits.company_share:g}"
            ),
            wait="1h",
            severity=Severity.WARNING,
            summary="Nobody uses an app today that people use every working day.",
            description=(
                "Nobody has used {{ $labels.app }} in template {{ $labels.template_name }} of"
                " {{ $labels.organization_name }} today. Going by last week, about"
                ' {{ printf "%.0f" $value }} people should have by now, and the rest of Coder is as busy as'
                " then."
            ),
            because=(
                "Used on nearly all working days, by several people, in a company that is at work today: its"
                " silence is neither a day off nor one person's leave; an hour lets a late start pass."
            ),
            limits=("app_users", "app_seconds", "app_days", "company_share"),
            panel=Panel(
                TEMPLATE_INSIGHTS.slug,
                "App & IDE Usage",
                {"organization": "organization_name", "template": "template_name"},
            ),
        )
