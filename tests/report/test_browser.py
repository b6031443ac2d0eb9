"""The report in Chromium: on screen in both schemes, on a phone, and printed on A4 pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from insights_exporter.report import Report
from insights_exporter.report.renderer import render_html
from insights_exporter.simulator.generated_world import Size
from tests.report.report_harness import create_blocking, deployment_of
from tests.support.chromium import CHROMIUM, CONTRAST_SCRIPT

A4_WIDTH = 688
"""CSS pixels between the margins of a page."""

CUT_SCRIPT = """
() => [...document.querySelectorAll('body *')]
  .filter(node => !node.closest('.visually-hidden') && !node.ownerSVGElement)
  .filter(node => node.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5
    || (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== 'visible'))
  .map(node => node.outerHTML.slice(0, 80))
"""
"""Returns the elements that reach beyond the page, or whose content is cut or scrolls."""


@pytest.fixture(scope="module")
def report() -> Report:
    return create_blocking(deployment_of(Size(templates=12, users=40)))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("No Chromium is installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(report), encoding="utf-8")
    return path


def open_file(
    browser: Browser, file: Path, *, width: int = 1100, scheme: Literal["light", "dark"] = "light"
) -> tuple[Page, list[str]]:
    """Open a report; return the page, and the errors and requests that the browser reports."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    reported: list[str] = []
    page.on("console", lambda message: reported.append(message.text))
    page.on("pageerror", lambda error: reported.append(str(error)))
    page.on("request", lambda request: reported.append(request.url))
    page.goto(file.as_uri())
    return page, reported


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_sufficient_contrast(
    chromium: Browser, file: Path, scheme: Literal["light", "dark"]
) -> None:
    page, reported = open_file(chromium, file, scheme=scheme)

    checked_count, low_contrast = page.evaluate(CONTRAST_SCRIPT)

    assert checked_count > 300
    assert low_contrast == []
    assert reported == [file.as_uri()]


@pytest.fixture(scope="module")
def long_names(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a report with names that are too long for any column."""
    name = "W" * 10_000
    replace = msgspec.structs.replace
    templates = [replace(row, display_name=name, organization=name) for row in report.templates]
    parameters = [
        replace(
            row,
            display_name=name,
            parameter_display_name=name,
            values=[replace(value, display_name=name) for value in row.values],
        )
        for row in report.parameters
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    hostile = replace(
        report,
        templates=templates,
        parameters=parameters,
        apps=[replace(row, display_name=name) for row in report.apps],
        users=[replace(row, user=name) for row in report.users],
        idle_accounts=[name] * 50,
        notes=[name],
    )
    path.write_text(render_html(hostile), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [360, 420, 1100])
def test_page_does_not_scroll_sideways(chromium: Browser, file: Path, long_names: Path, width: int) -> None:
    for path in (file, long_names):
        page, _ = open_file(chromium, path, width=width)

        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_long_names_are_not_cut_in_print(chromium: Browser, long_names: Path) -> None:
    page, _ = open_file(chromium, long_names, width=A4_WIDTH)
    page.emulate_media(media="print")

    assert page.evaluate(CUT_SCRIPT) == []


def test_print_is_light_and_nothing_is_cut(chromium: Browser, file: Path) -> None:
    page, _ = open_file(chromium, file, width=A4_WIDTH, scheme="dark")
    page.emulate_media(media="print")

    assert page.evaluate(CUT_SCRIPT) == []
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(26, 31, 43)"
    assert page.evaluate(CONTRAST_SCRIPT)[1] == []


def test_pdf_has_a_few_a4_pages(chromium: Browser, file: Path) -> None:
    page, _ = open_file(chromium, file)

    pdf = page.pdf(prefer_css_page_size=True, print_background=True)

    pages = len(re.findall(rb"/Type\s*/Page\b", pdf))
    sizes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", pdf)}
    assert 4 <= pages <= 6
    assert [(round(width), round(height)) for _, _, width, height in sizes] == [(595, 842)]


def test_first_page_holds_summary_charts_and_ranking(chromium: Browser, file: Path) -> None:
    page, _ = open_file(chromium, file, width=A4_WIDTH)
    page.emulate_media(media="print")

    bottom = page.evaluate("document.querySelector('section.new-page').getBoundingClientRect().top")

    page_height = (297 - 14 - 16) / 25.4 * 96
    assert bottom <= page_height
