"""Findings of checks: severity, subject, text and advice; for failed requests the probable cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Final

import msgspec
from yarl import URL

from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import (
    AuthError,
    BadRequest,
    BadResponse,
    InsightsDisabled,
    LoginPageReturned,
    SecretError,
    TLSError,
    UnsupportedEndpoint,
    UpstreamError,
)

__all__ = [
    "STATISTICS_SWITCH",
    "Finding",
    "Level",
    "address_finding",
    "clock_skew_finding",
    "create_command",
    "failed_finding",
    "format_json",
    "format_text",
    "worst",
]


class Level(IntEnum):
    """Severity of a finding; the highest one is the exit code."""

    OK = 0
    WARNING = 1
    PROBLEM = 2

    @property
    def label(self) -> str:
        """The level in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``advice`` is set unless the level is OK."""

    level: Level
    subject: str
    text: str
    advice: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the highest level; OK without findings."""
    return max((finding.level for finding in findings), default=Level.OK)


def clock_skew_finding(
    subject: str, owner: str, skew: float, *, max_skew: float, reason: str = ""
) -> Finding:
    """Compare a remote clock with the local one; ``skew`` in seconds is > 0 for a fast remote clock."""
    if abs(skew) < max_skew:
        return Finding(Level.OK, subject, f"{owner} clock agrees with the local clock.")
    direction = "ahead of" if skew > 0 else "behind"
    text = f"{owner} clock is {abs(skew):.0f} s {direction} the local clock."
    return Finding(Level.WARNING, subject, text, f"Synchronise both clocks. {reason}".strip())


def format_text(finding: Finding) -> str:
    """Return a finding as text, with the advice on a second line."""
    line = f"{finding.level.label:8} {finding.subject}: {finding.text}"
    return f"{line}\n         -> {finding.advice}" if finding.advice else line


def format_json(findings: Sequence[Finding]) -> str:
    """Return all findings as one JSON document."""
    document = {
        "result": worst(findings).label,
        "findings": [
            {
                "level": finding.level.label,
                "subject": finding.subject,
                "text": finding.text,
                "advice": finding.advice,
            }
            for finding in findings
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


YEAR_HOURS: Final = 8760

STATISTICS_SWITCH: Final = "Start Coder without CODER_STATS_COLLECTION_USAGE_STATS_ENABLE=false."

_PLAIN_HTTP_MARKS: Final = ("WRONG_VERSION_NUMBER", "wrong version number", "HTTP_REQUEST")
"""OpenSSL's reasons for an HTTP response to a TLS handshake."""


def create_command(maximum: timedelta | None = None) -> str:
    """Return the command that creates a token for one year, or for the deployment's maximum lifetime."""
    hours = YEAR_HOURS if maximum is None else min(YEAR_HOURS, int(maximum / timedelta(hours=1)))
    return f"coder tokens create --name insights-exporter --lifetime {hours}h"


def failed_finding(subject: str, error: UpstreamError | SecretError) -> Finding:
    """Return the problem of a failed request."""
    if isinstance(error, TLSError):
        advice = "Set coder.ca_file to the CA certificate of Coder's certificate."
    elif isinstance(error, LoginPageReturned):
        advice = (
            "Exempt the exporter from the proxy's login, or set coder.url to an address behind the proxy."
        )
    elif isinstance(error, SecretError):
        advice = "Set coder.token_file to a file that holds a session token."
    elif isinstance(error, AuthError):
        advice = f"Create a new token: {create_command()}"
    elif isinstance(error, InsightsDisabled):
        advice = STATISTICS_SWITCH
    elif error.retryable:
        advice = "Check that Coder runs and that coder.url is reachable from here. Then try again."
    else:
        advice = "Compare coder.url and the account's roles with docs/troubleshooting.md."
    return Finding(Level.PROBLEM, subject, str(error), advice)


def address_finding(settings: CoderSettings, error: UpstreamError) -> Finding:
    """Return the problem of the first request, which shows a wrong scheme or path in ``coder.url``."""
    url = URL(settings.url)
    if url.scheme == "https" and isinstance(error, TLSError) and _is_plain_http(error):
        text = f"{url} uses https, but the server speaks plain HTTP."
        return Finding(Level.PROBLEM, "address", text, f"Set coder.url to {url.with_scheme('http')}")
    if url.scheme == "http" and isinstance(error, BadRequest) and error.endpoint == "/buildinfo":
        # Go's server answers plain HTTP on a TLS port with status 400 and a text body.
        text = f"{url} uses http, but the server refuses plain HTTP (HTTP 400): it probably expects TLS."
        return Finding(Level.PROBLEM, "address", text, f"Set coder.url to {url.with_scheme('https')}")
    path = url.path.rstrip("/").removesuffix("/api/v2")
    if path and isinstance(error, LoginPageReturned | BadResponse | UnsupportedEndpoint):
        text = f"coder.url has the path {path}, and there is no Coder API below it ({error.reason})."
        advice = f"Set coder.url to {url.origin()} unless a proxy serves Coder below that path."
        return Finding(Level.PROBLEM, "address", text, advice)
    return failed_finding("address", error)


def _is_plain_http(error: TLSError) -> bool:
    return any(mark in str(error) for mark in _PLAIN_HTTP_MARKS)
