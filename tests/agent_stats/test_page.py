"""What is read of coderd's page of metrics, and what is refused."""

from __future__ import annotations

import pytest

from insights_exporter.collectors.agent_stats.faults import SourceError
from insights_exporter.collectors.agent_stats.page import AgentRow, parse

TICKS = "coderd_prometheusmetrics_agentstats_execution_seconds_count"
ADA = 'agent_name="main",username="ada",workspace_name="dev"'


def page(*lines: str, ticks: int | None = 7) -> str:
    told = [f"{TICKS} {ticks}"] if ticks is not None else []
    return "\n".join(("coderd_api_requests_total 5", *told, *lines, ""))


def test_an_agent_is_read_with_all_that_is_told_of_it() -> None:
    text = page(
        "# HELP coderd_agentstats_rx_bytes Agent Rx bytes",
        "# TYPE coderd_agentstats_rx_bytes gauge",
        f"coderd_agentstats_rx_bytes{{{ADA}}} 1.234567e+06",
        f"coderd_agentstats_tx_bytes{{{ADA}}} 12",
        f"coderd_agentstats_connection_count{{{ADA}}} 2",
        f"coderd_agentstats_connection_median_latency_seconds{{{ADA}}} 0.15",
        f"coderd_agentstats_session_count_vscode{{{ADA}}} 1",
        f"coderd_agentstats_session_count_ssh{{{ADA}}} 0",
        f"coderd_agentstats_session_count_reconnecting_pty{{{ADA}}} 3",
        'coderd_agentstats_currently_reachable_peers{agent_name="other",connection_type="p2p"} 4',
        "process_start_time_seconds 1.7e+09",
    )

    found = parse(text)

    row = found.rows["ada", "dev", "main"]
    assert (row.latency, row.connections, row.received, row.transmitted) == (0.15, 2, 1234567, 12)
    assert row.sessions == {"vscode": 1, "reconnecting-pty": 3}
    assert (len(found.rows), found.ticks, found.started, found.broken) == (1, 7, 1.7e9, 0)


def test_the_newer_family_of_sessions_is_preferred() -> None:
    text = page(
        f"coderd_agentstats_session_count_vscode{{{ADA}}} 2",
        f'coderd_agentstats_session_count{{{ADA},app_name="cursor",family="vscode"}} 1',
        f'coderd_agentstats_session_count{{{ADA},app_name="vscode",family="vscode"}} 1',
        f'coderd_agentstats_session_count{{{ADA},app_name="emacs",family="unknown"}} 1',
    )

    assert parse(text).rows["ada", "dev", "main"].sessions == {"vscode": 2, "unknown": 1}


def test_names_may_hold_anything() -> None:
    name = r"a\"b\\c\nd"
    text = page(f'coderd_agentstats_rx_bytes{{agent_name="{name}",username="ü",workspace_name="a,b}} 1"}} 5')

    assert parse(text).rows["ü", "a,b} 1", 'a"b\\c\nd'].received == 5


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "-0.001"])
def test_values_that_are_none_are_left_out_and_counted(value: str) -> None:
    text = page(
        f"coderd_agentstats_connection_median_latency_seconds{{{ADA}}} {value}",
        f"coderd_agentstats_rx_bytes{{{ADA}}} {value}",
    )

    found = parse(text)

    assert found.rows == {("ada", "dev", "main"): AgentRow()}
    assert found.broken == 2


def test_only_values_of_agents_make_a_page_another_one() -> None:
    line = f"coderd_agentstats_rx_bytes{{{ADA}}} 5"
    same = parse(page(line, 'coderd_agentstats_startup_script_seconds{success="true"} 1', ticks=8))

    assert parse(page(line)).fingerprint == same.fingerprint
    assert parse(page(line + "0")).fingerprint != same.fingerprint


def test_switched_on_and_nobody_there_is_no_fault() -> None:
    assert parse(page()).rows == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("node_cpu_seconds_total 5\n", "metrics_foreign"),
        ('{"status":"ok"}', "metrics_foreign"),
        ("", "metrics_foreign"),
        (page(ticks=None), "agent_stats_off"),
        (page(f"coderd_agentstats_rx_bytes{{{ADA}}} 12")[:-3], "metrics_truncated"),
        (page(f"coderd_agentstats_rx_bytes{{{ADA}}} many"), "metrics_format"),
        (page(f"coderd_agentstats_rx_bytes{{{ADA}"), "metrics_format"),
        (page('coderd_agentstats_rx_bytes{username="ada"} 5'), "labels_missing"),
        (page("coderd_agentstats_rx_bytes 5"), "labels_missing"),
    ],
)
def test_what_cannot_be_used_has_a_name(text: str, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(text)

    assert caught.value.reason == reason


def test_missing_labels_are_told_with_the_option_that_is_to_blame() -> None:
    with pytest.raises(SourceError, match=r"by username, agent_name.*AGGREGATE_AGENT_STATS_BY"):
        parse(page('coderd_agentstats_rx_bytes{workspace_name="dev"} 5'))
