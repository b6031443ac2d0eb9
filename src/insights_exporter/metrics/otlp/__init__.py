"""The same families as the page, pushed to an OpenTelemetry collector."""

from __future__ import annotations

from insights_exporter.metrics.otlp.push import Own, Push

__all__ = ["Own", "Push"]
