"""Settings of outputs: the HTTP server, the OTLP push and the log."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from insights_exporter.config.types import (
    HttpUrl,
    PositiveSeconds,
    ReadableFile,
    SecretText,
    SettingsSection,
    Text,
)
from insights_exporter.secrets import SecretSource

__all__ = ["MIN_SECRET_LENGTH", "LogFormat", "LogSettings", "OtlpProtocol", "OtlpSettings", "ServerSettings"]

MIN_SECRET_LENGTH = 16
"""Characters of a key or token below which a brute-force search is feasible."""


class OtlpProtocol(StrEnum):
    """Transport of OTLP pushes, named as in the OpenTelemetry specification."""

    HTTP = "http/protobuf"
    GRPC = "grpc"


class LogFormat(StrEnum):
    """Format of log lines."""

    TEXT = "text"
    JSON = "json"


class ServerSettings(SettingsSection):
    """HTTP server of the exporter."""

    host: Text = Field(default="127.0.0.1", description="Listen address.")
    port: int = Field(default=9766, ge=0, le=65535, description="Listen port. 0 selects a free port.")
    web_config_file: ReadableFile | None = Field(
        default=None, description="TLS and basic auth, in the format of Prometheus' exporter-toolkit."
    )
    bearer_token: Annotated[
        SecretSource | None, SecretText("a token of at least 16 characters", MIN_SECRET_LENGTH)
    ] = Field(default=None, description="Bearer token that a scrape can send instead of a password.")
    public_metrics: bool = Field(default=False, description="Serve `/metrics` without authentication.")
    public_page: bool = Field(default=False, description="Serve the landing page without authentication.")
    enable_reload: bool = Field(
        default=False, description="Allow `POST /-/reload` to reload the configuration."
    )


class OtlpSettings(SettingsSection):
    """Push by OTLP. The standard `OTEL_EXPORTER_OTLP_*` variables supply the keys that are not set."""

    enabled: bool = Field(default=False, description="Push after each poll.")
    endpoint: HttpUrl | None = Field(
        default=None, description="URL of the receiver. `/v1/metrics` is appended over HTTP if it is missing."
    )
    protocol: OtlpProtocol | None = Field(
        default=None, description="Transport of pushes. Default: `http/protobuf`."
    )
    headers: Annotated[SecretSource | None, SecretText("pairs such as name=value")] = Field(
        default=None, description="Headers of push requests."
    )
    timeout: PositiveSeconds | None = Field(
        default=None, description="Timeout of one push request with its retries. Default: 10 seconds."
    )
    exponential_histograms: bool = Field(
        default=False,
        description="Push latency as exponential histograms. The dashboards do not support them.",
    )
    resource_attributes: Mapping[Text, Text] = Field(
        default_factory=dict, description="OpenTelemetry resource attributes of this exporter."
    )

    @property
    def needs_exponential_histograms(self) -> bool:
        """Whether exponential buckets must be counted."""
        return self.enabled and self.exponential_histograms


class LogSettings(SettingsSection):
    """Log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Minimum level.")
    format: LogFormat = Field(default=LogFormat.TEXT, description="Format of lines.")
