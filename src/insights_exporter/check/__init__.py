"""Checks of connectivity, TLS, token, permissions, version and data for ``insights-exporter check``."""

from __future__ import annotations

from insights_exporter.check.finding import Finding, Level, format_json, format_text, worst
from insights_exporter.check.runner import run_checks

__all__ = ["Finding", "Level", "format_json", "format_text", "run_checks", "worst"]
