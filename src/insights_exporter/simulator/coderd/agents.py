"""The statistics of agents, as coderd gathers them once a minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from insights_exporter.simulator.api.client_apps import CLIENT_APPS, client_app
from insights_exporter.simulator.coderd.options import LABELS, MetricsOptions
from insights_exporter.simulator.coderd.vector import Vector
from insights_exporter.simulator.model import Agent, AgentReport, Workspace
from insights_exporter.simulator.usage import BUILTIN
from insights_exporter.simulator.world import World

__all__ = ["AgentStatistics", "agents", "pushed"]

_FAMILY = {one.name.replace("-", "_"): one.family for one in CLIENT_APPS}
_AGENT = ("agent_name", "username", "workspace_name")
_NAME = "main"
"""What an agent is called of which nothing but its reports is left."""


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What an agent said since the last tick: its newest report with a measured latency, and its bytes."""

    newest: AgentReport
    received: int
    sent: int


class AgentStatistics:
    """What is read from the table of reports; a tick without any reports leaves everything as it was.

    Under fewer labels the bytes add up, and of everything else the last agent wins.
    """

    def __init__(self, options: MetricsOptions) -> None:
        self._options = options
        self._labels = tuple(one for one in options.aggregate_agent_stats_by if one in _AGENT)
        self._bytes: dict[tuple[str, ...], tuple[int, int]] = {}
        self.vectors: list[Vector] = []

    def tick(self, world: World, reports: Iterable[AgentReport], workspaces: Mapping[str, Workspace]) -> None:
        """Take the reports since the last tick."""
        spoken = _spoken(reports)
        if not spoken:
            return
        names = {user.id: user.username for user in world.users}
        places = {user.id: place for place, user in enumerate(world.users)}
        if not self._options.totals:
            self._bytes.clear()
        vectors = self._made()
        for one in sorted(spoken, key=lambda one: (one.newest.user_id, one.newest.agent_id)):
            workspace = workspaces.get(one.newest.workspace_id)
            if workspace is None:
                continue
            agent = next((a.name for a in workspace.agents if a.id == one.newest.agent_id), _NAME)
            told = dict(zip(_AGENT, (agent, names[one.newest.user_id], workspace.name), strict=True))
            labels = tuple(told[label] for label in self._labels)
            self._tell(one, labels, vectors)
            self._tell_clients(one, labels, vectors, places)
        for labels, (received, sent) in self._bytes.items():
            vectors["rx_bytes"].set(received, *labels)
            vectors["tx_bytes"].set(sent, *labels)
        self.vectors = list(vectors.values())

    def _tell(self, one: _Spoken, labels: tuple[str, ...], vectors: Mapping[str, Vector]) -> None:
        received, sent = self._bytes.get(labels, (0, 0))
        self._bytes[labels] = received + one.received, sent + one.sent
        newest = one.newest
        vectors["connection_count"].set(newest.connection_count, *labels)
        vectors["connection_median_latency_seconds"].set(newest.latency_ms / 1000, *labels)
        for family in BUILTIN:
            count = sum(n for name, n in newest.sessions.items() if _FAMILY.get(name) == family)
            vectors[f"session_count_{family}"].set(count, *labels)

    def _tell_clients(
        self,
        one: _Spoken,
        labels: tuple[str, ...],
        vectors: Mapping[str, Vector],
        places: Mapping[str, int],
    ) -> None:
        """Count sessions by client, which add up under fewer labels."""
        if not self._options.client_sessions:
            return
        for name, count in one.newest.sessions.items():
            client = client_app(name, places[one.newest.user_id]).replace("-", "_")
            vectors["session_count"].add(count, *labels, client, _FAMILY.get(client, "unknown"))

    def _made(self) -> dict[str, Vector]:
        texts = {
            "tx_bytes": "Agent Tx bytes",
            "rx_bytes": "Agent Rx bytes",
            "connection_count": "The number of established connections by agent",
            "connection_median_latency_seconds": "The median agent connection latency in seconds",
            **{f"session_count_{one}": f"The number of sessions of {one}" for one in BUILTIN},
        }
        made = {name: Vector(f"coderd_agentstats_{name}", text, self._labels) for name, text in texts.items()}
        made["session_count"] = Vector(
            "coderd_agentstats_session_count",
            "The number of sessions by client",
            (*self._labels, "app_name", "family"),
        )
        return made


def _spoken(reports: Iterable[AgentReport]) -> Sequence[_Spoken]:
    """Return what each agent said; one that measured no latency said nothing."""
    newest: dict[str, AgentReport] = {}
    received: dict[str, int] = {}
    sent: dict[str, int] = {}
    for one in reports:
        received[one.agent_id] = received.get(one.agent_id, 0) + one.rx_bytes
        sent[one.agent_id] = sent.get(one.agent_id, 0) + one.tx_bytes
        if one.latency_ms > 0:
            newest[one.agent_id] = one
    return [_Spoken(one, received[agent], sent[agent]) for agent, one in newest.items()]


def _everyone(workspaces: Iterable[Workspace]) -> Iterator[tuple[Workspace, Agent, tuple[str, str, str]]]:
    for workspace in workspaces:
        for agent in workspace.agents:
            yield workspace, agent, (agent.name, workspace.owner.username, workspace.name)


def agents(workspaces: Sequence[Workspace]) -> list[Vector]:
    """Return which agents are up, how they are connected, and their apps."""
    up = Vector(
        "coderd_agents_up",
        "The number of active agents per workspace.",
        ("username", "workspace_name", "template_name", "template_version"),
    )
    connections = Vector(
        "coderd_agents_connections",
        "Agent connections with statuses.",
        (*_AGENT, "status", "lifecycle_state", "tailnet_node"),
    )
    latencies = Vector(
        "coderd_agents_connection_latencies_seconds",
        "Agent connection latencies in seconds.",
        (*_AGENT, "derp_region", "preferred"),
    )
    apps = Vector("coderd_agents_apps", "Agent applications with statuses.", (*_AGENT, "app_name", "health"))
    for workspace, agent, names in _everyone(workspaces):
        template = workspace.template
        up.add(1, workspace.owner.username, workspace.name, template.name, template.version_id[-6:])
        node = f"nodeid:{agent.id[-8:]}" if agent.relay_ms is not None else "unknown"
        connections.set(1, *names, agent.status, "ready", node)
        if agent.relay_ms is not None:
            latencies.set(agent.relay_ms / 1000, *names, agent.relay, "true")
        for app in template.apps:
            apps.add(1, *names, app.display_name, agent.app_health.get(app.slug, "disabled"))
    return [up, connections, latencies, apps]


def pushed(workspaces: Sequence[Workspace], options: MetricsOptions) -> list[Vector]:
    """Return some of what agents push themselves; under fewer labels these add up."""
    kept = tuple(one for one in LABELS if one in options.aggregate_agent_stats_by)
    peers = Vector(
        "coderd_agentstats_currently_reachable_peers",
        "The number of peers that are reachable over clientnet.",
        (*kept, "connection_type"),
    )
    scripts = Vector(
        "coderd_agentstats_startup_script_seconds",
        "The time that the startup script took.",
        (*kept, "success"),
    )
    for workspace, agent, names in _everyone(workspaces):
        if agent.status != "connected":
            continue
        told = {**dict(zip(_AGENT, names, strict=True)), "template_name": workspace.template.name}
        labels = tuple(told[one] for one in kept)
        peers.add(1, *labels, "p2p")
        peers.add(0, *labels, "derp")
        scripts.add(2 + len(workspace.name), *labels, "true")
    return [peers, scripts]
