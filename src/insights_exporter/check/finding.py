"""Findings of checks: severity, subject, text and advice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec

__all__ = ["Finding", "Level", "clock_skew_finding", "format_json", "format_text", "worst"]


class Level(IntEnum):
    """Severity of a finding; the highest one is the exit code."""

    OK = 0
    WARNING = 1
    PROBLEM = 2

    @property
    def label(self) -> str:
        """The level in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; ``advice`` is set unless the level is OK."""

    level: Level
    subject: str
    text: str
    advice: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the highest level; OK without findings."""
    return max((finding.level for finding in findings), default=Level.OK)


def clock_skew_finding(
    subject: str, owner: str, skew: float, *, max_skew: float, reason: str = ""
) -> Finding:
    """Compare a remote clock with the local one; ``skew`` in seconds is > 0 for a fast remote clock."""
    if abs(skew) < max_skew:
        return Finding(Level.OK, subject, f"{owner} clock agrees with the local clock.")
    direction = "ahead of" if skew > 0 else "behind"
    text = f"{owner} clock is {abs(skew):.0f} s {direction} the local clock."
    return Finding(Level.WARNING, subject, text, f"Synchronise both clocks. {reason}".strip())


def format_text(finding: Finding) -> str:
    """Return a finding as text, with the advice on a second line."""
    line = f"{finding.level.label:8} {finding.subject}: {finding.text}"
    return f"{line}\n         -> {finding.advice}" if finding.advice else line


def format_json(findings: Sequence[Finding]) -> str:
    """Return all findings as one JSON document."""
    document = {
        "result": worst(findings).label,
        "findings": [
            {
                "level": finding.level.label,
                "subject": finding.subject,
                "text": finding.text,
                "advice": finding.advice,
            }
            for finding in findings
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
