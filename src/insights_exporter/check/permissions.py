"""Checks of the account: roles, permissions, and Coder's own health report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from insights_exporter.check.finding import Finding, Level, failed_finding
from insights_exporter.coder import models
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.models import PERMISSION_CHECKS
from insights_exporter.config.settings import AgentStatsSource, Settings
from insights_exporter.errors import SecretError, UpstreamError

__all__ = ["PermissionCheck"]


@dataclass(frozen=True, slots=True)
class _Requirement:
    """The data that a permission gives, and the role with the least privilege that has it.

    Without a ``required`` permission there are no insights.
    """

    purpose: str
    role: str
    required: bool = False


_REQUIREMENTS: Final[Mapping[str, _Requirement]] = {
    "insights": _Requirement("data of Template Insights", "auditor (read-only)", required=True),
    "templates": _Requirement("templates and their parameters", "auditor (read-only)", required=True),
    "users": _Requirement("users, seats and when users were last seen", "auditor (read-only)"),
    "workspaces": _Requirement("workspaces, agents, app health and relay latency", "template-admin"),
}

_ROLE_SUMMARIES: Final[Mapping[frozenset[str], str]] = {
    frozenset({"auditor"}): "auditor: read-only. It gives insights, templates and users. Workspaces, agents, "
    "app health and relay latency are missing; template-admin gives them, but can change templates.",
    frozenset(
        {"template-admin"}
    ): "template-admin: all exported data. It can change templates; auditor would be "
    "read-only, but without workspaces.",
    frozenset({"auditor", "template-admin"}): "template-admin: all exported data. It can change templates. "
    "auditor adds deployment statistics, which only this check reads.",
}
"""What the site-wide roles give and cost, the least privilege first."""

_RECOMMENDATION: Final = (
    "Give the exporter its own account with the least privilege: auditor (read-only, without workspaces), "
    "or template-admin (all exported data, can change templates)."
)


@dataclass(frozen=True, slots=True)
class PermissionCheck:
    """Checks what the token's account can read."""

    client: CoderClient
    settings: Settings

    async def run(self, account: models.User) -> AsyncIterator[Finding]:
        """Yield a finding for the roles and for each permission, and Coder's health if it is readable."""
        try:
            site = await self.client.authcheck(PERMISSION_CHECKS)
            organizations = await self._organizations_by_permission(
                [name for name in _REQUIREMENTS if not site.get(name)]
            )
        except (UpstreamError, SecretError) as error:
            yield failed_finding("permissions", error)
            return
        yield _roles_finding(account, organizations.get("insights", ()))
        for finding in _permission_findings(site, organizations):
            yield finding
        if site.get("debug"):
            if self._reads_debug_metrics():
                yield _debug_finding()
            yield await self._check_health()

    async def _organizations_by_permission(self, permissions: Sequence[str]) -> dict[str, list[str]]:
        """Return the names of the organizations that grant each permission, for roles in an organization."""
        if not permissions:
            return {}
        questions = {
            (name, organization.name): msgspec.structs.replace(
                PERMISSION_CHECKS[name], organization_id=organization.id
            )
            for organization in await self.client.organizations()
            for name in permissions
        }
        answers = await self.client.authcheck({"/".join(key): item for key, item in questions.items()})
        granted: dict[str, list[str]] = {}
        for permission, organization in questions:
            if answers.get(f"{permission}/{organization}"):
                granted.setdefault(permission, []).append(organization)
        return granted

    async def _check_health(self) -> Finding:
        """Return the result of Coder's health report, which only owners can read."""
        try:
            health = await self.client.health()
        except (UpstreamError, SecretError) as error:
            return Finding(
                Level.WARNING, "health", f"Coder's health report is unavailable: {error}", "Try again."
            )
        unhealthy = sorted(name for name, section in health.sections().items() if not _is_healthy(section))
        if health.healthy and not unhealthy:
            return Finding(Level.OK, "health", "Coder reports that it is healthy.")
        reasons = ", ".join(unhealthy) or health.severity or "no reason"
        advice = "See Coder's health page (/health)."
        return Finding(Level.WARNING, "health", f"Coder reports problems: {reasons}.", advice)

    def _reads_debug_metrics(self) -> bool:
        stats = self.settings.agent_stats
        return stats.source is AgentStatsSource.CODERD_METRICS and stats.metrics_url is None


def _is_healthy(section: models.SectionHealth | models.DatabaseHealth) -> bool:
    """Return whether Coder counts the section as healthy; provisioner daemons have a severity but no flag."""
    return section.healthy or section.severity in {"ok", "warning"}


def _roles_finding(account: models.User, organizations: Collection[str]) -> Finding:
    """Return what the roles give and cost; ``organizations`` have insights that the account can read."""
    site_roles = {role.name for role in account.roles if not role.organization_id}
    if "owner" in site_roles:
        text = "The account is an owner, which can change the whole deployment."
        return Finding(Level.WARNING, "roles", text, _RECOMMENDATION)
    if summary := _ROLE_SUMMARIES.get(frozenset(site_roles & {"auditor", "template-admin"})):
        return Finding(Level.OK, "roles", summary)
    if organizations:
        names = ", ".join(sorted(organizations))
        text = (
            f"No site-wide role gives insights. Roles in {names} give the data of these organizations only."
        )
        return Finding(Level.WARNING, "roles", text, _RECOMMENDATION)
    return Finding(Level.WARNING, "roles", "The account has no role that gives insights.", _RECOMMENDATION)


def _permission_findings(
    site: Mapping[str, bool], organizations: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    for name, requirement in _REQUIREMENTS.items():
        permission = PERMISSION_CHECKS[name]
        subject = f"permission {permission.resource_type} {permission.action}"
        if site.get(name):
            yield Finding(Level.OK, subject, f"Granted: {requirement.purpose}.")
        elif names := organizations.get(name):
            yield Finding(
                Level.WARNING,
                subject,
                f"Granted in {', '.join(names)} only: {requirement.purpose} of other organizations and of "
                "the whole deployment are missing.",
                f"Give the account the site-wide role {requirement.role}, or accept the gap.",
            )
        else:
            yield Finding(
                Level.PROBLEM if requirement.required else Level.WARNING,
                subject,
                f"Not granted: {requirement.purpose} are missing.",
                f"Give the account the role {requirement.role}, or accept the gap.",
            )


def _debug_finding() -> Finding:
    permission = PERMISSION_CHECKS["debug"]
    return Finding(
        Level.WARNING,
        f"permission {permission.resource_type} {permission.action}",
        "Granted: coderd's metrics by the API's debug route, which only owners can read.",
        "Set agent_stats.metrics_url to coderd's metrics address, such as http://coder:2112/metrics. "
        "It needs no role.",
    )
