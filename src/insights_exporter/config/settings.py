"""What the exporter can be told; the defaults are here and nowhere else.

Times are seconds. Reading a file into this is the business of ``config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

from insights_exporter.coder.settings import CoderSettings
from insights_exporter.secrets import SecretSource

__all__ = [
    "AgentStatsSettings",
    "AgentStatsSource",
    "FilterSettings",
    "InsightsSettings",
    "LimitSettings",
    "LogFormat",
    "LogSettings",
    "NameFilter",
    "OtlpProtocol",
    "OtlpSettings",
    "PollSettings",
    "PrivacySettings",
    "ServerSettings",
    "Settings",
    "UsernameMode",
]


class UsernameMode(StrEnum):
    """How users appear, everywhere at once."""

    NAMED = "named"
    HASHED = "hashed"
    OFF = "off"


class AgentStatsSource(StrEnum):
    """Where agent reports are read."""

    NONE = "none"
    POSTGRES = "postgres"
    CODERD_METRICS = "coderd_metrics"


class OtlpProtocol(StrEnum):
    """How pushes travel, named as in the OpenTelemetry specification."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """When Coder is asked: ``offset`` plus up to ``jitter`` after each multiple of ``interval``."""

    interval: float = 300.0
    offset: float = 20.0
    jitter: float = 10.0
    deadline: float = 240.0
    refresh_interval: float = 3600.0
    max_staleness: float = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InsightsSettings:
    """Which windows are asked for; the anchor of counters is the first day of the quarter where None."""

    windows: tuple[str, ...] = ("today", "yesterday", "7d", "30d")
    utc_offset: int = 0
    anchor: date | None = None
    days: int = 7
    weeks: int = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class NameFilter:
    """Shell patterns of names; an empty ``allow`` admits all, ``deny`` wins."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSettings:
    """What is exported at all; a template's pattern with a slash is for ``organization/name``."""

    organizations: NameFilter = NameFilter()
    templates: NameFilter = NameFilter()
    users: NameFilter = NameFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacySettings:
    """How users appear; hashing needs a key, which replicas share."""

    users: UsernameMode = UsernameMode.NAMED
    hash_key: SecretSource | None = None
    parameter_free_text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """How many series a family may have; ``families`` overrides by full name, and 0 leaves a family out."""

    series_per_family: int = 10_000
    families: Mapping[str, int] = field(default_factory=dict)
    label_value_length: int = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatsSettings:
    """Where agent reports are read and what is kept across restarts.

    ``dsn`` is a Postgres address, a secret as it may hold a password. ``metrics_url`` is coderd's own metrics
    address; the debug route of the API serves where it is None.
    """

    source: AgentStatsSource = AgentStatsSource.NONE
    interval: float = 60.0
    dsn: SecretSource | None = None
    password: SecretSource | None = None
    statement_timeout: float = 30.0
    overlap: float = 300.0
    batch_rows: int = 1_000_000
    metrics_url: str | None = None
    state_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where the exporter listens."""

    host: str = "127.0.0.1"
    port: int = 9766
    web_config_file: Path | None = None
    bearer_token: SecretSource | None = None
    open_metrics: bool = False
    open_page: bool = False
    enable_reload: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """Where snapshots are pushed; the standard environment variables fill what is None."""

    enabled: bool = False
    endpoint: str | None = None
    protocol: OtlpProtocol | None = None
    headers: SecretSource | None = None
    timeout: float | None = None
    exponential_histograms: bool = False
    resource_attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How much is said, and how."""

    level: str = "info"
    format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything."""

    coder: CoderSettings
    poll: PollSettings = PollSettings()
    insights: InsightsSettings = InsightsSettings()
    filters: FilterSettings = FilterSettings()
    privacy: PrivacySettings = PrivacySettings()
    limits: LimitSettings = LimitSettings()
    agent_stats: AgentStatsSettings = AgentStatsSettings()
    server: ServerSettings = ServerSettings()
    otlp: OtlpSettings = OtlpSettings()
    log: LogSettings = LogSettings()
