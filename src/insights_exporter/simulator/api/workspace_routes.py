"""The route of workspaces, with their builds, agents and apps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from insights_exporter.simulator.api.deployment import RequestContext, format_timestamp
from insights_exporter.simulator.api.query_params import parse_search
from insights_exporter.simulator.api.version import Capability
from insights_exporter.simulator.model import Agent, Template, Workspace

__all__ = ["workspaces"]

_STARTUP_SCRIPT: Final = """\
#!/usr/bin/env bash
set -euo pipefail
if [ ! -d "$HOME/src" ]; then
  mkdir -p "$HOME/src"
fi
code-server --auth none --port 8080 > /var/log/code-server.log 2>&1 &
"""
"""Agents of real workspaces carry their scripts, which are a large part of the response."""


def workspaces(context: RequestContext) -> Any:
    """Handle ``GET /workspaces``."""
    limit = context.query.integer("limit", 0, minimum=0)
    offset = context.query.integer("offset", 0, minimum=0)
    filters = parse_search(context.query.string("q"), default_key="name")
    context.query.raise_for_errors(strict=False)
    rows = [
        workspace
        for workspace in context.world.workspaces(context.now)
        if _matches(workspace, filters)
        and (not workspace.is_prebuild or context.deployment.supports(Capability.PREBUILDS))
        and not context.deployment.is_deleted(workspace.template)
        and (
            workspace.owner.username == context.account.user
            or context.account.can_in_organization(workspace.template.organization.name, "workspace", "read")
        )
    ]
    rows.sort(key=lambda workspace: (workspace.status != "running", workspace.owner.username, workspace.name))
    page = rows[offset : offset + limit] if limit else rows[offset:]
    return {"workspaces": [_workspace_payload(context, workspace) for workspace in page], "count": len(rows)}


def _matches(workspace: Workspace, filters: Mapping[str, str]) -> bool:
    return (
        filters.get("owner", workspace.owner.username) == workspace.owner.username
        and filters.get("template", workspace.template.name) == workspace.template.name
        and filters.get("organization", workspace.template.organization.name)
        == workspace.template.organization.name
        and filters.get("status", workspace.status) == workspace.status
        and filters.get("name", "") in workspace.name
    )


def _workspace_payload(context: RequestContext, workspace: Workspace) -> dict[str, Any]:
    template = workspace.template
    failing = [agent.id for agent in workspace.agents if agent.status != "connected"]
    return {
        "id": workspace.id,
        "created_at": format_timestamp(workspace.created_at),
        "updated_at": format_timestamp(workspace.created_at),
        "owner_id": workspace.owner.id,
        "owner_name": workspace.owner.username,
        "owner_avatar_url": workspace.owner.avatar_url,
        "organization_id": template.organization.id,
        "organization_name": template.organization.name,
        "template_id": template.id,
        "template_name": template.name,
        "template_display_name": template.display_name,
        "template_icon": template.icon,
        "template_active_version_id": template.version_id,
        "outdated": workspace.outdated,
        "name": workspace.name,
        "last_used_at": format_timestamp(workspace.last_used),
        "dormant_at": _optional_time(workspace.dormant_at),
        "deleting_at": _optional_time(workspace.deleting_at),
        "health": {"healthy": not failing, "failing_agents": failing},
        "automatic_updates": "never",
        "favorite": False,
        **(
            {"is_prebuild": workspace.is_prebuild}
            if context.deployment.supports(Capability.PREBUILDS)
            else {}
        ),
        "template_allow_user_cancel_workspace_jobs": False,
        "template_require_active_version": False,
        "template_use_classic_parameter_flow": False,
        "autostart_schedule": None,
        "ttl_ms": _ttl_ms(template) if workspace.deadline is not None else None,
        "allow_renames": False,
        "next_start_at": None,
        "latest_app_status": None,
        "latest_build": _build_payload(workspace),
    }


def _ttl_ms(template: Template) -> int | None:
    return None if template.default_ttl is None else template.default_ttl // timedelta(milliseconds=1)


def _optional_time(time: datetime | None) -> str | None:
    return None if time is None else format_timestamp(time)


def _build_id(workspace: Workspace) -> str:
    return workspace.id.replace("55555555", "66666666", 1)


def _build_payload(workspace: Workspace) -> dict[str, Any]:
    template = workspace.template
    created_at = format_timestamp(workspace.last_used or workspace.created_at)
    return {
        "id": _build_id(workspace),
        "created_at": created_at,
        "updated_at": created_at,
        "workspace_id": workspace.id,
        "workspace_name": workspace.name,
        "workspace_owner_id": workspace.owner.id,
        "workspace_owner_name": workspace.owner.username,
        "workspace_owner_avatar_url": workspace.owner.avatar_url,
        "build_number": 3,
        "transition": workspace.transition,
        "status": workspace.status,
        "reason": "initiator",
        "initiator_id": workspace.owner.id,
        "initiator_name": workspace.owner.username,
        "template_version_id": template.version_id,
        "template_version_name": "current",
        "deadline": _optional_time(workspace.deadline),
        "max_deadline": None,
        "daily_cost": workspace.daily_cost,
        "template_version_preset_id": None,
        "has_ai_task": False,
        "has_external_agent": False,
        "matched_provisioners": {"count": 3, "available": 3, "most_recently_seen": created_at},
        "job": _job_payload(workspace, created_at),
        "resources": [
            {
                "id": workspace.id.replace("55555555", "77777777", 1),
                "created_at": created_at,
                "job_id": workspace.id.replace("55555555", "aaaaaaaa", 1),
                "workspace_transition": workspace.transition,
                "type": "docker_container",
                "name": "main",
                "hide": False,
                "icon": "",
                "daily_cost": workspace.daily_cost,
                "metadata": [
                    {"key": "image", "value": "registry.example.test/dev/base:2026.11", "sensitive": False},
                    {"key": "volume", "value": f"home-{workspace.id}", "sensitive": False},
                ],
                "agents": [_agent_payload(template, agent, created_at) for agent in workspace.agents],
            }
        ]
        if workspace.agents
        else [],
    }


def _job_payload(workspace: Workspace, created_at: str) -> dict[str, Any]:
    template = workspace.template
    return {
        "id": workspace.id.replace("55555555", "aaaaaaaa", 1),
        "created_at": created_at,
        "started_at": created_at,
        "completed_at": created_at,
        "status": "failed" if workspace.status == "failed" else "succeeded",
        "worker_id": "bbbbbbbb-0000-4000-8000-000000000001",
        "worker_name": "provisioner-1",
        "file_id": "cccccccc-0000-4000-8000-000000000001",
        "tags": {"owner": "", "scope": "organization"},
        "queue_position": 0,
        "queue_size": 0,
        "organization_id": template.organization.id,
        "initiator_id": workspace.owner.id,
        "input": {"workspace_build_id": _build_id(workspace)},
        "type": "workspace_build",
        "metadata": {
            "template_version_name": "current",
            "template_id": template.id,
            "template_name": template.name,
            "template_display_name": template.display_name,
            "template_icon": template.icon,
            "workspace_id": workspace.id,
            "workspace_name": workspace.name,
        },
        "logs_overflowed": False,
    }


def _agent_payload(template: Template, agent: Agent, started_at: str) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "id": agent.id,
        "parent_id": None,
        "created_at": started_at,
        "updated_at": started_at,
        "first_connected_at": started_at,
        "last_connected_at": started_at,
        "started_at": started_at,
        "ready_at": started_at,
        "name": agent.name,
        "status": agent.status,
        "lifecycle_state": "ready",
        "resource_id": agent.id.replace("88888888", "77777777", 1),
        "instance_id": "",
        "architecture": "amd64",
        "operating_system": "linux",
        "environment_variables": {"GIT_AUTHOR_EMAIL": "developer@example.test", "EDITOR": "vim"},
        "directory": "/home/coder/src",
        "expanded_directory": "/home/coder/src",
        "version": agent.version,
        "api_version": "2.7",
        "connection_timeout_seconds": 120,
        "troubleshooting_url": "https://coder.example.test/docs/troubleshooting",
        "subsystems": ["envbox"],
        "startup_script_behavior": "non-blocking",
        "display_apps": ["vscode", "web_terminal", "ssh_helper", "port_forwarding_helper"],
        "logs_length": 2048,
        "logs_overflowed": False,
        "log_sources": [_log_source(agent, name, started_at) for name in ("Coder", "Startup Script")],
        "scripts": [_script(agent, started_at)],
        "health": {"healthy": agent.status == "connected"},
        "apps": [
            {
                "id": agent.id.replace("88888888", f"9999{index:04x}", 1),
                "slug": app.slug,
                "display_name": app.display_name,
                "icon": app.icon,
                "health": "disabled" if app.external else agent.app_health.get(app.slug, "disabled"),
                "healthcheck": {"url": "http://localhost:8080/healthz", "interval": 5, "threshold": 6},
                "external": app.external,
                "url": f"http://localhost:8080/?app={app.slug}",
                "hidden": False,
                "subdomain": True,
                "subdomain_name": f"{app.slug}--{agent.name}",
                "sharing_level": "owner",
                "open_in": "slim-window",
                "statuses": [],
            }
            for index, app in enumerate(template.apps)
        ],
    }
    if agent.relay_latency_ms is not None:
        payload["latency"] = {agent.relay: {"preferred": True, "latency_ms": agent.relay_latency_ms}}
    return payload


def _log_source(agent: Agent, name: str, created_at: str) -> dict[str, Any]:
    return {
        "id": agent.id.replace("88888888", f"{len(name):08x}", 1),
        "workspace_agent_id": agent.id,
        "display_name": name,
        "icon": "/icon/code.svg",
        "created_at": created_at,
    }


def _script(agent: Agent, created_at: str) -> dict[str, Any]:
    return {
        "id": agent.id.replace("88888888", "dddddddd", 1),
        "log_source_id": agent.id.replace("88888888", "0000000e", 1),
        "log_path": "/var/log/coder/startup-script.log",
        "script": _STARTUP_SCRIPT,
        "cron": "",
        "start_blocks_login": False,
        "run_on_start": True,
        "run_on_stop": False,
        "timeout": 0,
        "display_name": "Startup Script",
        "created_at": created_at,
        "exit_code": 0,
        "status": "ok",
    }
