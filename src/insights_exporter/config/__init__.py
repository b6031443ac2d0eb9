"""From a YAML file and the environment to settings, and back to something one may show."""

from __future__ import annotations

from insights_exporter.config.errors import ConfigProblems, Problem
from insights_exporter.config.loading import load
from insights_exporter.config.redacted_dump import redacted_dump

__all__ = ["ConfigProblems", "Problem", "load", "redacted_dump"]
