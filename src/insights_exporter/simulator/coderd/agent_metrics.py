"""Agent statistics, which coderd collects once a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from insights_exporter.simulator.coderd.metric_vectors import MetricVec
from insights_exporter.simulator.model import CLIENT_APPS, Agent, AgentReport, Workspace, client_app
from insights_exporter.simulator.options import AGGREGATION_LABELS, MetricsOptions
from insights_exporter.simulator.usage import SESSION_FAMILIES
from insights_exporter.simulator.world import World

__all__ = ["RELAYED_LATENCY_MS", "AgentStatsMetrics", "agent_status_metrics", "pushed_agent_metrics"]

_FAMILY_BY_CLIENT = {one.name.replace("-", "_"): one.family for one in CLIENT_APPS}
_AGENT_LABELS = ("agent_name", "username", "workspace_name")
RELAYED_LATENCY_MS = 200.0
"""Latency in milliseconds from which a connection goes through a relay."""

_DEFAULT_AGENT_NAME = "main"
"""The name of an agent that no longer exists."""


@dataclass(frozen=True, slots=True)
class _AgentUpdate:
    """The newest report of an agent with a latency since the last tick, and the sum of its bytes."""

    newest: AgentReport
    received: int
    sent: int


class AgentStatsMetrics:
    """Metrics from the table of reports; a tick without reports leaves them unchanged.

    With fewer labels, bytes are summed and other values are overwritten by the last agent.
    """

    def __init__(self, options: MetricsOptions) -> None:
        self._options = options
        self._labels = tuple(label for label in options.aggregate_agent_stats_by if label in _AGENT_LABELS)
        self._bytes: dict[tuple[str, ...], tuple[int, int]] = {}
        self.vectors: list[MetricVec] = []

    def tick(self, world: World, reports: Iterable[AgentReport], workspaces: Mapping[str, Workspace]) -> None:
        """Update the metrics from the reports since the last tick."""
        updates = _collect_updates(reports)
        if not updates:
            return
        usernames = {user.id: user.username for user in world.users}
        user_indexes = {user.id: index for index, user in enumerate(world.users)}
        if not self._options.cumulative_bytes:
            self._bytes.clear()
        vectors = self._new_vectors()
        for update in sorted(updates, key=lambda update: (update.newest.user_id, update.newest.agent_id)):
            workspace = workspaces.get(update.newest.workspace_id)
            if workspace is None:
                continue
            agent = next(
                (a.name for a in workspace.agents if a.id == update.newest.agent_id), _DEFAULT_AGENT_NAME
            )
            label_values = dict(
                zip(_AGENT_LABELS, (agent, usernames[update.newest.user_id], workspace.name), strict=True)
            )
            labels = tuple(label_values[label] for label in self._labels)
            self._set_agent_metrics(update, labels, vectors)
            self._add_client_sessions(update, labels, vectors, user_indexes)
        for labels, (received, sent) in self._bytes.items():
            vectors["rx_bytes"].set(received, *labels)
            vectors["tx_bytes"].set(sent, *labels)
        self.vectors = list(vectors.values())

    def _set_agent_metrics(
        self, update: _AgentUpdate, labels: tuple[str, ...], vectors: Mapping[str, MetricVec]
    ) -> None:
        received, sent = self._bytes.get(labels, (0, 0))
        self._bytes[labels] = received + update.received, sent + update.sent
        newest = update.newest
        vectors["connection_count"].set(newest.connection_count, *labels)
        vectors["connection_median_latency_seconds"].set(newest.latency_ms / 1000, *labels)
        for family in SESSION_FAMILIES:
            count = sum(n for name, n in newest.sessions.items() if _FAMILY_BY_CLIENT.get(name) == family)
            vectors[f"session_count_{family}"].set(count, *labels)

    def _add_client_sessions(
        self,
        update: _AgentUpdate,
        labels: tuple[str, ...],
        vectors: Mapping[str, MetricVec],
        user_indexes: Mapping[str, int],
    ) -> None:
        """Add the sessions by client program; with fewer labels they are summed."""
        if not self._options.client_sessions:
            return
        for name, count in update.newest.sessions.items():
            client = client_app(name, user_indexes[update.newest.user_id]).replace("-", "_")
            vectors["session_count"].add(count, *labels, client, _FAMILY_BY_CLIENT.get(client, "unknown"))

    def _new_vectors(self) -> dict[str, MetricVec]:
        help_texts = {
            "tx_bytes": "Agent Tx bytes",
            "rx_bytes": "Agent Rx bytes",
            "connection_count": "The number of established connections by agent",
            "connection_median_latency_seconds": "The median agent connection latency in seconds",
            **{
                f"session_count_{family}": f"The number of sessions of {family}"
                for family in SESSION_FAMILIES
            },
        }
        vectors = {
            name: MetricVec(f"coderd_agentstats_{name}", text, self._labels)
            for name, text in help_texts.items()
        }
        vectors["session_count"] = MetricVec(
            "coderd_agentstats_session_count",
            "The number of sessions by client",
            (*self._labels, "app_name", "family"),
        )
        return vectors


def _collect_updates(reports: Iterable[AgentReport]) -> Sequence[_AgentUpdate]:
    """Return the update of each agent; agents without a latency are left out."""
    newest: dict[str, AgentReport] = {}
    received: dict[str, int] = {}
    sent: dict[str, int] = {}
    for report in reports:
        received[report.agent_id] = received.get(report.agent_id, 0) + report.rx_bytes
        sent[report.agent_id] = sent.get(report.agent_id, 0) + report.tx_bytes
        if report.latency_ms > 0:
            newest[report.agent_id] = report
    return [_AgentUpdate(report, received[agent], sent[agent]) for agent, report in newest.items()]


def _iter_agents(workspaces: Iterable[Workspace]) -> Iterator[tuple[Workspace, Agent, tuple[str, str, str]]]:
    for workspace in workspaces:
        for agent in workspace.agents:
            yield workspace, agent, (agent.name, workspace.owner.username, workspace.name)


def agent_status_metrics(workspaces: Sequence[Workspace]) -> list[MetricVec]:
    """Return the metrics of agents, their connections and their apps."""
    up = MetricVec(
        "coderd_agents_up",
        "The number of active agents per workspace.",
        ("username", "workspace_name", "template_name", "template_version"),
    )
    connections = MetricVec(
        "coderd_agents_connections",
        "Agent connections with statuses.",
        (*_AGENT_LABELS, "status", "lifecycle_state", "tailnet_node"),
    )
    latencies = MetricVec(
        "coderd_agents_connection_latencies_seconds",
        "Agent connection latencies in seconds.",
        (*_AGENT_LABELS, "derp_region", "preferred"),
    )
    apps = MetricVec(
        "coderd_agents_apps", "Agent applications with statuses.", (*_AGENT_LABELS, "app_name", "health")
    )
    for workspace, agent, names in _iter_agents(workspaces):
        template = workspace.template
        up.add(1, workspace.owner.username, workspace.name, template.name, template.version_id[-6:])
        node = f"nodeid:{agent.id[-8:]}" if agent.relay_latency_ms is not None else "unknown"
        connections.set(1, *names, agent.status, "ready", node)
        if agent.relay_latency_ms is not None:
            latencies.set(agent.relay_latency_ms / 1000, *names, agent.relay, "true")
        for app in template.apps:
            apps.add(1, *names, app.display_name, agent.app_health.get(app.slug, "disabled"))
    return [up, connections, latencies, apps]


def pushed_agent_metrics(
    workspaces: Sequence[Workspace], options: MetricsOptions, reports: Iterable[AgentReport]
) -> list[MetricVec]:
    """Return metrics that agents push; with fewer labels they are summed.

    The connections of the newest report of an agent are its peers. Those that are slow go through a relay.
    """
    newest = {report.agent_id: report for report in reports}
    label_names = tuple(label for label in AGGREGATION_LABELS if label in options.aggregate_agent_stats_by)
    peers = MetricVec(
        "coderd_agentstats_currently_reachable_peers",
        "The number of peers that are reachable over clientnet.",
        (*label_names, "connection_type"),
    )
    scripts = MetricVec(
        "coderd_agentstats_startup_script_seconds",
        "The time that the startup script took.",
        (*label_names, "success"),
    )
    for workspace, agent, names in _iter_agents(workspaces):
        if agent.status != "connected":
            continue
        label_values = {
            **dict(zip(_AGENT_LABELS, names, strict=True)),
            "template_name": workspace.template.name,
        }
        labels = tuple(label_values[label] for label in label_names)
        report = newest.get(agent.id)
        count = 0 if report is None else report.connection_count
        is_relayed = report is not None and report.latency_ms >= RELAYED_LATENCY_MS
        peers.add(0 if is_relayed else count, *labels, "p2p")
        peers.add(count if is_relayed else 0, *labels, "derp")
        scripts.add(2 + len(workspace.name), *labels, "true")
    return [peers, scripts]
