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
from insights_exporter.coder.authorization import PREFLIGHT
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.version import OLDEST, Feature, ServerVersion
from insights_exporter.errors import AuthError, LoginPage, SecretError, TlsFailed, UpstreamError
from insights_exporter.settings import AgentStatsSource, Settings, UserNames

__all__ = ["Access", "blocked"]

SKEW = 120.0
"""Seconds between two clocks from which on the end of "today" may be an hour that Coder refuses."""

_MISSING: Final[Mapping[Feature, str]] = {
    Feature.TIMES_USED: "how often apps were opened",
    Feature.USER_STATUS_COUNTS: "accounts by status",
    Feature.INSIGHTS_SWITCH: "whether statistics are switched off",
}


@dataclass(frozen=True, slots=True)
class _Need:
    """What a permission is for.

    Without one that is ``needed`` there are no insights at all; what has no ``purpose`` is not used yet.
    """

    purpose: str
    role: str = ""
    needed: bool = False


_NEEDS: Final[Mapping[str, _Need]] = {
    "insights": _Need("everything on the Template Insights page", "auditor or template-admin", needed=True),
    "templates": _Need("templates and their parameters", "auditor or template-admin", needed=True),
    "users": _Need("accounts, seats and when users were last seen", "auditor or template-admin"),
    "workspaces": _Need("workspaces, agents and relay latency", "template-admin"),
    "deployment_stats": _Need(""),
    "deployment_config": _Need(""),
    "debug": _Need("agent reports from coderd's metrics through the API", "owner"),
}


def blocked(subject: str, error: UpstreamError | SecretError) -> Finding:
    """Return the problem that an answer could not be had."""
    text = str(error)
    if isinstance(error, TlsFailed):
        advice = "Set coder.ca_file to the authority that signed Coder's certificate."
    elif isinstance(error, LoginPage):
        advice = "Let the exporter pass the proxy that asks for a login, or set coder.url to Coder itself."
    elif isinstance(error, SecretError):
        advice = "Set coder.token_file to a file that holds a session token."
    elif isinstance(error, AuthError):
        advice = "Make a new token: coder tokens create --name insights-exporter --lifetime 720h."
    elif error.heals:
        advice = "Look whether Coder runs and whether coder.url can be reached from here; then try again."
    else:
        advice = "Compare coder.url and the account's roles with docs/troubleshooting.md."
    return Finding(Level.PROBLEM, subject, text, advice)


@dataclass(frozen=True, slots=True)
class Access:
    """Looks at the way to Coder."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what is found; nothing follows where a problem makes the rest pointless."""
        began = self.clock.monotonic()
        try:
            info = await self.client.build_info()
        except (UpstreamError, SecretError) as error:
            yield blocked("token" if isinstance(error, SecretError) else "address", error)
            return
        took = self.clock.monotonic() - began
        url = self.settings.coder.url
        yield Finding(Level.OK, "address", f"{url} answers in {took * 1000:.0f} ms.")
        yield self._encryption(URL(url))
        yield self._version(ServerVersion.parse(info.version), info.version)
        yield self._skew()
        try:
            me = await self.client.me()
        except (UpstreamError, SecretError) as error:
            yield blocked("token", error)
            return
        named = self.settings.privacy.users is UserNames.NAMED
        whose = f"speaks for {me.username}" if named else "is accepted"
        yield Finding(Level.OK, "token", f"The token {whose}.")
        if "owner" in {role.name for role in me.roles}:
            yield Finding(
                Level.WARNING,
                "roles",
                "The account is an owner and could change everything.",
                "Give the exporter an account of its own with the roles auditor and template-admin.",
            )
        yield await self._expiry()
        async for finding in self._permissions():
            yield finding

    def _encryption(self, url: URL) -> Finding:
        if url.scheme == "https":
            return Finding(Level.OK, "tls", "The connection is encrypted and the certificate is trusted.")
        if _is_local(url.host or ""):
            return Finding(Level.OK, "tls", "The connection stays on this machine and is not encrypted.")
        return Finding(
            Level.WARNING, "tls", "The token travels unencrypted.", "Set coder.url to an address of https."
        )

    def _version(self, version: ServerVersion | None, text: str) -> Finding:
        if version is None:
            return Finding(Level.WARNING, "version", f"Coder's version {text[:60]!r} is of an unknown form.")
        if version < OLDEST:
            return Finding(
                Level.PROBLEM,
                "version",
                f"Coder {version} is older than {OLDEST}, the oldest that the exporter is made for.",
                "Upgrade Coder.",
            )
        missing = [text for feature, text in _MISSING.items() if not version.supports(feature)]
        lacks = f" It does not tell {', '.join(missing)}." if missing else ""
        return Finding(Level.OK, "version", f"Coder {version}.{lacks}")

    def _skew(self) -> Finding:
        skew = self.client.clock_skew
        if skew is None:
            return Finding(Level.OK, "clock", "Coder does not tell its time.")
        if abs(skew) < SKEW:
            return Finding(Level.OK, "clock", "Coder's clock and ours agree.")
        way = "ahead of" if skew > 0 else "behind"
        return Finding(
            Level.WARNING,
            "clock",
            f"Coder's clock is {abs(skew):.0f} s {way} ours.",
            "Synchronise both clocks; Coder refuses ranges that reach into its future.",
        )

    async def _expiry(self) -> Finding:
        try:
            at = await self.client.token_expiry()
        except (UpstreamError, SecretError):
            at = None
        if at is None:
            return Finding(Level.OK, "token expiry", "Coder does not tell when the token expires.")
        return _remaining(at, at - self.clock.now())

    async def _permissions(self) -> AsyncIterator[Finding]:
        try:
            allowed = await self.client.authcheck(PREFLIGHT)
        except (UpstreamError, SecretError) as error:
            yield blocked("permissions", error)
            return
        if allowed.get("debug"):
            yield await self._health()
        for name, need in _NEEDS.items():
            if name == "debug" and not self._reads_debug_metrics():
                continue
            check = PREFLIGHT[name]
            subject = f"permission {check.resource_type} {check.action}"
            granted = "Granted" if allowed.get(name) else "Not granted"
            if not need.purpose:
                yield Finding(Level.OK, subject, f"{granted}; the exporter does without.")
            elif allowed.get(name):
                yield Finding(Level.OK, subject, f"{granted}; it gives {need.purpose}.")
            else:
                yield Finding(
                    Level.PROBLEM if need.needed else Level.WARNING,
                    subject,
                    f"{granted} in the whole deployment; what it gives is missing: {need.purpose}.",
                    f"Give the account the role {need.role}, or accept the gap.",
                )

    async def _health(self) -> Finding:
        """Return what Coder thinks of itself, which it tells to few."""
        try:
            health = await self.client.health()
        except (UpstreamError, SecretError) as error:
            return Finding(
                Level.WARNING, "health", f"Coder's report on itself could not be read: {error}", "Try again."
            )
        ill = sorted(name for name, part in health.sections().items() if not part.healthy)
        if health.healthy and not ill:
            return Finding(Level.OK, "health", "Coder finds itself healthy.")
        parts = ", ".join(ill) or health.severity or "something unnamed"
        advice = "Look at Coder's health page (/health) for the reasons."
        return Finding(Level.WARNING, "health", f"Coder finds fault with itself: {parts}.", advice)

    def _reads_debug_metrics(self) -> bool:
        stats = self.settings.agent_stats
        return stats.source is AgentStatsSource.CODERD_METRICS and stats.metrics_url is None


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _remaining(at: datetime, left: timedelta) -> Finding:
    text = f"The token expires at {at:%Y-%m-%d %H:%M} UTC unless it is used before."
    if left > timedelta(days=1):
        return Finding(Level.OK, "token expiry", text)
    advice = "Use a token of a longer lifetime: coder tokens create --lifetime 720h."
    return Finding(Level.WARNING if left > timedelta(0) else Level.PROBLEM, "token expiry", text, advice)
