"""The vendor's troubleshooting as a tool: what stands between Coder and its numbers."""

from __future__ import annotations

from insights_exporter.check.finding import Finding, Level, as_json, as_text, worst
from insights_exporter.check.running import findings

__all__ = ["Finding", "Level", "as_json", "as_text", "findings", "worst"]
