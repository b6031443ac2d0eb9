"""What a check found, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgspec

__all__ = ["Finding", "Level", "format_json", "format_text", "worst"]


class Level(IntEnum):
    """How bad it is; the number of the worst one is the exit code."""

    OK = 0
    WARNING = 1
    PROBLEM = 2

    @property
    def label(self) -> str:
        """The level in lower case."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, what was found, and what to do where something is wrong."""

    level: Level
    subject: str
    text: str
    advice: str = ""


def worst(findings: Iterable[Finding]) -> Level:
    """Return the worst level; ok where nothing was found."""
    return max((finding.level for finding in findings), default=Level.OK)


def format_text(finding: Finding) -> str:
    """Return a finding for people, with the advice on a line of its own."""
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
