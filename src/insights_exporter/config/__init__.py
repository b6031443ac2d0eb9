"""From a YAML file and the environment to settings, and back to something one may show."""

from __future__ import annotations

from insights_exporter.config.loading import load
from insights_exporter.config.masked import masked
from insights_exporter.config.problem import ConfigProblems, Problem

__all__ = ["ConfigProblems", "Problem", "load", "masked"]
