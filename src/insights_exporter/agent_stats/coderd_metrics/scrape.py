"""Scrapes of coderd's metrics, and the samples of agents in them.

Only the lines of known families are parsed: a large deployment has ten times as many.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from insights_exporter.app_families import app_family, client_name
from insights_exporter.errors import AgentStatsError, Forbidden, UnsupportedEndpoint

__all__ = [
    "OFFLOAD_ABOVE_CHARS",
    "AgentName",
    "AgentSample",
    "AgentScrape",
    "fetch_debug_metrics",
    "parse_scrape",
]

AgentName = tuple[str, str, str]
"""Owner, workspace and agent; the labels that identify an agent."""

OFFLOAD_ABOVE_CHARS: Final = 256 * 1024
"""Length of a response above which it is parsed in a worker thread."""

_AGENT_STATS_PREFIX: Final = "coderd_agentstats_"
_LATENCY: Final = f"{_AGENT_STATS_PREFIX}connection_median_latency_seconds"
_CONNECTIONS: Final = f"{_AGENT_STATS_PREFIX}connection_count"
_RECEIVED: Final = f"{_AGENT_STATS_PREFIX}rx_bytes"
_TRANSMITTED: Final = f"{_AGENT_STATS_PREFIX}tx_bytes"
_SESSIONS: Final = f"{_AGENT_STATS_PREFIX}session_count"
_APP_BY_FAMILY_NAME: Final = {
    f"{_AGENT_STATS_PREFIX}session_count_{one}": app_family(one)
    for one in ("vscode", "jetbrains", "reconnecting_pty", "ssh")
}
_PEERS: Final = f"{_AGENT_STATS_PREFIX}currently_reachable_peers"
_COLLECTION_COUNT: Final = "coderd_prometheusmetrics_agentstats_execution_seconds_count"
_START_TIME: Final = "process_start_time_seconds"
_AGENT_FAMILIES: Final = frozenset(
    {_LATENCY, _CONNECTIONS, _RECEIVED, _TRANSMITTED, _SESSIONS, *_APP_BY_FAMILY_NAME}
)
_PARSED_FAMILIES: Final = _AGENT_FAMILIES | {_PEERS, _COLLECTION_COUNT, _START_TIME}
_REQUIRED_LABELS: Final = ("username", "workspace_name", "agent_name")


@dataclass(slots=True)
class AgentSample:
    """Samples of one agent; ``latency`` is in seconds, None without a measurement.

    ``received`` and ``transmitted`` are the raw byte gauges, ``sessions`` counts by app family or client.
    """

    latency: float | None = None
    connections: int = 0
    received: int = 0
    transmitted: int = 0
    sessions: dict[str, int] = field(default_factory=dict)
    legacy_sessions: dict[str, int] = field(default_factory=dict)
    """Sessions by the older metric families, used if the newer family is missing."""


@dataclass(frozen=True, slots=True)
class AgentScrape:
    """A parsed scrape.

    ``collection_count`` is how often coderd has collected agent statistics, ``start_time`` when coderd
    started, in Unix seconds; both are None if the scrape lacks them. ``fingerprint`` changes with every value
    of an agent. ``families`` are the agent families found, ``invalid_values`` counts dropped samples.
    ``peers`` has the reachable peers of agents by connection type, which agents push at any time; None if the
    scrape has none.
    """

    agents: Mapping[AgentName, AgentSample]
    collection_count: int | None
    start_time: float | None
    fingerprint: str
    families: frozenset[str]
    invalid_values: int = 0
    peers: Mapping[AgentName, Mapping[str, int]] | None = None

    @property
    def detects_restart(self) -> bool:
        """Whether the scrape shows restarts of coderd."""
        return self.collection_count is not None or self.start_time is not None


def parse_scrape(text: str, *, by_client: bool = False) -> AgentScrape:
    """Return the parsed scrape, with sessions by app family or by client program.

    Raises AgentStatsError if it is not coderd's or has no agent statistics.
    """
    if "coderd_" not in text:
        raise AgentStatsError(
            "The response has no metric of coderd. Set agent_stats.metrics_url to coderd's metrics address, "
            "such as http://coder.example.com:2112/metrics.",
            reason="metrics_foreign",
        )
    if not text.endswith("\n"):
        raise AgentStatsError(
            "The response is truncated. Check the proxies between the exporter and coderd's metrics.",
            reason="metrics_truncated",
        )
    digest = hashlib.blake2b(digest_size=16)
    selected_lines: list[str] = []
    families: set[str] = set()
    for line in text.split("\n"):
        if not line.startswith((_AGENT_STATS_PREFIX, _COLLECTION_COUNT, _START_TIME)):
            continue
        name = line.partition("{")[0].partition(" ")[0]
        if name in _AGENT_FAMILIES:
            families.add(name)
            digest.update(line.encode())
            digest.update(b"\n")
        if name in _PARSED_FAMILIES and not (name.startswith(_SESSIONS) and line.endswith(" 0")):
            # Most session counts are 0, and parsing takes most of the time.
            selected_lines.append(line)
    samples = list(_parse_samples(selected_lines))
    return _build_scrape(samples, digest.hexdigest(), frozenset(families), by_client=by_client)


def _parse_samples(lines: Iterable[str]) -> Iterator[Sample]:
    try:
        for metric_family in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from metric_family.samples
    except (ValueError, IndexError, KeyError) as error:
        raise AgentStatsError(
            f"The response is not in Prometheus' text format: {str(error)[:100]}. "
            "Check the proxies between the exporter and coderd's metrics.",
            reason="metrics_format",
        ) from None


def _build_scrape(
    samples: list[Sample], fingerprint: str, families: frozenset[str], *, by_client: bool
) -> AgentScrape:
    agents: dict[AgentName, AgentSample] = {}
    process_values = {
        sample.name: sample.value for sample in samples if sample.name in {_COLLECTION_COUNT, _START_TIME}
    }
    invalid_values = 0
    peers: dict[AgentName, dict[str, int]] = {}
    for sample in samples:
        if sample.name in process_values:
            continue
        if sample.name == _PEERS:
            invalid_values += not _set_peers(peers, sample)
            continue
        agent_sample = agents.setdefault(_agent_name(sample.labels), AgentSample())
        invalid_values += not _set_value(agent_sample, sample, by_client=by_client)
    if _COLLECTION_COUNT not in process_values and not agents:
        raise AgentStatsError(
            "coderd does not collect agent statistics. Start it with CODER_PROMETHEUS_ENABLE=true and "
            "CODER_PROMETHEUS_COLLECT_AGENT_STATS=true.",
            reason="agent_stats_off",
        )
    for agent_sample in agents.values():
        agent_sample.sessions = agent_sample.sessions or agent_sample.legacy_sessions
    collection_count, start_time = process_values.get(_COLLECTION_COUNT), process_values.get(_START_TIME)
    return AgentScrape(
        agents=agents,
        collection_count=None
        if collection_count is None or not math.isfinite(collection_count)
        else int(collection_count),
        start_time=None if start_time is None or not math.isfinite(start_time) else start_time,
        fingerprint=fingerprint,
        families=families,
        invalid_values=invalid_values,
        peers=peers or None,
    )


def _agent_name(labels: Mapping[str, str]) -> AgentName:
    missing = [label for label in _REQUIRED_LABELS if label not in labels]
    if missing:
        raise AgentStatsError(
            f"The agent metrics lack {', '.join(missing)}, so agents overwrite each other's values. "
            "Start coderd without CODER_PROMETHEUS_AGGREGATE_AGENT_STATS_BY.",
            reason="labels_missing",
        )
    return labels["username"], labels["workspace_name"], labels["agent_name"]


def _set_value(agent_sample: AgentSample, sample: Sample, *, by_client: bool) -> bool:
    """Set the value of a sample; return False if it is invalid."""
    value = sample.value
    if not math.isfinite(value) or value < 0:
        return False
    if sample.name == _LATENCY:
        agent_sample.latency = value or None
    elif sample.name == _CONNECTIONS:
        agent_sample.connections = int(value)
    elif sample.name == _RECEIVED:
        agent_sample.received = int(value)
    elif sample.name == _TRANSMITTED:
        agent_sample.transmitted = int(value)
    elif sample.name in _APP_BY_FAMILY_NAME:
        if value:
            agent_sample.legacy_sessions[_APP_BY_FAMILY_NAME[sample.name]] = int(value)
    elif value:
        client, family = sample.labels.get("app_name", ""), sample.labels.get("family")
        app = client_name(client) if by_client and client else app_family(family or client)
        agent_sample.sessions[app] = agent_sample.sessions.get(app, 0) + int(value)
    return True


def _set_peers(peers: dict[AgentName, dict[str, int]], sample: Sample) -> bool:
    """Set the peers of an agent by connection type; return False if the sample is invalid."""
    connection_type = sample.labels.get("connection_type")
    if not connection_type or not math.isfinite(sample.value) or sample.value < 0:
        return False
    peers.setdefault(_agent_name(sample.labels), {})[connection_type] = int(sample.value)
    return True


async def fetch_debug_metrics(debug_metrics: Callable[[], Awaitable[str]]) -> str:
    """Return coderd's metrics from the API; raise AgentStatsError with a remedy if that is not possible."""
    try:
        return await debug_metrics()
    except Forbidden:
        raise AgentStatsError(
            "Only owners may read coderd's metrics through the API. "
            "Set agent_stats.metrics_url to coderd's metrics address.",
            reason="forbidden",
        ) from None
    except UnsupportedEndpoint:
        raise AgentStatsError(
            "This version of Coder does not serve its metrics through the API. "
            "Set agent_stats.metrics_url to coderd's metrics address.",
            reason="route_missing",
        ) from None
