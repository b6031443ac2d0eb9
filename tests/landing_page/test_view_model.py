"""The parts of the landing page."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insights_exporter.config.settings import UsernameMode
from insights_exporter.landing_page import (
    CollectorState,
    ExporterStatus,
    LandingPage,
    ViewOptions,
    formatting,
)
from insights_exporter.landing_page.formatting import LatencyBand
from insights_exporter.landing_page.markup import element, fragment, isolated_name
from insights_exporter.landing_page.view_model import build_page_model
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import TemplateUsage, Timestamped
from tests.landing_page.fakes import NOW, fake_snapshot

VIEW_OPTIONS = ViewOptions(UsernamePolicy(UsernameMode.NAMED))


@settings(max_examples=200)
@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_text_is_escaped_and_encodable(text: str) -> None:
    markup = element("p", text, title=text) + isolated_name(text)

    without_tags = (
        markup.replace("<p title=", "").replace("</p>", "").replace("<bdi>", "").replace("</bdi>", "")
    )
    assert "<" not in without_tags.replace("<bdi title=", "")
    assert markup.encode().decode() == markup


def test_empty_attributes_are_omitted() -> None:
    markup = element(
        "details", None, [1, ["a", None]], open=True, id=None, hidden=False, class_="b", aria_label="c"
    )

    assert markup == '<details open class="b" aria-label="c">1a</details>'
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
def test_durations_match_coder_page(seconds: float, text: str) -> None:
    assert formatting.format_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, LatencyBand.GOOD),
        (0.1499, LatencyBand.GOOD),
        (0.15, LatencyBand.FAIR),
        (0.2999, LatencyBand.FAIR),
        (0.3, LatencyBand.SLOW),
        (9, LatencyBand.SLOW),
    ],
)
def test_latency_bands_match_coder_page(seconds: float, expected: LatencyBand) -> None:
    assert formatting.latency_band(seconds) is expected


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
def test_ages_are_abbreviated(seconds: float, text: str) -> None:
    assert formatting.format_age(seconds) == text


def test_free_text_values_are_hidden_by_default() -> None:
    hidden = build_page_model(fake_snapshot(1), VIEW_OPTIONS).templates[0].parameters
    visible = (
        build_page_model(
            fake_snapshot(1), ViewOptions(UsernamePolicy(UsernameMode.NAMED), show_free_text=True)
        )
        .templates[0]
        .parameters
    )

    assert [(parameter.label, len(parameter.counts), parameter.hidden_count) for parameter in hidden] == [
        ("Machine size", 3, 0),
        ("GPU", 2, 0),
        ("Repository", 0, 18),
    ]
    assert [(parameter.label, len(parameter.counts), parameter.hidden_count) for parameter in visible][2] == (
        "Repository",
        9,
        0,
    )


def test_deployment_latency_falls_back_to_worst_per_user() -> None:
    source_snapshot = fake_snapshot(3)
    assert source_snapshot.insights is not None
    insights = source_snapshot.insights.value
    without_latency = replace(insights, deployment=TemplateUsage(None, (), (1,)))

    deployment = build_page_model(
        replace(source_snapshot, insights=Timestamped(without_latency, NOW)), VIEW_OPTIONS
    ).deployment

    users = {user for usage in insights.templates for user in usage.windows[0].latency.p50}
    assert deployment is not None
    assert sum(deployment.latency_bands.values()) == len(users)


def test_templates_are_sorted_by_users() -> None:
    users = [template.users or 0 for template in build_page_model(fake_snapshot(8), VIEW_OPTIONS).templates]

    assert users == sorted(users, reverse=True)


async def test_snapshot_is_rendered_once() -> None:
    landing_page, first_snapshot = LandingPage(VIEW_OPTIONS), fake_snapshot(2)
    state = CollectorState("insights", NOW, served=True)

    first = await landing_page.render(first_snapshot, ExporterStatus(NOW, "1", "", [state]))
    rendered = landing_page._rendered
    later = await landing_page.render(
        first_snapshot, ExporterStatus(NOW + timedelta(minutes=3), "1", "", [state])
    )

    assert landing_page._rendered is rendered
    assert b"3 min ago" in later.body
    assert b"just now" in first.body
    await landing_page.render(fake_snapshot(2), ExporterStatus(NOW, "1"))
    assert landing_page._rendered is not rendered


async def test_large_page_renders_off_the_event_loop() -> None:
    landing_page, large_snapshot = LandingPage(VIEW_OPTIONS), fake_snapshot(500)
    started = time.process_time()

    rendering = asyncio.ensure_future(landing_page.render(large_snapshot, ExporterStatus(NOW, "1")))
    await asyncio.sleep(0)

    assert not rendering.done()
    html_page = await rendering
    assert time.process_time() - started < 3.0
    assert len(html_page.body) < 1_000_000
