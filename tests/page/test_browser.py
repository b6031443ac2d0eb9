"""The landing page as a real browser sees it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

from insights_exporter.page import CollectorState, Landing, Lens, Status
from insights_exporter.redaction import Redaction
from insights_exporter.settings import UserNames
from insights_exporter.snapshot import Snapshot
from tests.page.made_up import NOW, snapshot

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ADDRESS = "http://exporter.test/"
HOSTILE = "\"'><script>document.title='owned'</script><img src=x onerror=alert(1)>&amp;\u202egnp\n\x00"

CONTRAST = """
() => {
  const parse = text => { const v = text.match(/[\\d.]+/g).map(Number);
    return v.length < 4 ? [...v, 1] : v; };
  const light = rgb => { const c = rgb.slice(0, 3).map(v => { v /= 255;
    return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]; };
  const back = node => { for (let n = node; n; n = n.parentElement) {
    const c = parse(getComputedStyle(n).backgroundColor);
    if (c[3] > 0) return c; } return [255, 255, 255, 1]; };
  const faint = []; let seen = 0;
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || node.closest('.unseen') || node.localName === 'title') continue;
    const style = getComputedStyle(node);
    const color = parse(node.ownerSVGElement ? style.fill : style.color);
    const [a, b] = [light(color), light(back(node))].sort((x, y) => y - x);
    seen += 1;
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push(node.outerHTML.slice(0, 80));
  }
  return [seen, faint];
}
"""


@dataclass
class Shown:
    """A page in a browser, and what the browser complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def heard(self, message: ConsoleMessage) -> None:
        """Remember a line of the console."""
        self.complaints.append(message.text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No Chromium is installed.")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """Give a browser without pages, and leave none behind."""
    yield chromium
    for context in chromium.contexts:
        context.close()


def show(
    browser: Browser,
    found: Snapshot | None,
    *,
    users: UserNames = UserNames.NAMED,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    collectors: Sequence[CollectorState] = (),
    unready: str = "",
) -> Shown:
    """Open the page with the headers that the server sends."""
    redaction = Redaction(users, b"0123456789abcdef" if users is UserNames.HASHED else b"")
    status = Status(NOW, "1.2.3", unready, collectors)
    # The browser's own loop runs in this thread.
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(lambda: asyncio.run(Landing(Lens(redaction)).page(found, status))).result()
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    shown = Shown(page)
    page.on("console", shown.heard)
    page.on("pageerror", lambda error: shown.complaints.append(str(error)))
    page.on("dialog", lambda dialog: shown.complaints.append(dialog.message))

    def answered(route: Route) -> None:
        if route.request.url != ADDRESS:
            shown.complaints.append(f"asked for {route.request.url}")
            route.abort()
            return
        headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": answer.policy}
        route.fulfill(status=200, headers=headers, body=answer.body)

    page.route("**/*", answered)
    page.goto(ADDRESS)
    return shown


def test_the_page_shows_each_panel_and_asks_for_nothing_else(browser: Browser) -> None:
    shown = show(browser, snapshot(3))
    page = shown.page

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
    assert shown.complaints == []
    styled = page.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius")
    assert styled == "10px"


def test_the_charts_numbers_stand_in_tables(browser: Browser) -> None:
    page = show(browser, snapshot(1)).page

    table = page.locator("details.card figure").first.locator("table")

    assert table.locator("caption").text_content() == "Daily active users: users per day"
    assert table.locator("th").all_text_contents()[-2:] == ["Tue 13 Jan", "Wed 14 Jan (so far)"]
    assert table.locator("td").all_text_contents()[-1] == "8"
    assert page.locator("details.card figure").last.locator("td").first.text_content() == "unknown"


@pytest.mark.parametrize("hostile", ["", HOSTILE, "W" * 10_000])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_nothing_scrolls_sideways(browser: Browser, width: int, hostile: str) -> None:
    shown = show(browser, snapshot(24, hostile=hostile), width=width)

    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_back(browser: Browser, scheme: Literal["light", "dark"]) -> None:
    states = [
        CollectorState("insights", NOW, "", served=True),
        CollectorState("inventory", NOW, "forbidden", served=True),
        CollectorState("deployment", None, "timeout"),
        CollectorState("agent_stats", configured=False),
    ]
    shown = show(browser, snapshot(24), scheme=scheme, collectors=states, unready="Stale.")

    seen, faint = shown.page.evaluate(CONTRAST)

    assert seen > 500
    assert faint == []


def test_hostile_names_stay_text(browser: Browser) -> None:
    shown = show(browser, snapshot(22, hostile=HOSTILE))

    assert shown.page.title() == "Coder Template Insights"
    assert shown.page.locator("script").count() == 0
    assert shown.page.locator("img").count() == 0
    assert shown.complaints == []
    assert "<script>" in shown.page.locator("details.card summary").first.inner_text()
    assert shown.page.locator("summary bdi").count() > 0


@pytest.mark.parametrize("users", [UserNames.HASHED, UserNames.OFF])
def test_names_follow_the_privacy_settings(browser: Browser, users: UserNames) -> None:
    content = show(browser, snapshot(2), users=users).page.content()

    assert "grace" not in content
    assert "margaret" not in content
    assert ("user-" in content) == (users is UserNames.HASHED)
    assert ("Names are switched off." in content) == (users is UserNames.OFF)
    assert "good" in content


def test_colours_of_latency_have_words_and_signs(browser: Browser) -> None:
    page = show(browser, snapshot(1)).page

    texts = page.locator("details.card td span.slow").all_text_contents()

    assert texts
    assert all(text.startswith("■") and text.endswith("ms slow") for text in texts)


def test_many_templates_show_the_most_used_and_a_table_of_the_others(browser: Browser) -> None:
    page = show(browser, snapshot(30)).page

    assert page.locator("details.card").count() == 20
    assert page.locator("[aria-label='Other templates'] tbody tr").count() == 10
    anchors = page.evaluate("[...document.querySelectorAll('[id^=t-]')].map(one => one.id)")
    assert len(set(anchors)) == 30


def test_before_the_first_poll_the_page_says_so(browser: Browser) -> None:
    shown = show(browser, None, unready="No poll has succeeded yet.", collectors=[CollectorState("insights")])

    text = shown.page.locator("body").inner_text()

    assert "not ready" in text
    assert "No poll has succeeded yet." in text
    assert "waiting" in text
    assert shown.complaints == []


def test_the_keyboard_reaches_links_and_templates(browser: Browser) -> None:
    page = show(browser, snapshot(1)).page
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))

    assert reached[:5] == ["Skip to the numbers", "Metrics", "Configuration", "Health", "Readiness"]
    assert page.evaluate("document.activeElement.localName") == "summary"
    page.keyboard.press("Enter")
    assert page.locator("details.card").first.get_attribute("open") is None
