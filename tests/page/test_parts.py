"""The parts of the landing page."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.page import CollectorState, Landing, Lens, Status, numbers
from insights_exporter.page.facts import facts
from insights_exporter.page.markup import element, fragment, name
from insights_exporter.page.numbers import Band
from insights_exporter.redaction import Redaction
from insights_exporter.settings import UserNames
from insights_exporter.snapshot import Reading, TemplateUse
from tests.page.made_up import NOW, snapshot

NAMED = Lens(Redaction(UserNames.NAMED))


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_no_text_becomes_markup_and_all_can_be_sent(text: str) -> None:
    made = element("p", text, title=text) + name(text)

    bare = made.replace("<p title=", "").replace("</p>", "").replace("<bdi>", "").replace("</bdi>", "")
    assert "<" not in bare.replace("<bdi title=", "")
    assert made.encode().decode() == made


def test_attributes_that_say_nothing_are_left_out() -> None:
    made = element(
        "details", None, [1, ["a", None]], open=True, id=None, hidden=False, class_="b", aria_label="c"
    )

    assert made == '<details open class="b" aria-label="c">1a</details>'
    assert fragment("<", element("br")) == "&lt;<br>"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 hours"),
        (59, "under a minute"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (5400, "1.5 hours"),
        (7200, "2 hours"),
        (3_600_000, "1,000 hours"),
    ],
)
def test_times_read_as_on_coders_page(seconds: float, text: str) -> None:
    assert numbers.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, Band.GOOD),
        (0.1499, Band.GOOD),
        (0.15, Band.FAIR),
        (0.2999, Band.FAIR),
        (0.3, Band.SLOW),
        (9, Band.SLOW),
    ],
)
def test_latencies_have_coders_colours(seconds: float, expected: Band) -> None:
    assert numbers.band(seconds) is expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3600, "60 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_ages_are_short(seconds: float, text: str) -> None:
    assert numbers.age(seconds) == text


def test_free_text_is_counted_but_not_shown_unless_allowed() -> None:
    closed = facts(snapshot(1), NAMED).templates[0].parameters
    opened = facts(snapshot(1), Lens(Redaction(UserNames.NAMED), free_text=True)).templates[0].parameters

    assert [(one.label, len(one.rows), one.hidden) for one in closed] == [
        ("Machine size", 3, 0),
        ("GPU", 2, 0),
        ("Repository", 0, 18),
    ]
    assert [(one.label, len(one.rows), one.hidden) for one in opened][2] == ("Repository", 9, 0)


def test_a_deployment_without_latency_of_its_own_counts_each_user_once() -> None:
    found = snapshot(3)
    assert found.insights is not None
    insights = found.insights.value
    bare = replace(insights, deployment=TemplateUse(None, (), (1,)))

    whole = facts(replace(found, insights=Reading(bare, NOW)), NAMED).deployment

    users = {user for use in insights.templates for user in use.windows[0].latency.p50}
    assert whole is not None
    assert sum(whole.latency_bands.values()) == len(users)


def test_templates_come_by_users() -> None:
    users = [one.users or 0 for one in facts(snapshot(8), NAMED).templates]

    assert users == sorted(users, reverse=True)


async def test_what_depends_on_the_snapshot_is_written_once() -> None:
    landing, found = Landing(NAMED), snapshot(2)
    state = CollectorState("insights", NOW, served=True)

    first = await landing.page(found, Status(NOW, "1", "", [state]))
    body = landing._body
    later = await landing.page(found, Status(NOW + timedelta(minutes=3), "1", "", [state]))

    assert landing._body is body
    assert b"3 min ago" in later.body
    assert b"just now" in first.body
    await landing.page(snapshot(2), Status(NOW, "1"))
    assert landing._body is not body


async def test_five_hundred_templates_are_written_quickly_and_off_the_loop() -> None:
    landing, found = Landing(NAMED), snapshot(500)
    began = time.process_time()

    writing = asyncio.ensure_future(landing.page(found, Status(NOW, "1")))
    await asyncio.sleep(0)

    assert not writing.done()
    page = await writing
    assert time.process_time() - began < 3.0
    assert len(page.body) < 1_000_000
