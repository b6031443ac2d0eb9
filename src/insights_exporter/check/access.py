"""The way to Coder: address, TLS, version, clock, token, permissions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from yarl import URL

from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.coder.authorization import PERMISSION_CHECKS
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.versions import MIN_SUPPORTED_VERSION, Feature, ServerVersion
from insights_exporter.config.settings import AgentStatsSource, Settings, UsernameMode
from insights_exporter.errors import AuthError, LoginPageReturned, SecretError, TLSError, UpstreamError

__all__ = ["AccessCheck", "failed_finding"]

MAX_CLOCK_SKEW = 120.0
"""Seconds between two clocks from which on the end of "today" may be an hour that Coder refuses."""

_FEATURE_DESCRIPTIONS: Final[Mapping[Feature, str]] = {
    Feature.TIMES_USED: "how often apps were opened",
    Feature.USER_STATUS_COUNTS: "accounts by status",
    Feature.INSIGHTS_SWITCH: "whether statistics are switched off",
}


@dataclass(frozen=True, slots=True)
class _Requirement:
    """What a permission is for.

    Without one that is ``needed`` there are no insights at all; what has no ``purpose`` is not used yet.
    """

    purpose: str
    role: str = ""
    required: bool = False


_REQUIREMENTS: Final[Mapping[str, _Requirement]] = {
    "insights": _Requirement(
        "everything on the Template Insights page", "auditor or template-admin", required=True
    ),
    "templates": _Requirement("templates and their parameters", "auditor or template-admin", required=True),
    "users": _Requirement("accounts, seats and when users were last seen", "auditor or template-admin"),
    "workspaces": _Requirement("workspaces, agents and relay latency", "template-admin"),
    "deployment_stats": _Requirement(""),
    "deployment_config": _Requirement(""),
    "debug": _Requirement("agent reports from coderd's metrics through the API", "owner"),
}


def failed_finding(subject: str, error: UpstreamError | SecretError) -> Finding:
    """Return the problem that an answer could not be had."""
    text = str(error)
    if isinstance(error, TLSError):
        advice = "Set coder.ca_file to the authority that signed Coder's certificate."
    elif isinstance(error, LoginPageReturned):
        advice = "Let the exporter pass the proxy that asks for a login, or set coder.url to Coder itself."
    elif isinstance(error, SecretError):
        advice = "Set coder.token_file to a file that holds a session token."
    elif isinstance(error, AuthError):
        advice = "Make a new token: coder tokens create --name insights-exporter --lifetime 720h."
    elif error.retryable:
        advice = "Look whether Coder runs and whether coder.url can be reached from here; then try again."
    else:
        advice = "Compare coder.url and the account's roles with docs/troubleshooting.md."
    return Finding(Level.PROBLEM, subject, text, advice)


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """Looks at the way to Coder."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield what is found; nothing follows where a problem makes the rest pointless."""
        started = self.clock.monotonic()
        try:
            info = await self.client.build_info()
        except (UpstreamError, SecretError) as error:
            yield failed_finding("token" if isinstance(error, SecretError) else "address", error)
            return
        elapsed = self.clock.monotonic() - started
        url = self.settings.coder.url
        yield Finding(Level.OK, "address", f"{url} answers in {elapsed * 1000:.0f} ms.")
        yield self._check_tls(URL(url))
        yield self._check_version(ServerVersion.parse(info.version), info.version)
        yield self._check_clock()
        try:
            account = await self.client.me()
        except (UpstreamError, SecretError) as error:
            yield failed_finding("token", error)
            return
        shows_usernames = self.settings.privacy.users is UsernameMode.NAMED
        token_state = f"speaks for {account.username}" if shows_usernames else "is accepted"
        yield Finding(Level.OK, "token", f"The token {token_state}.")
        if "owner" in {role.name for role in account.roles}:
            yield Finding(
                Level.WARNING,
                "roles",
                "The account is an owner and could change everything.",
                "Give the exporter an account of its own with the roles auditor and template-admin.",
            )
        yield await self._check_token_expiry()
        async for finding in self._check_permissions():
            yield finding

    def _check_tls(self, url: URL) -> Finding:
        if url.scheme == "https":
            return Finding(Level.OK, "tls", "The connection is encrypted and the certificate is trusted.")
        if _is_loopback(url.host or ""):
            return Finding(Level.OK, "tls", "The connection stays on this machine and is not encrypted.")
        return Finding(
            Level.WARNING, "tls", "The token travels unencrypted.", "Set coder.url to an address of https."
        )

    def _check_version(self, version: ServerVersion | None, text: str) -> Finding:
        if version is None:
            return Finding(Level.WARNING, "version", f"Coder's version {text[:60]!r} is of an unknown form.")
        if version < MIN_SUPPORTED_VERSION:
            return Finding(
                Level.PROBLEM,
                "version",
                f"Coder {version} is older than {MIN_SUPPORTED_VERSION}, the oldest that the exporter is made for.",
                "Upgrade Coder.",
            )
        missing = [text for feature, text in _FEATURE_DESCRIPTIONS.items() if not version.supports(feature)]
        missing_text = f" It does not tell {', '.join(missing)}." if missing else ""
        return Finding(Level.OK, "version", f"Coder {version}.{missing_text}")

    def _check_clock(self) -> Finding:
        skew = self.client.clock_skew
        if skew is None:
            return Finding(Level.OK, "clock", "Coder does not tell its time.")
        if abs(skew) < MAX_CLOCK_SKEW:
            return Finding(Level.OK, "clock", "Coder's clock and ours agree.")
        direction = "ahead of" if skew > 0 else "behind"
        return Finding(
            Level.WARNING,
            "clock",
            f"Coder's clock is {abs(skew):.0f} s {direction} ours.",
            "Synchronise both clocks; Coder refuses ranges that reach into its future.",
        )

    async def _check_token_expiry(self) -> Finding:
        try:
            expires_at = await self.client.token_expiry()
        except (UpstreamError, SecretError):
            expires_at = None
        if expires_at is None:
            return Finding(Level.OK, "token expiry", "Coder does not tell when the token expires.")
        return _expiry_finding(expires_at, expires_at - self.clock.now())

    async def _check_permissions(self) -> AsyncIterator[Finding]:
        try:
            allowed = await self.client.authcheck(PERMISSION_CHECKS)
        except (UpstreamError, SecretError) as error:
            yield failed_finding("permissions", error)
            return
        if allowed.get("debug"):
            yield await self._check_health()
        for name, requirement in _REQUIREMENTS.items():
            if name == "debug" and not self._reads_debug_metrics():
                continue
            permission = PERMISSION_CHECKS[name]
            subject = f"permission {permission.resource_type} {permission.action}"
            granted = "Granted" if allowed.get(name) else "Not granted"
            if not requirement.purpose:
                yield Finding(Level.OK, subject, f"{granted}; the exporter does without.")
            elif allowed.get(name):
                yield Finding(Level.OK, subject, f"{granted}; it gives {requirement.purpose}.")
            else:
                yield Finding(
                    Level.PROBLEM if requirement.required else Level.WARNING,
                    subject,
                    f"{granted} in the whole deployment; what it gives is missing: {requirement.purpose}.",
                    f"Give the account the role {requirement.role}, or accept the gap.",
                )

    async def _check_health(self) -> Finding:
        """Return what Coder thinks of itself, which it tells to few."""
        try:
            health = await self.client.health()
        except (UpstreamError, SecretError) as error:
            return Finding(
                Level.WARNING, "health", f"Coder's report on itself could not be read: {error}", "Try again."
            )
        unhealthy = sorted(name for name, section in health.sections().items() if not section.healthy)
        if health.healthy and not unhealthy:
            return Finding(Level.OK, "health", "Coder finds itself healthy.")
        reasons = ", ".join(unhealthy) or health.severity or "something unnamed"
        advice = "Look at Coder's health page (/health) for the reasons."
        return Finding(Level.WARNING, "health", f"Coder finds fault with itself: {reasons}.", advice)

    def _reads_debug_metrics(self) -> bool:
        stats = self.settings.agent_stats
        return stats.source is AgentStatsSource.CODERD_METRICS and stats.metrics_url is None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _expiry_finding(expires_at: datetime, remaining: timedelta) -> Finding:
    text = f"The token expires at {expires_at:%Y-%m-%d %H:%M} UTC unless it is used before."
    if remaining > timedelta(days=1):
        return Finding(Level.OK, "token expiry", text)
    advice = "Use a token of a longer lifetime: coder tokens create --lifetime 720h."
    return Finding(Level.WARNING if remaining > timedelta(0) else Level.PROBLEM, "token expiry", text, advice)
