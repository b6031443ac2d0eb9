"""Options of the simulated deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

__all__ = ["AGGREGATION_LABELS", "ApiOptions", "MetricsOptions"]

AGGREGATION_LABELS = ("agent_name", "template_name", "username", "workspace_name")
"""The labels that ``CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY`` accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOptions:
    """Options of coderd's Prometheus endpoint, named after coderd's settings.

    ``uptime`` is the age of the process at the first scrape. ``client_sessions`` adds the family with one
    series per client program. ``cumulative_bytes`` keeps the byte gauges; coderd resets them at each tick.
    """

    enable: bool = True
    collect_agent_stats: bool = True
    aggregate_agent_stats_by: tuple[str, ...] = AGGREGATION_LABELS
    client_sessions: bool = False
    cumulative_bytes: bool = False
    uptime: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Options of the API that stay fixed while the deployment runs.

    ``rate_limit`` is the number of requests per minute, path and caller; 0 disables the limit.
    ``open_source`` removes the routes of the enterprise build. ``user_limit`` is the number of seats; None
    is no licence. ``feature_limits`` holds the limits of the licence's other meters; None is unlimited.
    ``client_apps`` returns one builtin row per client program. ``access_url`` defaults to the requested one.
    ``redirect_to_access_url`` is Coder's ``CODER_REDIRECT_TO_ACCESS_URL``.
    """

    version: str = "v2.35.1+5e7d2c4"
    rate_limit: int = 512
    open_source: bool = False
    user_limit: int | None = None
    feature_limits: Mapping[str, int | None] = field(default_factory=dict)
    client_apps: bool = False
    access_url: str = ""
    redirect_to_access_url: bool = False
    max_token_lifetime: timedelta = timedelta(hours=876_600)
    max_admin_token_lifetime: timedelta = timedelta(hours=168)
    default_token_lifetime: timedelta = timedelta(hours=168)
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
