"""The insights routes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from insights_exporter.simulator.api.client_apps import CLIENT_APPS, client_app
from insights_exporter.simulator.api.deployment import Call, stamp
from insights_exporter.simulator.api.problem import forbidden, insights_disabled, invalid_parameter, not_found
from insights_exporter.simulator.api.ranges import Range, parse_range
from insights_exporter.simulator.api.release import Capability
from insights_exporter.simulator.report import Report, family_alone
from insights_exporter.simulator.world import ParameterRow

__all__ = [
    "daus",
    "template_daus",
    "template_insights",
    "user_activity",
    "user_latency",
    "user_status_counts",
]

_BUILTIN = (
    ("vscode", "vscode", "Visual Studio Code", "/icon/code.svg"),
    ("jetbrains", "jetbrains", "JetBrains", "/icon/intellij.svg"),
    ("reconnecting_pty", "reconnecting-pty", "Web Terminal", "/icon/terminal.svg"),
    ("ssh", "ssh", "SSH", "/icon/terminal.svg"),
    ("sftp", "sftp", "SFTP", "/icon/terminal.svg"),
)
_DAU_DAYS = 60


def template_insights(call: Call) -> Any:
    """Answer ``/insights/templates``."""
    _refuse_disabled(call)
    start, end = call.query.text("start_time", required=True), call.query.text("end_time", required=True)
    ids = call.query.uuids("template_ids")
    interval = call.query.text("interval")
    sections = call.query.texts("sections") or ["interval_reports", "report"]
    call.query.finish(strict=True)
    asked = parse_range(start, end, now=call.now)
    asked.check_interval(interval)
    if unknown := [one for one in sections if one not in {"interval_reports", "report"}]:
        raise invalid_parameter(
            field="sections", detail=f"must be one of [interval_reports report]: {unknown[0]}"
        )
    _gate(call, ids)
    answer: dict[str, Any] = {}
    wanted = _wanted(ids)
    if "report" in sections:
        answer["report"] = _report(call, asked, wanted)
    if interval and "interval_reports" in sections:
        reports = [_interval(call, part, interval, wanted) for part in asked.intervals(interval)]
        if reports:
            answer["interval_reports"] = reports
    return answer


def user_activity(call: Call) -> Any:
    """Answer ``/insights/user-activity``."""
    asked, ids = _common(call)
    if not call.account.may("template", "view_insights") and any(
        call.deployment.template(one) is None for one in ids
    ):
        # The refusal of an id that nobody knows is taken for a range without use here, and only here.
        return {"report": _users(call, asked, Report(), [])}
    _gate(call, ids)
    report = _add_up(call, asked, _wanted(ids))
    rows = [
        {**_user(call, report, place), "seconds": minutes * 60}
        for place, minutes in report.user_minutes.items()
    ]
    return {"report": _users(call, asked, report, rows)}


def user_latency(call: Call) -> Any:
    """Answer ``/insights/user-latency``."""
    asked, ids = _common(call)
    _gate(call, ids)
    report = _add_up(call, asked, _wanted(ids))
    rows = []
    for place in report.users:
        p50, p95 = report.latency(place)
        rows.append({**_user(call, report, place), "latency_ms": {"p50": p50, "p95": p95}})
    return {"report": _users(call, asked, report, rows)}


def daus(call: Call) -> Any:
    """Answer ``/insights/daus``."""
    _refuse_disabled(call)
    if not call.account.may("deployment_config", "read"):
        raise forbidden()
    _gate(call, [])
    return _daus(call, None)


def template_daus(call: Call) -> Any:
    """Answer ``/templates/{id}/daus``."""
    template = call.readable_template()
    _gate(call, [template.id])
    return _daus(call, frozenset({template.id}))


def user_status_counts(call: Call) -> Any:
    """Answer ``/insights/user-status-counts``."""
    offset, zone = call.query.text("tz_offset"), ""
    call.query.integer("tz_offset", 0)
    call.query.integer("interval", 86400)
    if call.deployment.has(Capability.TIMEZONE):
        zone = call.query.text("timezone")
    call.query.finish(strict=True)
    if zone and offset:
        raise invalid_parameter(detail="Only one of timezone and tz_offset may be given.")
    if zone:
        _refuse_unknown_zone(zone)
    if not call.account.may("user", "read"):
        raise forbidden()
    last = call.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    first = last.replace(hour=0) - timedelta(days=_DAU_DAYS)
    moments = [first + timedelta(days=day) for day in range(_DAU_DAYS + 1)]
    moments += [last] if last > moments[-1] else []
    counts: dict[str, list[dict[str, Any]]] = {}
    for status in ("active", "dormant", "suspended"):
        created = [user.created_at for user in call.world.users if user.status == status and not user.deleted]
        if created:
            counts[status] = [
                {"date": stamp(moment), "count": sum(one <= moment for one in created)} for moment in moments
            ]
    return {"status_counts": counts}


def _refuse_unknown_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, ZoneInfoNotFoundError):
        raise invalid_parameter(field="timezone", detail=f"unknown time zone {zone}") from None


def _common(call: Call) -> tuple[Range, list[str]]:
    _refuse_disabled(call)
    start, end = call.query.text("start_time", required=True), call.query.text("end_time", required=True)
    ids = call.query.uuids("template_ids")
    call.query.finish(strict=True)
    return parse_range(start, end, now=call.now), ids


def _refuse_disabled(call: Call) -> None:
    if not call.world.collecting and call.deployment.has(Capability.INSIGHTS_SWITCH):
        raise insights_disabled()


def _gate(call: Call, ids: Sequence[str]) -> None:
    if call.account.may("template", "view_insights"):
        return
    if not ids:
        raise not_found()
    for one in ids:
        template = call.deployment.template(one)
        if template is None or not (
            one in call.account.administers
            or call.account.may_within(template.organization.name, "template", "view_insights")
        ):
            raise not_found()


def _wanted(ids: Sequence[str]) -> frozenset[str] | None:
    return frozenset(ids) or None


def _add_up(call: Call, asked: Range, wanted: frozenset[str] | None) -> Report:
    client = client_app if call.deployment.options.client_apps else family_alone
    return call.world.report(asked.start, asked.end, now=call.now, templates=wanted, client=client)


def _ids(call: Call, places: set[int] | frozenset[int]) -> list[str]:
    return sorted(call.world.templates[place].id for place in places)


def _report(call: Call, asked: Range, wanted: frozenset[str] | None) -> dict[str, Any]:
    report = _add_up(call, asked, wanted)
    return {
        "start_time": stamp(asked.start),
        "end_time": stamp(asked.end),
        "template_ids": _ids(call, report.templates),
        "active_users": len(report.users),
        "apps_usage": _apps(call, report),
        "parameters_usage": [
            _parameter(row)
            for row in call.world.parameters(asked.start, asked.end, now=call.now, templates=wanted)
        ],
    }


def _builtin(call: Call, report: Report, client: str, names: tuple[str, str, str]) -> dict[str, Any]:
    slug, shown, icon = names
    return {
        "template_ids": _ids(call, report.builtin_templates.get(client, set())),
        "type": "builtin",
        "display_name": shown,
        "slug": slug,
        "icon": icon,
        "seconds": report.builtin.get(client, 0) * 60,
        "times_used": 0,
    }


def _builtins(call: Call, report: Report) -> list[dict[str, Any]]:
    if not call.deployment.options.client_apps:
        return [_builtin(call, report, family, names) for family, *names in _BUILTIN]  # type: ignore[arg-type] # Three are left.
    return [
        {**_builtin(call, report, app.name, (app.name, app.display_name, app.icon)), "family": app.family}
        for app in CLIENT_APPS
    ]


def _apps(call: Call, report: Report) -> list[dict[str, Any]]:
    rows = _builtins(call, report)
    for key in sorted(report.custom):
        slug, shown, icon = key
        rows.append(
            {
                "template_ids": _ids(call, report.custom_templates[key]),
                "type": "app",
                "display_name": shown,
                "slug": slug,
                "icon": icon,
                "seconds": report.custom[key] * 60,
                "times_used": report.opens[key],
                **({"family": "workspace_app"} if call.deployment.options.client_apps else {}),
            }
        )
    return rows


def _parameter(row: ParameterRow) -> dict[str, Any]:
    name, kind, shown, description = row.key
    told: dict[str, Any] = {
        "template_ids": list(row.templates),
        "display_name": shown,
        "name": name,
        "type": kind,
        "description": description,
    }
    if row.options:
        told["options"] = [
            {"name": option, "description": text, "value": value, "icon": icon}
            for option, text, value, icon in row.options
        ]
    told["values"] = [{"value": value, "count": count} for value, count in row.values]
    return told


def _interval(call: Call, part: Range, interval: str, wanted: frozenset[str] | None) -> dict[str, Any]:
    users, used = call.world.active_users(part.start, part.end, now=call.now, templates=wanted)
    return {
        "start_time": stamp(part.start),
        "end_time": stamp(part.end),
        "template_ids": _ids(call, used),
        "interval": interval,
        "active_users": users,
    }


def _user(call: Call, report: Report, place: int) -> dict[str, Any]:
    user = call.world.users[place]
    return {
        "template_ids": _ids(call, report.users[place]),
        "user_id": user.id,
        "username": user.username,
        "avatar_url": user.avatar_url,
    }


def _users(call: Call, asked: Range, report: Report, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "start_time": stamp(asked.start),
        "end_time": stamp(asked.end),
        "template_ids": _ids(call, report.templates),
        "users": sorted(rows, key=lambda row: str(row["user_id"])),
    }


def _daus(call: Call, wanted: frozenset[str] | None) -> dict[str, Any]:
    offset = call.query.integer("tz_offset", 0)
    call.query.finish(strict=True)
    now: datetime = call.now.astimezone(UTC)
    last = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    day = last.replace(hour=0) - timedelta(days=_DAU_DAYS)
    entries = []
    while day < last:
        users, _ = call.world.active_users(
            day, min(last, day + timedelta(days=1)), now=call.now, templates=wanted
        )
        shown = (day + timedelta(hours=offset)).date().isoformat()
        entries.append({"date": shown, "amount": users if call.world.collecting else 0})
        day += timedelta(days=1)
    return {"entries": entries, "tz_hour_offset": offset}
