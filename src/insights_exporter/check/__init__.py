"""The vendor's troubleshooting as a tool: what stands between Coder and its numbers."""

from __future__ import annotations

from insights_exporter.check.finding import Finding, Level, format_json, format_text, worst
from insights_exporter.check.runner import run_checks

__all__ = ["Finding", "Level", "format_json", "format_text", "run_checks", "worst"]
