"""The same families as the page, pushed to an OpenTelemetry collector."""

from __future__ import annotations

from insights_exporter.otlp.pusher import OtlpPusher, SelfMetricsSource

__all__ = ["OtlpPusher", "SelfMetricsSource"]
