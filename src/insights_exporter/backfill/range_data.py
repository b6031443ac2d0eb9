"""The responses of Coder for one time range, and sums of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from sys import intern

import msgspec
from msgspec import Struct

from insights_exporter.coder import models

__all__ = ["RangeData", "WindowData", "add_activities", "add_reports", "mentioned_template_ids"]


class WindowData(Struct, frozen=True):
    """The parts of a window of several days that do not follow from single days, by template id."""

    name: str
    start: datetime
    end: datetime
    reports: dict[str, models.TemplateReport] = {}
    latencies: dict[str, models.UserLatencyReport] = {}


class RangeData(Struct, frozen=True):
    """The responses for a range: of the deployment, and by template id.

    ``activity`` and ``report`` are None if the account cannot read deployment-wide insights. A template is
    missing in ``activities`` if its users are known from the deployment, and in all mappings if it was not
    used.
    """

    start: datetime
    end: datetime
    activity: models.UserActivityReport | None = None
    report: models.TemplateReport | None = None
    reports: dict[str, models.TemplateReport] = {}
    activities: dict[str, models.UserActivityReport] = {}
    latencies: dict[str, models.UserLatencyReport] = {}
    windows: tuple[WindowData, ...] = ()
    denied: tuple[str, ...] = ()
    """Templates whose insights the account cannot read."""
    is_split: bool = False
    """Whether ``activities`` has every used template."""

    @property
    def has_usage(self) -> bool:
        """Whether a template was used."""
        activities = (self.activity, *self.activities.values())
        return any(activity is not None and activity.users for activity in activities)

    def used_template_ids(self) -> frozenset[str]:
        """Return the templates with users."""
        if self.activity is None:
            return frozenset(id_ for id_, activity in self.activities.items() if activity.users)
        return frozenset(id_ for user in self.activity.users for id_ in user.template_ids)

    def template_activity(self, template_id: str) -> models.UserActivityReport:
        """Return the users of a template."""
        if template_id in self.activities or self.activity is None or self.is_split:
            return self.activities.get(template_id, models.UserActivityReport())
        return models.UserActivityReport(
            users=[user for user in self.activity.users if template_id in user.template_ids]
        )

    def needs_own_activity(self, template_id: str) -> bool:
        """Return whether the seconds of a template's users do not follow from those of the deployment."""
        return self.activity is None or any(
            template_id in user.template_ids and len(user.template_ids) > 1 for user in self.activity.users
        )

    def without_details(self) -> RangeData:
        """Return what later days need: no parameters, no latency, and the users of each template at hand."""
        activity = None if self.activity is None else _interned(self.activity)
        return msgspec.structs.replace(
            self,
            activity=activity,
            activities=self._split(activity),
            is_split=True,
            reports={
                id_: msgspec.structs.replace(report, parameters_usage=[])
                for id_, report in self.reports.items()
            },
            latencies={},
            windows=(),
        )

    def _split(self, activity: models.UserActivityReport | None) -> dict[str, models.UserActivityReport]:
        """Return the users of each template."""
        users_by_template: dict[str, list[models.UserActivity]] = {}
        for user in () if activity is None else activity.users:
            for template_id in user.template_ids:
                users_by_template.setdefault(template_id, []).append(user)
        split = {id_: models.UserActivityReport(users=users) for id_, users in users_by_template.items()}
        return split | {id_: _interned(one) for id_, one in self.activities.items()}


def _interned(activity: models.UserActivityReport) -> models.UserActivityReport:
    """Return the same with each text once in memory, as users recur every day."""
    users = [
        models.UserActivity(
            intern(user.user_id), user.seconds, intern(user.username), list(map(intern, user.template_ids))
        )
        for user in activity.users
    ]
    return models.UserActivityReport(users=users)


def mentioned_template_ids(report: models.TemplateReport) -> list[str]:
    """Return the templates with use or with new builds."""
    built = (id_ for parameter in report.parameters_usage for id_ in parameter.template_ids)
    return sorted({*report.template_ids, *built})


def add_activities(activities: Sequence[models.UserActivityReport]) -> models.UserActivityReport:
    """Return the users of consecutive ranges; midnight splits no half hour, so their seconds add up."""
    if len(activities) == 1:
        return activities[0]
    users: dict[str, models.UserActivity] = {}
    for activity in activities:
        for user in activity.users:
            known = users.get(user.user_id)
            if known is None:
                users[user.user_id] = user
                continue
            template_ids = known.template_ids
            if user.template_ids != template_ids:
                template_ids = sorted({*template_ids, *user.template_ids})
            users[user.user_id] = models.UserActivity(
                user.user_id, known.seconds + user.seconds, user.username or known.username, template_ids
            )
    return models.UserActivityReport(users=[users[user_id] for user_id in sorted(users)])


def add_reports(reports: Sequence[models.TemplateReport]) -> models.TemplateReport:
    """Return the apps of consecutive ranges; opens and parameters of several ranges are unknown."""
    if len(reports) == 1:
        return reports[0]
    return models.TemplateReport(
        template_ids=sorted({id_ for report in reports for id_ in report.template_ids}),
        apps_usage=list(_add_apps(app for report in reports for app in report.apps_usage).values()),
    )


def _add_apps(apps: Iterable[models.AppUsage]) -> Mapping[tuple[str, ...], models.AppUsage]:
    sums: dict[tuple[str, ...], models.AppUsage] = {}
    for app in apps:
        key = app.slug, app.type, app.display_name, app.icon
        seconds = app.seconds + (sums[key].seconds if key in sums else 0)
        sums[key] = models.AppUsage(app.slug, seconds, app.type, app.display_name, app.icon)
    return sums
