"""Checks of the connection: address, TLS, server version, clock and token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from yarl import URL

from insights_exporter.check.finding import (
    Finding,
    Level,
    address_finding,
    clock_skew_finding,
    create_command,
    failed_finding,
)
from insights_exporter.check.permissions import PermissionCheck
from insights_exporter.clock import Clock
from insights_exporter.coder import models
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.versions import MIN_SUPPORTED_VERSION, Feature, ServerVersion
from insights_exporter.config.secret_settings import exposed_secret_files, is_world_readable
from insights_exporter.config.settings import Settings
from insights_exporter.errors import ConfigError, SecretError, UpstreamError
from insights_exporter.server.auth.web_config import load_web_config

__all__ = ["AccessCheck", "check_secret_files"]

MAX_CLOCK_SKEW = 120.0
"""Seconds of skew that can move the end of "today" into an hour that Coder rejects as future."""

MIN_TOKEN_LIFETIME = timedelta(days=14)
"""Remaining lifetime of a token with a fixed expiry that leaves time for its rotation."""

_FIXED_EXPIRY_SINCE: Final[Mapping[tuple[int, int], int]] = {(2, 32): 8, (2, 33): 9, (2, 34): 3}
"""The patch release of each minor release since which API tokens have a fixed expiry."""

_ALWAYS_FIXED_SINCE: Final = (2, 35)

_SERVICE_ACCOUNTS_SINCE: Final = (2, 32, 0)

_FEATURE_DESCRIPTIONS: Final[Mapping[Feature, str]] = {
    Feature.INSIGHTS_SWITCH: "whether statistics are disabled",
}


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """Checks the connection to Coder and the token."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def run(self) -> AsyncIterator[Finding]:
        """Yield findings; stop after a problem that would make all further checks fail."""
        started = self.clock.monotonic()
        try:
            info = await self.client.build_info()
        except SecretError as error:
            yield failed_finding("token", error)
            return
        except UpstreamError as error:
            yield address_finding(self.settings.coder, error)
            return
        elapsed = self.clock.monotonic() - started
        url = self.settings.coder.url
        version = ServerVersion.parse(info.version)
        yield Finding(Level.OK, "address", f"{url} responds in {elapsed * 1000:.0f} ms.")
        yield _tls_finding(URL(url))
        yield _version_finding(version, info.version)
        yield self._check_clock()
        try:
            account = await self.client.me()
        except (UpstreamError, SecretError) as error:
            yield failed_finding("token", error)
            return
        shows_owner = self.settings.privacy.shows_usernames
        owner = f"The token belongs to {account.username}." if shows_owner else "The token is valid."
        yield Finding(Level.OK, "token", owner)
        async for finding in self._check_seat(account, version):
            yield finding
        yield await self._check_token_expiry(version)
        async for finding in PermissionCheck(self.client, self.settings).run(account):
            yield finding

    def _check_clock(self) -> Finding:
        skew = self.client.clock_skew
        if skew is None:
            return Finding(Level.OK, "clock", "Coder's responses have no Date header.")
        reason = "Coder rejects time ranges that end in its future."
        return clock_skew_finding("clock", "Coder's", skew, max_skew=MAX_CLOCK_SKEW, reason=reason)

    async def _check_seat(
        self, account: models.User, version: ServerVersion | None
    ) -> AsyncIterator[Finding]:
        """Recommend a service account if the deployment is licensed and the account takes a seat."""
        if version is None or version.release < _SERVICE_ACCOUNTS_SINCE:
            return
        try:
            seats = (await self.client.entitlements()).features.get("user_limit")
        except (UpstreamError, SecretError):
            return
        if seats is None or not seats.enabled:
            return
        if account.is_service_account:
            text = "The account is a service account, which takes no licensed seat."
        else:
            text = (
                "The account takes a licensed seat. A service account takes none: "
                "coder users create --service-account"
            )
        yield Finding(Level.OK, "seat", text)

    async def _check_token_expiry(self, version: ServerVersion | None) -> Finding:
        try:
            expires_at = await self.client.token_expiry()
        except (UpstreamError, SecretError):
            expires_at = None
        if expires_at is None:
            return Finding(Level.OK, "token expiry", "Coder reports no expiry of the token.")
        try:
            seconds = await self.client.max_token_lifetime()
        except (UpstreamError, SecretError):
            seconds = None
        maximum = None if seconds is None else timedelta(seconds=seconds)
        remaining = expires_at - self.clock.now()
        return _expiry_finding(expires_at, remaining, maximum, slides=_tokens_slide(version))


def _tokens_slide(version: ServerVersion | None) -> bool:
    """Return whether each use of an API token extends it; newer servers keep the expiry fixed."""
    if version is None or version.release[:2] >= _ALWAYS_FIXED_SINCE:
        return False
    fixed_since = _FIXED_EXPIRY_SINCE.get(version.release[:2])
    return fixed_since is None or version.patch < fixed_since


def _expiry_finding(
    expires_at: datetime, remaining: timedelta, maximum: timedelta | None, *, slides: bool
) -> Finding:
    """Return how long the token lasts, whether its use extends it, and how to rotate it."""
    verb, distance = (
        ("expires", f"in {_days(remaining)}") if remaining > timedelta(0) else ("expired", "in the past")
    )
    end = f"The token {verb} at {expires_at:%Y-%m-%d %H:%M} UTC, {distance}."
    limit = f" The deployment's maximum lifetime is {_days(maximum)}." if maximum is not None else ""
    if slides:
        text = f"{end} Each use extends it on this server; newer servers keep the expiry fixed.{limit}"
        enough = timedelta(days=1)
    else:
        text = f"{end} Its use does not extend it on this server.{limit}"
        enough = MIN_TOKEN_LIFETIME
    if remaining > enough:
        return Finding(Level.OK, "token expiry", text)
    advice = (
        f"Rotate it daily: insights-exporter token rotate. Or create a new token: {create_command(maximum)}"
    )
    return Finding(Level.WARNING if remaining > timedelta(0) else Level.PROBLEM, "token expiry", text, advice)


def _days(duration: timedelta) -> str:
    hours = duration / timedelta(hours=1)
    return f"{hours:.0f} hours" if abs(hours) < 48 else f"{hours / 24:,.0f} days"


def _tls_finding(url: URL) -> Finding:
    if url.scheme == "https":
        return Finding(Level.OK, "tls", "The connection is encrypted and the certificate is trusted.")
    if _is_loopback(url.host or ""):
        return Finding(Level.OK, "tls", "The connection is local and not encrypted.")
    return Finding(
        Level.WARNING, "tls", "The token is sent without encryption.", "Set coder.url to an https URL."
    )


def _version_finding(version: ServerVersion | None, text: str) -> Finding:
    if version is None:
        advice = "Report it to the exporter's maintainers."
        return Finding(Level.WARNING, "version", f"Unknown version format: {text[:60]!r}.", advice)
    if version < MIN_SUPPORTED_VERSION:
        return Finding(
            Level.PROBLEM,
            "version",
            f"Coder {version} is older than {MIN_SUPPORTED_VERSION}, the oldest supported version.",
            "Upgrade Coder.",
        )
    missing = [text for feature, text in _FEATURE_DESCRIPTIONS.items() if not version.supports(feature)]
    missing_text = f" This version does not report {', '.join(missing)}." if missing else ""
    return Finding(Level.OK, "version", f"Coder {version}.{missing_text}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_secret_files(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each file that every user of the machine can read."""
    for key, path in (*exposed_secret_files(settings), *_exposed_server_key(settings)):
        text = f"Every user of this machine can read {path} ({key})."
        yield Finding(Level.WARNING, "secret files", text, f"Run chmod 600 {path} as the exporter's user.")


def _exposed_server_key(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the private key of the HTTP server, which the web configuration file names."""
    file = settings.server.web_config_file
    if file is None:
        return
    try:
        tls = load_web_config(file).tls
    except ConfigError:
        # The server reports an invalid web configuration file.
        return
    if tls is not None and tls.key.file is not None and is_world_readable(tls.key.file):
        yield f"tls_server_config.key_file of {file}", tls.key.file
