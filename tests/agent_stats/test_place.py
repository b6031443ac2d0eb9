"""Which pages of coderd's metrics are new, whose they are, and what their bytes add."""

from __future__ import annotations

import pytest

from insights_exporter.collectors.agent_stats.page import AgentRow, Page
from insights_exporter.collectors.agent_stats.place import Place
from insights_exporter.collectors.agent_stats.roster import Roster
from insights_exporter.collectors.agent_stats.traffic import Traffic
from insights_exporter.snapshot import TemplateKey

AGENT = ("ada", "dev", "main")
OTHER = ("grace", "dev", "main")
LAST = Place(1000.0, 7, "a", 5000.0)


def page(started: float | None, ticks: int | None, fingerprint: str) -> Page:
    return Page({}, ticks, started, fingerprint, frozenset())


@pytest.mark.parametrize(
    ("started", "ticks", "fingerprint", "news"),
    [
        (1000.0, 8, "b", True),
        (1000.0, 9, "b", True),
        # The same look once more, also where its values came a moment before its number.
        (1000.0, 7, "a", False),
        (1000.0, 7, "b", False),
        # A look that found nothing.
        (1000.0, 8, "a", False),
        # A system's idea of when a process began wavers.
        (1001.0, 8, "b", True),
        (1001.0, 7, "b", False),
        # Begun anew, with as many looks as before.
        (2000.0, 7, "b", True),
        # A page that tells less.
        (None, 7, "b", False),
        (None, 2, "b", True),
        (1000.0, None, "b", True),
        (None, None, "b", True),
        (None, None, "a", False),
    ],
)
def test_a_page_is_news_where_coderd_looked_and_found_something(
    started: float | None, ticks: int | None, fingerprint: str, *, news: bool
) -> None:
    assert LAST.is_news(page(started, ticks, fingerprint)) is news


@pytest.mark.parametrize(
    ("started", "ticks", "elsewhere", "restarted"),
    [
        (1000.0, 8, False, False),
        (900.0, 80, True, False),
        (1002.0, 3, True, False),
        (2000.0, 1, False, True),
        (None, 3, False, True),
        (None, 9, False, False),
        (None, None, False, False),
    ],
)
def test_an_older_process_is_another_replica_and_a_newer_one_a_restart(
    started: float | None, ticks: int | None, *, elsewhere: bool, restarted: bool
) -> None:
    seen = page(started, ticks, "b")

    assert (LAST.is_elsewhere(seen), not elsewhere and LAST.is_restarted(seen)) == (elsewhere, restarted)


@pytest.mark.parametrize("text", ["", "{}", "[]", "2026-01-14T10:00:00+00:00", '["a"]', "\ud800"])
def test_what_another_source_wrote_is_no_place(text: str) -> None:
    assert Place.read(text) is None


def test_a_place_is_read_as_it_was_written() -> None:
    assert Place.read(LAST.written()) == LAST


def said(**received: int) -> dict[tuple[str, str, str], AgentRow]:
    agents = {"ada": AGENT, "grace": OTHER}
    return {agents[name]: AgentRow(received=number) for name, number in received.items()}


def test_until_a_value_falls_only_growth_counts_and_then_all() -> None:
    traffic = Traffic()
    traffic.begin(said(ada=100))

    grown = traffic.added(said(ada=150), restarted=False, traced=True)
    fallen = traffic.added(said(ada=120), restarted=False, traced=True)
    then = traffic.added(said(ada=130), restarted=False, traced=True)

    assert [one[AGENT][0] for one in (grown, fallen, then)] == [50, 120, 130]


def test_an_agent_that_vanishes_shows_it_as_well() -> None:
    traffic = Traffic()
    traffic.begin(said(ada=100, grace=5))

    found = traffic.added(said(ada=150), restarted=False, traced=True)

    assert found == {AGENT: (150, 0)}
    assert traffic.per_tick


def test_a_restart_shows_nothing_and_loses_nothing() -> None:
    traffic = Traffic()
    traffic.begin(said(ada=100))

    found = traffic.added(said(ada=30), restarted=True, traced=True)

    assert found == {AGENT: (30, 0)}
    assert not traffic.per_tick


def test_where_a_restart_would_go_unseen_what_falls_was_reset() -> None:
    traffic = Traffic()
    traffic.begin(said(ada=100))

    fallen = traffic.added(said(ada=30), restarted=False, traced=False)
    grown = traffic.added(said(ada=50), restarted=False, traced=False)

    assert [one[AGENT][0] for one in (fallen, grown)] == [30, 20]


def test_workspaces_are_found_whatever_the_case_and_only_where_one_claims_the_name() -> None:
    go, java = TemplateKey("acme", "go"), TemplateKey("acme", "java")

    roster = Roster.of([("Ada", "Dev", go), ("ada", "x", go), ("ada", "X", java), ("eve", "dev", java)])

    assert roster.template("ada", "dev") == go
    assert roster.template("EVE", "DEV") == java
    assert roster.template("ada", "x") is None
    assert roster.template("ada", "other") is None
