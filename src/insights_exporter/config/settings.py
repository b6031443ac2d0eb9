"""Settings of the exporter as pydantic models: defaults, bounds and descriptions of every key.

Times are seconds. ``config.loading`` fills the models from exporter.yaml and the environment.
The documentation and the JSON Schema are generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from insights_exporter.config.output_settings import (
    MIN_SECRET_LENGTH,
    LogFormat,
    LogSettings,
    OtlpProtocol,
    OtlpSettings,
    ServerSettings,
)
from insights_exporter.config.teams import TeamSettings
from insights_exporter.config.types import (
    CoderUrl,
    CurrencyCode,
    Day,
    FamilyName,
    HttpUrl,
    NonNegativeSeconds,
    OutputPath,
    PositiveNumber,
    PositiveSeconds,
    ReadableFile,
    SecretText,
    SettingsSection,
    ShellPattern,
    WindowName,
    invalid,
    unique,
)
from insights_exporter.secrets import SecretSource

__all__ = [
    "AgentStatsSettings",
    "AgentStatsSource",
    "CoderSettings",
    "CostSettings",
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
    "TeamSettings",
    "UsernameMode",
]


class UsernameMode(StrEnum):
    """How usernames appear in series, on the landing page, in logs and in pushes."""

    NAMED = "named"
    HASHED = "hashed"
    OFF = "off"


class AgentStatsSource(StrEnum):
    """Source of agent reports."""

    NONE = "none"
    POSTGRES = "postgres"
    CODERD_METRICS = "coderd_metrics"


class CoderSettings(SettingsSection):
    """Connection to the Coder deployment."""

    url: CoderUrl = Field(description="URL of the deployment. `CODER_URL` is used if this key is not set.")
    token: Annotated[SecretSource, SecretText("a session token")] = Field(
        description="Session token. A changed file is read again. "
        "`CODER_SESSION_TOKEN` is used if this key is not set."
    )
    ca_file: ReadableFile | None = Field(
        default=None, description="PEM file with CA certificates to trust in addition to the system's."
    )
    cert_file: ReadableFile | None = Field(
        default=None, description="PEM file with a client certificate, for a proxy that requires mutual TLS."
    )
    key_file: ReadableFile | None = Field(
        default=None, description="Unencrypted key of the client certificate."
    )
    total_timeout: PositiveSeconds = Field(default=60.0, description="Timeout of one request.")
    connect_timeout: PositiveSeconds = Field(default=10.0, description="Timeout of connecting.")
    read_timeout: PositiveSeconds = Field(
        default=45.0, description="Timeout between two reads of a response."
    )
    concurrency: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Concurrent requests. Coder's database pool has 10 connections by default.",
    )
    retries: int = Field(default=3, ge=0, le=20, description="Retries of a request after a retryable error.")
    max_response_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="Maximum size of one response."
    )
    workspace_page_size: int = Field(
        default=500, ge=1, le=1000, description="Workspaces per page. Newer servers limit a page to 1000."
    )

    @field_validator("key_file")
    @classmethod
    def _key_needs_certificate(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("cert_file", value) is None:
            raise invalid("cert_file together with key_file", "key_file only")
        return value


class PollSettings(SettingsSection):
    """Schedule of polls: each starts `offset` plus up to `jitter` after a multiple of `interval`."""

    interval: PositiveSeconds = Field(
        default=300.0, description="Time between polls. Coder refreshes its data every 5 minutes."
    )
    jitter: NonNegativeSeconds = Field(
        default=10.0, description="Maximum random delay of a poll. It spreads the load of several exporters."
    )
    offset: NonNegativeSeconds = Field(
        default=20.0,
        description="Delay of a poll after each multiple of the interval. Coder's rollup runs before it.",
    )
    deadline: PositiveSeconds = Field(default=240.0, description="Maximum duration of one poll.")
    refresh_interval: PositiveSeconds = Field(
        default=3600.0,
        description="Time between refreshes of slow data: users, licence, and parameters, opens and latency "
        "of windows longer than a day.",
    )
    workspaces_every: int = Field(
        default=3,
        ge=1,
        le=12,
        description="Read the list of workspaces, which is expensive for Coder, at every n-th poll. "
        "After a change of more than 1 % of the build statuses, the next poll reads it.",
    )
    max_api_time_ratio: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Maximum time that Coder spends on requests, as a share of the time, averaged over an "
        "hour. Before it is exceeded, data of templates is refreshed less often.",
    )
    max_staleness: PositiveSeconds = Field(
        default=1800.0,
        description="Maximum age of served data. Older data is dropped if Coder keeps failing.",
    )

    @field_validator("offset")
    @classmethod
    def _offset_fits_interval(cls, value: float, info: ValidationInfo) -> float:
        interval, delay = info.data.get("interval"), value + info.data.get("jitter", 0.0)
        if interval is not None and delay >= interval:
            raise invalid(f"offset + jitter < interval ({interval:g} s)", f"{delay:g} s")
        return value

    @field_validator("deadline")
    @classmethod
    def _deadline_fits_interval(cls, value: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval")
        if interval is not None and value > interval:
            raise invalid(
                f"at most poll.interval ({interval:g} s), so that polls do not overlap", f"{value:g} s"
            )
        return value

    @field_validator("max_staleness")
    @classmethod
    def _staleness_covers_interval(cls, value: float, info: ValidationInfo) -> float:
        interval = info.data.get("interval")
        if interval is not None and value < interval:
            raise invalid(
                f"at least poll.interval ({interval:g} s), so that data lasts until the next poll",
                f"{value:g} s",
            )
        return value


class InsightsSettings(SettingsSection):
    """Time ranges of Template Insights."""

    windows: Annotated[tuple[WindowName, ...], AfterValidator(unique)] = Field(
        default=("today", "yesterday", "7d", "30d"), min_length=1, description="Values of the label `window`."
    )
    utc_offset: int = Field(
        default=0,
        ge=-12,
        le=14,
        description="Start of days, in whole hours east of UTC, without daylight saving time.",
    )
    anchor: Day | None = Field(
        default=None,
        description="Start date of counters. Replicas must share it. Default: first day of the quarter.",
    )
    days: int = Field(
        default=7, ge=1, le=60, description='Days of active users, label `ago` with `interval="day"`.'
    )
    weeks: int = Field(
        default=12, ge=1, le=52, description='Weeks of active users, label `ago` with `interval="week"`.'
    )


class NameFilter(SettingsSection):
    """Allow and deny lists of shell patterns."""

    allow: Annotated[tuple[ShellPattern, ...], AfterValidator(unique)] = Field(
        default=(), description="Patterns of names to export. An empty list allows all."
    )
    deny: Annotated[tuple[ShellPattern, ...], AfterValidator(unique)] = Field(
        default=(), description="Patterns of names to drop. `deny` overrides `allow`."
    )


class FilterSettings(SettingsSection):
    """Filters of organizations, templates and users."""

    organizations: NameFilter = Field(default=NameFilter(), description="Filter of organizations by name.")
    templates: NameFilter = Field(
        default=NameFilter(),
        description="Filter of templates by `name`, or by `organization/name` if the pattern has a slash.",
    )
    users: NameFilter = Field(default=NameFilter(), description="Filter of users by username.")


class PrivacySettings(SettingsSection):
    """Personal data in exported series."""

    users: UsernameMode = Field(
        default=UsernameMode.NAMED,
        description="Usernames in series, on the landing page, in logs and pushes.",
    )
    hash_key: Annotated[
        SecretSource | None, SecretText("a key of at least 16 characters", MIN_SECRET_LENGTH)
    ] = Field(default=None, description="Key of hashed usernames. Replicas must share it.")
    parameter_free_text: bool = Field(
        default=False,
        description="Export parameter values that are not declared options: any text that users type.",
    )
    min_group_size: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Fewest people that an exported number may describe. Other numbers are withheld. "
        "Works councils often ask for 5. Requires `users: off` above 1. 0 disables the minimum.",
    )

    @field_validator("min_group_size")
    @classmethod
    def _minimum_needs_hidden_users(cls, value: int, info: ValidationInfo) -> int:
        users = info.data.get("users", UsernameMode.OFF)
        if value > 1 and users is not UsernameMode.OFF:
            raise invalid(
                f"0 or 1 with users: {users} (a series per user describes one person), or users: off",
                str(value),
            )
        return value

    @field_validator("hash_key")
    @classmethod
    def _hashing_needs_key(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.data.get("users") is UsernameMode.HASHED:
            raise invalid("a key (hash_key_file, hash_key_env or hash_key) with users: hashed", "nothing")
        return value

    @property
    def shows_usernames(self) -> bool:
        """Whether output may contain usernames, and so text of the server, which may name users."""
        return self.users is UsernameMode.NAMED


class LimitSettings(SettingsSection):
    """Limits of cardinality."""

    series_per_family: int = Field(
        default=10_000, ge=1, description="Maximum series of a metric family. Further series are folded."
    )
    families: Mapping[FamilyName, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="Limits of single families by full name. 0 disables the family."
    )
    label_value_length: int = Field(
        default=128,
        ge=16,
        le=2048,
        description="Maximum length of label values in characters. Longer values are cut.",
    )


class CostSettings(SettingsSection):
    """Price of the units in which Coder's quota counts the daily cost of workspaces."""

    price_per_unit: PositiveNumber | None = Field(
        default=None, description="Price of one unit. Dashboards then show money beside units."
    )
    currency: CurrencyCode | None = Field(
        default=None, description="Currency of the price, such as `EUR`: a label, nothing is converted."
    )

    @field_validator("currency")
    @classmethod
    def _price_needs_currency(cls, value: Any, info: ValidationInfo) -> Any:
        if (value is None) != (info.data.get("price_per_unit") is None):
            raise invalid("price_per_unit and currency together", "one of them")
        return value


class AgentStatsSettings(SettingsSection):
    """Source of agent reports, which latency histograms and sessions need."""

    source: AgentStatsSource = Field(default=AgentStatsSource.NONE, description="Source of agent reports.")
    interval: PositiveSeconds = Field(default=60.0, description="Time between reads.")
    dsn: Annotated[SecretSource | None, SecretText("a PostgreSQL connection string")] = Field(
        default=None, description="Connection string of Coder's database."
    )
    password: Annotated[SecretSource | None, SecretText("a password")] = Field(
        default=None, description="Password of the database, if the connection string has none."
    )
    statement_timeout: PositiveSeconds = Field(default=30.0, description="Timeout of one query.")
    overlap: NonNegativeSeconds = Field(
        default=300.0, description="Maximum delay of a report. Each read looks back this long for late rows."
    )
    batch_rows: int = Field(
        default=1_000_000,
        ge=1,
        le=100_000_000,
        description="Reports per query while a backlog is read, in whole minutes.",
    )
    by_client: bool = Field(
        default=False,
        description="Count sessions by client program, such as `cursor`, in place of its app family, such "
        "as `vscode`. Only newer servers report clients.",
    )
    metrics_url: HttpUrl | None = Field(
        default=None,
        description="URL of coderd's own metrics. Without it, the debug route of the API is read, "
        "which requires the role owner.",
    )
    state_file: OutputPath | None = Field(
        default=None, description="File that keeps counters across restarts."
    )

    @field_validator("dsn")
    @classmethod
    def _postgres_needs_dsn(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.data.get("source") is AgentStatsSource.POSTGRES:
            raise invalid("a connection string (dsn_file, dsn_env or dsn) with source: postgres", "nothing")
        return value


class Settings(SettingsSection):
    """Configuration of insights-exporter."""

    coder: CoderSettings
    poll: PollSettings = PollSettings()
    insights: InsightsSettings = InsightsSettings()
    filters: FilterSettings = FilterSettings()
    privacy: PrivacySettings = PrivacySettings()
    limits: LimitSettings = LimitSettings()
    cost: CostSettings = CostSettings()
    teams: TeamSettings = TeamSettings()
    agent_stats: AgentStatsSettings = AgentStatsSettings()
    server: ServerSettings = ServerSettings()
    otlp: OtlpSettings = OtlpSettings()
    log: LogSettings = LogSettings()
