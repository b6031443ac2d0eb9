"""coderd's page of metrics, and what it says of agents.

Only the lines of families that we know are parsed: the page of a large deployment has ten times as many.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from insights_exporter.collectors.agent_stats.apps import family
from insights_exporter.collectors.agent_stats.faults import SourceError

__all__ = ["LARGE", "AgentName", "AgentRow", "Page", "parse"]

AgentName = tuple[str, str, str]
"""Owner, workspace and agent, by which the page tells agents apart."""

LARGE: Final = 256 * 1024
"""Characters from which on parsing leaves the event loop."""

_STATS: Final = "coderd_agentstats_"
_LATENCY: Final = f"{_STATS}connection_median_latency_seconds"
_CONNECTIONS: Final = f"{_STATS}connection_count"
_RECEIVED: Final = f"{_STATS}rx_bytes"
_SENT: Final = f"{_STATS}tx_bytes"
_SESSIONS: Final = f"{_STATS}session_count"
_BY_FAMILY: Final = {
    f"{_STATS}session_count_{one}": family(one) for one in ("vscode", "jetbrains", "reconnecting_pty", "ssh")
}
_TICKS: Final = "coderd_prometheusmetrics_agentstats_execution_seconds_count"
_STARTED: Final = "process_start_time_seconds"
_READ: Final = frozenset({_LATENCY, _CONNECTIONS, _RECEIVED, _SENT, _SESSIONS, *_BY_FAMILY})
_PARSED: Final = _READ | {_TICKS, _STARTED}
_LABELS: Final = ("username", "workspace_name", "agent_name")


@dataclass(slots=True)
class AgentRow:
    """What the page says of one agent; ``latency`` is None where nothing was measured.

    Bytes are as they stand on the page, sessions by family of app.
    """

    latency: float | None = None
    connections: int = 0
    received: int = 0
    transmitted: int = 0
    sessions: dict[str, int] = field(default_factory=dict)
    older: dict[str, int] = field(default_factory=dict)
    """Sessions as older families tell them, which count where the newer one is missing."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says. ``ticks`` is how often coderd has looked at agents, ``started`` when it began to run.

    Both are None where the page does not tell. ``fingerprint`` is another one whenever a value of an agent
    is. ``families`` are those found, ``broken`` counts values that are none.
    """

    rows: Mapping[AgentName, AgentRow]
    ticks: int | None
    started: float | None
    fingerprint: str
    families: frozenset[str]
    broken: int = 0

    @property
    def is_traced(self) -> bool:
        """Whether a restart of coderd shows."""
        return self.ticks is not None or self.started is not None


def parse(text: str) -> Page:
    """Return what a page says; raise SourceError where it is none of coderd's, or lacks agents."""
    if "coderd_" not in text:
        raise SourceError(
            "The page holds no metric of coderd. "
            "Set agent_stats.metrics_url to coderd's own metrics address, such as http://coder.example.com:2112/metrics.",
            reason="metrics_foreign",
        )
    if not text.endswith("\n"):
        raise SourceError(
            "The page ends within a line, so it was cut short. Look at proxies before coderd's metrics.",
            reason="metrics_truncated",
        )
    digest = hashlib.blake2b(digest_size=16)
    wanted: list[str] = []
    families: set[str] = set()
    for line in text.split("\n"):
        if not line.startswith((_STATS, _TICKS, _STARTED)):
            continue
        name = line.partition("{")[0].partition(" ")[0]
        if name in _READ:
            families.add(name)
            digest.update(line.encode())
            digest.update(b"\n")
        if name in _PARSED and not (name.startswith(_SESSIONS) and line.endswith(" 0")):
            # Most agents have no session of most apps, and parsing is what takes time.
            wanted.append(line)
    return _page(list(_samples(wanted)), digest.hexdigest(), frozenset(families))


def _samples(lines: Iterable[str]) -> Iterator[Sample]:
    try:
        for found in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from found.samples
    except (ValueError, IndexError, KeyError) as error:
        raise SourceError(
            f"The page is not in Prometheus' text format: {str(error)[:100]}. "
            "Look at proxies before coderd's metrics.",
            reason="metrics_format",
        ) from None


def _page(samples: list[Sample], fingerprint: str, families: frozenset[str]) -> Page:
    rows: dict[AgentName, AgentRow] = {}
    known = {one.name: one.value for one in samples if one.name in {_TICKS, _STARTED}}
    broken = 0
    for one in samples:
        if one.name in known:
            continue
        row = rows.setdefault(_agent(one.labels), AgentRow())
        broken += not _take(row, one)
    if _TICKS not in known and not rows:
        raise SourceError(
            "coderd gathers no statistics of agents. Start it with CODER_PROMETHEUS_ENABLE=true and "
            "CODER_PROMETHEUS_COLLECT_AGENT_STATS=true.",
            reason="agent_stats_off",
        )
    for row in rows.values():
        row.sessions = row.sessions or row.older
    ticks, started = known.get(_TICKS), known.get(_STARTED)
    return Page(
        rows=rows,
        ticks=None if ticks is None or not math.isfinite(ticks) else int(ticks),
        started=None if started is None or not math.isfinite(started) else started,
        fingerprint=fingerprint,
        families=families,
        broken=broken,
    )


def _agent(labels: Mapping[str, str]) -> AgentName:
    missing = [one for one in _LABELS if one not in labels]
    if missing:
        raise SourceError(
            f"Agents are not told apart by {', '.join(missing)}, so that one overwrites the other's values. "
            "Start coderd without CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY.",
            reason="labels_missing",
        )
    return labels["username"], labels["workspace_name"], labels["agent_name"]


def _take(row: AgentRow, sample: Sample) -> bool:
    """Note a value; return False where it is none that can be."""
    value = sample.value
    if not math.isfinite(value) or value < 0:
        return False
    if sample.name == _LATENCY:
        row.latency = value or None
    elif sample.name == _CONNECTIONS:
        row.connections = int(value)
    elif sample.name == _RECEIVED:
        row.received = int(value)
    elif sample.name == _SENT:
        row.transmitted = int(value)
    elif sample.name in _BY_FAMILY:
        if value:
            row.older[_BY_FAMILY[sample.name]] = int(value)
    elif value:
        app = family(sample.labels.get("family") or sample.labels.get("app_name", ""))
        row.sessions[app] = row.sessions.get(app, 0) + int(value)
    return True
