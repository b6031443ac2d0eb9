"""Push of all metric families to an OpenTelemetry receiver."""

from __future__ import annotations

from insights_exporter.otlp.pusher import OtlpPusher, SelfMetricsSource

__all__ = ["OtlpPusher", "SelfMetricsSource"]
