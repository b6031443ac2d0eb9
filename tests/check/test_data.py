"""Findings about agents, apps, relays and latency."""

from __future__ import annotations

import pytest

from insights_exporter.check import Level
from insights_exporter.check.data import agents_finding, apps_finding, latency_finding, relays_finding
from insights_exporter.coder.models import Agent, App, ConnectionLatency, RelayLatency, UserLatency


def agent(status: str = "connected", **fields: object) -> Agent:
    return Agent(id="agent", status=status, **fields)  # type: ignore[arg-type]  # The names are those of fields.


def user(p50_ms: float) -> UserLatency:
    return UserLatency(user_id="user", latency_ms=ConnectionLatency(p50=p50_ms, p95=p50_ms))


def test_connected_agents_are_ok() -> None:
    finding = agents_finding([agent(), agent()])

    assert (finding.level, finding.text) == (
        Level.OK,
        "All 2 agents of running workspaces are connected.",
    )


def test_disconnected_agents_are_counted_by_status() -> None:
    finding = agents_finding([agent(), agent("timeout"), agent("disconnected"), agent("disconnected")])

    assert finding.level is Level.WARNING
    assert "3 of 4 agents" in finding.text
    assert finding.text.endswith("2 disconnected, 1 timeout.")


def test_no_agents_are_a_warning() -> None:
    assert agents_finding([]).level is Level.WARNING


def test_unhealthy_apps_are_counted_by_slug() -> None:
    unhealthy = [App(slug="jupyter", health="unhealthy"), App(slug="code", health="healthy")]

    finding = apps_finding([agent(apps=unhealthy), agent(apps=unhealthy)])

    assert (finding.level, finding.text) == (Level.WARNING, "Unhealthy apps: jupyter (2).")
    assert apps_finding([agent()]).level is Level.OK


@pytest.mark.parametrize(
    ("latency", "level", "text"),
    [
        ({}, Level.OK, "No agent reports"),
        ({"Berlin": RelayLatency(preferred=True)}, Level.OK, "No agent reports"),
        ({"Berlin": RelayLatency(preferred=False, latency_ms=900)}, Level.OK, "No agent reports"),
        ({"Berlin": RelayLatency(preferred=True, latency_ms=299)}, Level.OK, "at most 299 ms"),
        ({"Sydney": RelayLatency(preferred=True, latency_ms=300)}, Level.WARNING, "relay: Sydney."),
    ],
)
def test_slow_preferred_relays_are_a_warning(
    latency: dict[str, RelayLatency], level: Level, text: str
) -> None:
    finding = relays_finding([agent(latency=latency)])

    assert finding.level is level
    assert text in finding.text


@pytest.mark.parametrize(
    ("users", "level", "text"),
    [
        ([], Level.OK, "No user connected"),
        ([user(100), user(200), user(120)], Level.OK, "median of 3 users' median latencies is 120 ms"),
        ([user(100), user(-1), user(-1)], Level.WARNING, "1 of 3 users have a measured latency"),
        ([user(100), user(12_000)], Level.WARNING, "highest median latency of a user is 12 s"),
        ([user(300), user(300)], Level.WARNING, "is 300 ms"),
    ],
)
def test_missing_implausible_and_high_latency_are_warnings(
    users: list[UserLatency], level: Level, text: str
) -> None:
    finding = latency_finding(users)

    assert finding.level is level
    assert text in finding.text
    assert bool(finding.advice) is (level is Level.WARNING)
