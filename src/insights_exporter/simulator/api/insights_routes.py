"""The insights routes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from insights_exporter.simulator.api.deployment import RequestContext, format_timestamp
from insights_exporter.simulator.api.errors import (
    ApiError,
    ErrorBody,
    forbidden,
    insights_disabled,
    invalid_parameter,
    not_found,
)
from insights_exporter.simulator.api.time_ranges import TimeRange, parse_range
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.model import CLIENT_APPS, client_app
from insights_exporter.simulator.rollup import UsageRollup, client_from_family
from insights_exporter.simulator.world import ParameterRow

__all__ = [
    "daus",
    "template_daus",
    "template_insights",
    "user_activity",
    "user_latency",
    "user_status_counts",
]

_BUILTIN_APPS = (
    ("vscode", "vscode", "Visual Studio Code", "/icon/code.svg"),
    ("jetbrains", "jetbrains", "JetBrains", "/icon/intellij.svg"),
    ("reconnecting_pty", "reconnecting-pty", "Web Terminal", "/icon/terminal.svg"),
    ("ssh", "ssh", "SSH", "/icon/terminal.svg"),
    ("sftp", "sftp", "SFTP", "/icon/terminal.svg"),
)
_DAU_DAYS = 60


def template_insights(context: RequestContext) -> Any:
    """Handle ``GET /insights/templates``."""
    _require_usage_stats(context)
    start, end = (
        context.query.string("start_time", required=True),
        context.query.string("end_time", required=True),
    )
    ids = context.query.uuids("template_ids")
    interval = context.query.string("interval")
    sections = context.query.strings("sections") or ["interval_reports", "report"]
    context.query.raise_for_errors(strict=True)
    time_range = parse_range(start, end, now=context.now)
    time_range.validate_interval(interval)
    if not set(sections) <= {"interval_reports", "report"}:
        raise invalid_parameter(field="sections", detail="must be one of [interval_reports report]")
    _require_insights_permission(context, ids)
    response: dict[str, Any] = {}
    template_ids = _template_id_filter(ids)
    if "report" in sections:
        response["report"] = _report(context, time_range, template_ids)
    if interval and "interval_reports" in sections:
        reports = [
            _interval_report(context, interval_range, interval, template_ids)
            for interval_range in time_range.intervals(interval)
        ]
        if reports:
            response["interval_reports"] = reports
    return response


def user_activity(context: RequestContext) -> Any:
    """Handle ``GET /insights/user-activity``."""
    time_range, ids = _parse_common_params(context)
    if not context.account.can("template", "view_insights") and any(
        context.deployment.template(template_id) is None for template_id in ids
    ):
        # This route alone answers an unknown id with an empty report.
        return {"report": _users_report(context, time_range, UsageRollup(), [])}
    _require_insights_permission(context, ids)
    report = _rollup(context, time_range, _template_id_filter(ids))
    rows = [
        {**_user_row(context, report, user_index), "seconds": minutes * 60}
        for user_index, minutes in report.user_minutes.items()
    ]
    return {"report": _users_report(context, time_range, report, rows)}


def user_latency(context: RequestContext) -> Any:
    """Handle ``GET /insights/user-latency``."""
    time_range, ids = _parse_common_params(context)
    _require_insights_permission(context, ids)
    report = _rollup(context, time_range, _template_id_filter(ids))
    rows = []
    for user_index in report.templates_by_user:
        p50, p95 = report.latency(user_index)
        rows.append({**_user_row(context, report, user_index), "latency_ms": {"p50": p50, "p95": p95}})
    return {"report": _users_report(context, time_range, report, rows)}


def daus(context: RequestContext) -> Any:
    """Handle ``GET /insights/daus``."""
    _require_usage_stats(context)
    if not context.account.can("deployment_config", "read"):
        raise forbidden()
    _require_insights_permission(context, [])
    return _daus(context, None)


def template_daus(context: RequestContext) -> Any:
    """Handle ``GET /templates/{id}/daus``."""
    template = context.readable_template()
    _require_insights_permission(context, [template.id])
    return _daus(context, frozenset({template.id}))


def user_status_counts(context: RequestContext) -> Any:
    """Handle ``GET /insights/user-status-counts``."""
    offset, zone = context.query.string("tz_offset"), ""
    offset_hours = context.query.integer("tz_offset", 0)
    context.query.integer("interval", 86400)
    if context.deployment.supports(Capability.TIMEZONE):
        zone = context.query.string("timezone")
    context.query.raise_for_errors(strict=True)
    if zone and offset:
        raise ApiError(400, ErrorBody('Provide either "timezone" or "tz_offset", not both.'))
    time_zone = _time_zone(zone) if zone else timezone(timedelta(hours=offset_hours))
    if not context.account.can("user", "read"):
        raise forbidden()
    # The last point is today's midnight, so changes of today are missing.
    last_date = context.now.astimezone(time_zone).date()
    moments = [
        datetime.combine(last_date - timedelta(days=days_ago), time(), tzinfo=time_zone)
        for days_ago in range(_DAU_DAYS, -1, -1)
    ]
    counts: dict[str, list[dict[str, Any]]] = {}
    for status in ("active", "dormant", "suspended"):
        created_times = [
            user.created_at for user in context.world.users if user.status == status and not user.deleted
        ]
        if created_times:
            counts[status] = [
                {
                    "date": format_timestamp(moment),
                    "count": sum(created_at <= moment for created_at in created_times),
                }
                for moment in moments
            ]
    return {"status_counts": counts}


def _time_zone(zone: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ValueError, ZoneInfoNotFoundError):
        raise ApiError(400, ErrorBody("Invalid timezone.", f"unknown time zone {zone}")) from None


def _parse_common_params(context: RequestContext) -> tuple[TimeRange, list[str]]:
    _require_usage_stats(context)
    start, end = (
        context.query.string("start_time", required=True),
        context.query.string("end_time", required=True),
    )
    ids = context.query.uuids("template_ids")
    context.query.raise_for_errors(strict=True)
    return parse_range(start, end, now=context.now), ids


def _require_usage_stats(context: RequestContext) -> None:
    if not context.world.usage_stats_enabled and context.deployment.supports(Capability.INSIGHTS_SWITCH):
        raise insights_disabled()


def _require_insights_permission(context: RequestContext, ids: Sequence[str]) -> None:
    if context.account.can("template", "view_insights"):
        return
    if not ids:
        raise not_found()
    for template_id in ids:
        template = context.deployment.template(template_id)
        if template is None or not (
            template_id in context.account.admin_template_ids
            or context.account.can_in_organization(template.organization.name, "template", "view_insights")
        ):
            raise not_found()


def _template_id_filter(ids: Sequence[str]) -> frozenset[str] | None:
    return frozenset(ids) or None


def _rollup(
    context: RequestContext, time_range: TimeRange, template_ids: frozenset[str] | None
) -> UsageRollup:
    client_resolver = client_app if context.deployment.options.client_apps else client_from_family
    return context.world.rollup(
        time_range.start,
        time_range.end,
        now=context.now,
        templates=template_ids,
        client_resolver=client_resolver,
    )


def _template_ids(context: RequestContext, indexes: set[int] | frozenset[int]) -> list[str]:
    return sorted(context.world.templates[index].id for index in indexes)


def _report(
    context: RequestContext, time_range: TimeRange, template_ids: frozenset[str] | None
) -> dict[str, Any]:
    report = _rollup(context, time_range, template_ids)
    return {
        "start_time": format_timestamp(time_range.start),
        "end_time": format_timestamp(time_range.end),
        "template_ids": _template_ids(context, report.template_indexes),
        "active_users": len(report.templates_by_user),
        "apps_usage": _apps_usage(context, report),
        "parameters_usage": [
            _parameter_usage(row)
            for row in context.world.parameters(
                time_range.start, time_range.end, now=context.now, templates=template_ids
            )
        ],
    }


def _builtin_app(
    context: RequestContext, report: UsageRollup, client: str, names: tuple[str, str, str]
) -> dict[str, Any]:
    slug, display_name, icon = names
    return {
        "template_ids": _template_ids(context, report.builtin_templates.get(client, set())),
        "type": "builtin",
        "display_name": display_name,
        "slug": slug,
        "icon": icon,
        "seconds": report.builtin_minutes.get(client, 0) * 60,
        "times_used": 0,
    }


def _builtin_apps(context: RequestContext, report: UsageRollup) -> list[dict[str, Any]]:
    if not context.deployment.options.client_apps:
        return [_builtin_app(context, report, family, names) for family, *names in _BUILTIN_APPS]  # type: ignore[arg-type] # Three names remain.
    return [
        {
            **_builtin_app(context, report, app.name, (app.name, app.display_name, app.icon)),
            "family": app.family,
        }
        for app in CLIENT_APPS
    ]


def _apps_usage(context: RequestContext, report: UsageRollup) -> list[dict[str, Any]]:
    rows = _builtin_apps(context, report)
    for key in sorted(report.custom_minutes):
        slug, display_name, icon = key
        rows.append(
            {
                "template_ids": _template_ids(context, report.custom_templates[key]),
                "type": "app",
                "display_name": display_name,
                "slug": slug,
                "icon": icon,
                "seconds": report.custom_minutes[key] * 60,
                "times_used": report.open_counts[key],
                **({"family": "workspace_app"} if context.deployment.options.client_apps else {}),
            }
        )
    return rows


def _parameter_usage(row: ParameterRow) -> dict[str, Any]:
    name, parameter_type, display_name, description = row.key
    payload: dict[str, Any] = {
        "template_ids": list(row.templates),
        "display_name": display_name,
        "name": name,
        "type": parameter_type,
        "description": description,
    }
    if row.options:
        payload["options"] = [
            {"name": option, "description": text, "value": value, "icon": icon}
            for option, text, value, icon in row.options
        ]
    payload["values"] = [{"value": value, "count": count} for value, count in row.values]
    return payload


def _interval_report(
    context: RequestContext, time_range: TimeRange, interval: str, template_ids: frozenset[str] | None
) -> dict[str, Any]:
    users, active_templates = context.world.active_users(
        time_range.start, time_range.end, now=context.now, templates=template_ids
    )
    return {
        "start_time": format_timestamp(time_range.start),
        "end_time": format_timestamp(time_range.end),
        "template_ids": _template_ids(context, active_templates),
        "interval": interval,
        "active_users": users,
    }


def _user_row(context: RequestContext, report: UsageRollup, user_index: int) -> dict[str, Any]:
    user = context.world.users[user_index]
    return {
        "template_ids": _template_ids(context, report.templates_by_user[user_index]),
        "user_id": user.id,
        "username": user.username,
        "avatar_url": user.avatar_url,
    }


def _users_report(
    context: RequestContext, time_range: TimeRange, report: UsageRollup, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "start_time": format_timestamp(time_range.start),
        "end_time": format_timestamp(time_range.end),
        "template_ids": _template_ids(context, report.template_indexes),
        "users": sorted(rows, key=lambda row: str(row["user_id"])),
    }


def _daus(context: RequestContext, template_ids: frozenset[str] | None) -> dict[str, Any]:
    offset = context.query.integer("tz_offset", 0)
    context.query.raise_for_errors(strict=True)
    now: datetime = context.now.astimezone(UTC)
    last = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    day = last.replace(hour=0) - timedelta(days=_DAU_DAYS)
    entries = []
    while day < last:
        users, _ = context.world.active_users(
            day, min(last, day + timedelta(days=1)), now=context.now, templates=template_ids
        )
        date = (day + timedelta(hours=offset)).date().isoformat()
        entries.append({"date": date, "amount": users if context.world.usage_stats_enabled else 0})
        day += timedelta(days=1)
    return {"entries": entries, "tz_hour_offset": offset}
