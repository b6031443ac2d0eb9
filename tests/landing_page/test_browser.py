"""Landing page in Chromium: content, layout, contrast, keyboard, escaping and the security policy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

from insights_exporter.config.settings import UsernameMode
from insights_exporter.landing_page import CollectorState, ExporterStatus, LandingPage
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot
from tests.landing_page.fakes import NOW, fake_snapshot, view_options
from tests.support.chromium import CHROMIUM, CONTRAST_SCRIPT

PAGE_URL = "http://exporter.test/"
HOSTILE = "\"'><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;\u202egnp\n\x00"


@dataclass
class RenderedPage:
    """A page in a browser, and the errors that the browser reported."""

    page: Page
    browser_errors: list[str] = field(default_factory=list)

    def record_console(self, message: ConsoleMessage) -> None:
        """Record a console message."""
        self.browser_errors.append(message.text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No Chromium is installed.")
    with sync_playwright() as playwright:
        launched_browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched_browser
        launched_browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Yield the browser, and close its pages afterwards."""
    yield chromium
    for context in chromium.contexts:
        context.close()


def open_page(
    browser: Browser,
    snapshot: Snapshot | None,
    *,
    users: UsernameMode = UsernameMode.NAMED,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    collectors: Sequence[CollectorState] = (),
    **status_fields: Any,
) -> RenderedPage:
    """Open the page with the headers that the server sends."""
    username_policy = UsernamePolicy(users, b"0123456789abcdef" if users is UsernameMode.HASHED else b"")
    status = ExporterStatus(NOW, "1.2.3", collectors=collectors, **status_fields)
    # Playwright runs an event loop in this thread, so asyncio.run needs another one.
    with ThreadPoolExecutor(1) as thread:
        html_page = thread.submit(
            lambda: asyncio.run(LandingPage(view_options(username_policy)).render(snapshot, status))
        ).result()
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    rendered = RenderedPage(page)
    page.on("console", rendered.record_console)
    page.on("pageerror", lambda error: rendered.browser_errors.append(str(error)))
    page.on("dialog", lambda dialog: rendered.browser_errors.append(dialog.message))

    def fulfill_request(route: Route) -> None:
        if route.request.url != PAGE_URL:
            rendered.browser_errors.append(f"requested {route.request.url}")
            route.abort()
            return
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": html_page.content_security_policy,
        }
        route.fulfill(status=200, headers=headers, body=html_page.body)

    page.route("**/*", fulfill_request)
    page.goto(PAGE_URL)
    return rendered


def test_page_shows_all_panels_and_sends_no_other_request(browser: Browser) -> None:
    rendered = open_page(browser, fake_snapshot(3))
    page = rendered.page

    assert page.title() == "Coder Template Insights"
    assert page.locator("details.card").count() == 3
    first = page.locator("details.card").first
    assert first.locator("h3").all_inner_texts() == [
        "App and IDE usage, last 7 days",
        "Latency by user, last 7 days",
        "Activity by user, last 7 days",
        "Parameters, last 7 days",
    ]
    assert first.locator("figcaption").all_inner_texts() == ["Daily active users", "Weekly active users"]
    assert first.locator("svg.bars").first.locator("rect").count() == 7
    assert first.locator("svg.bars").last.locator("rect").count() == 12
    assert "Visual Studio Code" in first.inner_text()
    assert "free text, not shown" in first.inner_text()
    assert rendered.browser_errors == []
    border_radius = page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius")
    assert border_radius == "10px"


def test_charts_have_data_tables(browser: Browser) -> None:
    page = open_page(browser, fake_snapshot(1)).page

    table = page.locator("details.card figure").first.locator("table")

    assert table.locator("caption").text_content() == "Daily active users: users per day"
    assert table.locator("th").all_text_contents()[-2:] == ["Tue 13 Jan", "Wed 14 Jan (so far)"]
    assert table.locator("td").all_text_contents()[-1] == "8"
    assert page.locator("details.card figure").last.locator("td").first.text_content() == "unknown"


@pytest.mark.parametrize("hostile", ["", HOSTILE, "W" * 10_000])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_horizontal_scrolling(browser: Browser, width: int, hostile: str) -> None:
    rendered = open_page(browser, fake_snapshot(24, hostile=hostile), width=width)

    assert rendered.page.evaluate("document.documentElement.scrollWidth") <= width
    assert rendered.browser_errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_sufficient_contrast(browser: Browser, scheme: Literal["light", "dark"]) -> None:
    states = [
        CollectorState("insights", NOW, "", served=True),
        CollectorState("inventory", NOW, "forbidden", served=True),
        CollectorState("deployment", None, "timeout"),
        CollectorState("agent_stats", configured=False),
    ]
    rendered = open_page(
        browser,
        fake_snapshot(24),
        scheme=scheme,
        collectors=states,
        not_ready_reason="Stale.",
        data_at=NOW - timedelta(hours=1),
        max_data_age=600,
    )

    checked_count, low_contrast = rendered.page.evaluate(CONTRAST_SCRIPT)

    assert checked_count > 500
    assert low_contrast == []


def test_hostile_names_are_escaped(browser: Browser) -> None:
    rendered = open_page(browser, fake_snapshot(22, hostile=HOSTILE))

    assert rendered.page.title() == "Coder Template Insights"
    assert rendered.page.locator("script").count() == 0
    assert rendered.page.locator("img").count() == 0
    assert rendered.browser_errors == []
    assert "<script>" in rendered.page.locator("details.card summary").first.inner_text()
    assert rendered.page.locator("summary bdi").count() > 0


@pytest.mark.parametrize("users", [UsernameMode.HASHED, UsernameMode.OFF])
def test_names_follow_the_privacy_settings(browser: Browser, users: UsernameMode) -> None:
    content = open_page(browser, fake_snapshot(2), users=users).page.content()

    assert "grace" not in content
    assert "margaret" not in content
    assert ("user-" in content) == (users is UsernameMode.HASHED)
    assert ("Usernames are hidden." in content) == (users is UsernameMode.OFF)
    assert "good" in content


def test_latency_colors_have_labels_and_symbols(browser: Browser) -> None:
    page = open_page(browser, fake_snapshot(1)).page

    texts = page.locator("details.card td span.slow").all_text_contents()

    assert texts
    assert all(text.startswith("■") and text.endswith("ms slow") for text in texts)


def test_least_used_templates_go_into_a_table(browser: Browser) -> None:
    page = open_page(browser, fake_snapshot(30)).page

    assert page.locator("details.card").count() == 20
    assert page.locator("[aria-label='Other templates'] tbody tr").count() == 10
    anchors = page.evaluate("[...document.querySelectorAll('[id^=t-]')].map(node => node.id)")
    assert len(set(anchors)) == 30


def test_page_before_the_first_poll(browser: Browser) -> None:
    rendered = open_page(
        browser,
        None,
        not_ready_reason="The first poll has not finished.",
        warming_up=True,
        collectors=[CollectorState("insights")],
    )

    chips = rendered.page.locator("header .chip").all_inner_texts()

    assert chips == ["▲\nwarming up"]
    assert rendered.page.locator(".notice").inner_text().startswith("Warming up. The first poll is running.")
    details = rendered.page.locator(".tiles dd:last-child").all_inner_texts()
    assert details == ["no data yet"] * 6
    assert "waiting" in rendered.page.locator("[aria-label=Collectors]").inner_text()
    assert rendered.browser_errors == []


def test_page_without_fresh_data_shows_the_reason(browser: Browser) -> None:
    page = open_page(browser, fake_snapshot(1), not_ready_reason="insights: timeout").page

    assert page.locator("header .chip").all_inner_texts() == ["■\nnot ready"]
    assert page.locator(".notice").inner_text() == "Not ready. insights: timeout"


@pytest.mark.parametrize(
    ("age", "expected", "css_class"),
    [(timedelta(minutes=3), "data 3 min ago", "none"), (timedelta(hours=2), "▲\ndata 2 h ago", "fair")],
)
def test_header_shows_the_age_of_the_data(
    browser: Browser, age: timedelta, expected: str, css_class: str
) -> None:
    page = open_page(browser, fake_snapshot(1), data_at=NOW - age, max_data_age=600).page
    chip = page.locator("header .chip").last

    assert chip.inner_text() == expected
    assert chip.get_attribute("class") == f"chip {css_class}"


def test_keyboard_navigation(browser: Browser) -> None:
    page = open_page(browser, fake_snapshot(1)).page
    focused_texts = []
    for _ in range(6):
        page.keyboard.press("Tab")
        focused_texts.append(page.evaluate("document.activeElement.textContent"))

    assert focused_texts[:5] == ["Skip to content", "Metrics", "Configuration", "Health", "Readiness"]
    assert page.evaluate("document.activeElement.localName") == "summary"
    page.keyboard.press("Enter")
    assert page.locator("details.card").first.get_attribute("open") is None
