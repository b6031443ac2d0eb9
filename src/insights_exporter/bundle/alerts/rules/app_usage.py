"""Rules on the use of apps, templates and parameter options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from insights_exporter.app_families import WORKSPACE_APP_FAMILY
from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import (
    TEMPLATE_SUBJECT,
    TEMPLATE_VARIABLES,
    TEMPLATES_VARIABLES,
    Alert,
    PanelLink,
    RecordingRule,
    RuleGroup,
    Severity,
)
from insights_exporter.bundle.alerts.rules.active_users import LAST_DAY
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import not_equal, share
from insights_exporter.bundle.registry import (
    CAPACITY_PLANNING,
    TEMPLATE_INSIGHTS,
    TEMPLATE_OPTIMIZATION,
    USER_SUPPORT,
)
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import APP_LABELS

__all__ = ["AppUsageStopped", "group", "parameters_group"]

_TODAY: Final = {"interval": "day", "ago": "0"}


@dataclass(frozen=True, slots=True)
class AppUsageStopped:
    """The alert and the recorded series that it uses."""

    options: InstallOptions

    def recordings(self) -> tuple[RecordingRule, ...]:
        """Return the recording rules in order of evaluation."""
        return (
            self.used_days(),
            self.weekday_ratio(),
            self.today_ratio(),
            self.expected_users(),
            self.family_usage(),
        )

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

    def family_usage(self) -> RecordingRule:
        """Return today's use of the app's family: that of its most used client, such as VS Code or Cursor.

        After an upgrade, Coder counts client programs separately, and the app of the family may have no use.
        """
        query, apps = self.options.query, ", ".join((*self.options.target_labels, *APP_LABELS))
        today = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="today")
        info = query.latest(catalogue.APP_INFO, family=not_equal(WORKSPACE_APP_FAMILY))
        by_family = f"{today} * on ({apps}) group_left (family) topk by ({apps}) (1, {info})"
        family = ", ".join((*self.options.template_labels, "family"))
        return RecordingRule(
            name="template_app:coder_insights_template_app_usage_window_seconds:family_today",
            expr=(
                f"max by ({', '.join(self._app_labels)}) (\n"
                f"  ({by_family}) * 0\n"
                f"  + on ({family}) group_left ()\n"
                f"  max by ({family}) ({by_family})\n)"
            ),
            labels=self._app_labels,
            description="Seconds today in the most used client of the app's family; without custom apps.",
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
                f"unless\n{self.family_usage().selector(query)} > 0\n"
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


_DAY_SECONDS: Final = 86400


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on apps and on unused templates."""
    stopped, unhealthy, total = (
        AppUsageStopped(options),
        _unhealthy_workspaces(options),
        _checked_workspaces(options),
    )
    return RuleGroup(
        slug="app-usage",
        title="Application usage",
        interval="1m",
        recordings=(*stopped.recordings(), unhealthy, total),
        alerts=(
            stopped.alert(),
            _apps_unhealthy(options, unhealthy, total),
            _template_unused(options),
            _app_unused(options),
        ),
    )


def parameters_group(options: InstallOptions) -> RuleGroup:
    """Return the rules on unused parameter options."""
    return RuleGroup(
        slug="parameters",
        title="Template parameters",
        interval="1m",
        alerts=(_parameter_options_unused(options),),
    )


def _unhealthy_workspaces(options: InstallOptions) -> RecordingRule:
    return RecordingRule(
        name="template_app:coder_insights_app_health:unhealthy",
        expr=str(options.query.latest(catalogue.APP_HEALTH, health="unhealthy")),
        labels=(*options.template_labels, "app"),
        description="Workspaces in which the health check of the app fails.",
    )


def _checked_workspaces(options: InstallOptions) -> RecordingRule:
    with_health_check = options.query.latest(catalogue.APP_HEALTH, health=not_equal("disabled"))
    return RecordingRule(
        name="template_app:coder_insights_app_health:checked",
        expr=str(with_health_check.sum(*options.template_labels, "app")),
        labels=(*options.template_labels, "app"),
        description="Workspaces with a health check of the app.",
    )


def _apps_unhealthy(options: InstallOptions, unhealthy: RecordingRule, total: RecordingRule) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsAppsUnhealthy",
        expr=(
            f"{share(unhealthy.selector(query), total.selector(query))} >= {thresholds.unhealthy_share:g}\n"
            f"and\n{unhealthy.selector(query)} >= {thresholds.unhealthy_apps:g}"
        ),
        for_="15m",
        severity=Severity.WARNING,
        summary="An app is unhealthy in many workspaces.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "the health check of"
            " {{ $labels.app }} fails in {{ $value | humanizePercentage }} of the running workspaces."
        ),
        rationale="Three consecutive polls and a quarter of the workspaces exclude single workspaces.",
        thresholds=("unhealthy_share", "unhealthy_apps"),
        panel=PanelLink(USER_SUPPORT.slug, "App health", TEMPLATES_VARIABLES),
    )


def _template_unused(options: InstallOptions) -> Alert:
    query, age = options.query, options.thresholds.unused_days * _DAY_SECONDS
    users = query.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    created = query.latest(catalogue.TEMPLATE_CREATED)
    return Alert(
        name="CoderInsightsTemplateUnused",
        expr=f"time() - {created} > {age:g}\nand\n{users} == 0",
        for_="6h",
        severity=Severity.INFO,
        summary="A template had no users for 30 days.",
        description=(
            f"{TEMPLATE_SUBJECT} "
            "was created"
            " {{ $value | humanizeDuration }} ago and had no users in the last 30 days."
        ),
        rationale="Thirty days are longer than leave, and the template must be at least as old.",
        thresholds=("unused_days",),
        panel=PanelLink(CAPACITY_PLANNING.slug, "Least used templates", TEMPLATES_VARIABLES),
    )


def _app_unused(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    seconds = query.latest(catalogue.TEMPLATE_APP_USAGE_WINDOW, window="30d", app_type="app")
    users = query.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="30d")
    return Alert(
        name="CoderInsightsAppUnused",
        expr=(
            f"count by ({', '.join(options.template_labels)}) ({seconds} == 0)\n"
            f"and\n{users} >= {thresholds.unused_users:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="A template has apps without use for 30 days.",
        description=(
            f"{TEMPLATE_SUBJECT}: {{{{ $value | humanize }}}} of its apps had no use in the last 30 days."
        ),
        rationale="Only apps that the template declares count, and only with enough users.",
        thresholds=("unused_users",),
        panel=PanelLink(TEMPLATE_OPTIMIZATION.slug, "Unused apps", TEMPLATES_VARIABLES),
    )


def _parameter_options_unused(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    template_labels = options.template_labels
    option_workspaces = query.latest(catalogue.TEMPLATE_PARAMETER_WORKSPACES, window="30d")
    workspaces = option_workspaces.sum(*template_labels, "parameter_name", "parameter_type").max(
        *template_labels
    )
    return Alert(
        name="CoderInsightsParameterOptionsUnused",
        expr=(
            f"count by ({', '.join(template_labels)}) ({option_workspaces} == 0)\n"
            f"and\n{workspaces} >= {thresholds.parameter_workspaces:g}"
        ),
        for_="6h",
        severity=Severity.INFO,
        summary="A template has parameter options without use for 30 days.",
        description=(
            f"{TEMPLATE_SUBJECT}: "
            "no workspace of the last"
            " 30 days uses {{ $value | humanize }} of its parameter options."
        ),
        rationale="One alert per template keeps the number low; a minimum of workspaces excludes chance.",
        thresholds=("parameter_workspaces",),
        panel=PanelLink(TEMPLATE_OPTIMIZATION.slug, "Unused options", TEMPLATES_VARIABLES),
    )
