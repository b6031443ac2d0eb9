"""The HTML of a report: one file without scripts, accessible and escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from insights_exporter.report import PeriodRequest, Report
from insights_exporter.report.document import LatencyBands
from insights_exporter.report.renderer import render_html
from insights_exporter.simulator.generated_world import Size
from tests.report.report_harness import create_blocking, deployment_of

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\x00"


class Document(HTMLParser):
    """The elements of a page; fails if they are not nested."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element."""
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element without content."""
        self.elements.append((tag, dict(attrs)))

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements with one of the names."""
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def report() -> Report:
    return create_blocking(deployment_of(Size(templates=6, users=24)))


def text_of(html: str) -> str:
    """Return the text of a page without markup."""
    return re.sub(
        r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    )


def test_page_is_one_file_without_scripts(report: Report) -> None:
    html = render_html(report)
    document = Document(html)

    assert document.all("script", "link", "img", "iframe", "form", "object") == []
    assert "url(" not in html
    assert not [row for _, row in document.elements if {"src", "href", "style", "onclick"} & row.keys()]
    policy = next(row["content"] for row in document.all("meta") if row.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_headings_tables_and_charts_are_accessible(report: Report) -> None:
    document = Document(render_html(report))
    ids = {row["id"] for _, row in document.elements if "id" in row}

    assert document.all("html")[0]["lang"] == "en"
    assert len(document.all("h1")) == 1
    assert all(row.get("scope") in {"col", "row", "rowgroup"} for row in document.all("th"))
    assert all(row["aria-labelledby"] in ids for row in document.all("section"))
    pictures = [row for row in document.all("svg") if row.get("aria-hidden") != "true"]
    assert [row.get("role") for row in pictures] == ["img", "img"]
    assert all(row["aria-label"] for row in pictures)


def test_first_page_has_headline_numbers_charts_and_templates(report: Report) -> None:
    first_page = render_html(report).split('class="card new-page"')[0]
    text = text_of(first_page)

    assert f"Active users {report.summary.active_users.value:.0f}" in text
    assert "By week Pale bars: before the period." in text
    assert "Hours by template" in text
    assert report.templates[0].display_name in text
    assert "Compared with September 2026" in text


def test_charts_have_tables_with_the_same_numbers(report: Report) -> None:
    html = render_html(report)
    for title, rows in (("By week", report.weeks), ("By day", report.days)):
        table = html.split(f"<caption>{title}:")[1].split("</table>")[0]
        assert [int(cell) for cell in re.findall(r"<td>(\d+)</td>", table)] == [
            row.active_users for row in rows
        ]


def test_hostile_names_are_escaped(report: Report) -> None:
    template = msgspec.structs.replace(report.templates[0], display_name=HOSTILE, organization=HOSTILE)
    app = msgspec.structs.replace(report.apps[0], display_name=HOSTILE, slug=HOSTILE)
    user = msgspec.structs.replace(report.users[0], user=HOSTILE)
    parameter = msgspec.structs.replace(report.parameters[0], parameter_display_name=HOSTILE)
    hostile = msgspec.structs.replace(
        report,
        templates=(template,),
        apps=(app,),
        users=(user,),
        parameters=(parameter,),
        idle_accounts=(HOSTILE,),
        notes=(HOSTILE,),
    )
    html = render_html(hostile)
    document = Document(html)

    assert document.all("script", "img") == []
    assert html.count("&lt;script&gt;") >= 6
    assert "\x00" not in html


def test_report_without_usage_says_so() -> None:
    deployment = deployment_of(Size(templates=2, users=3, active_templates=0))
    text = text_of(render_html(create_blocking(deployment)))

    assert "No template was used." in text
    assert "No app was used." in text
    assert "No user was active." in text
    assert "None" not in text


def test_period_that_is_not_over_is_marked() -> None:
    request = PeriodRequest(month="2026-11")
    html = render_html(create_blocking(deployment_of(), request))

    assert "not over</span>" in html
    assert "1 to 2 November 2026, compared with 1 to 2 October 2026" in text_of(html)
    assert 'class="incomplete"' in html


def test_withheld_latency_is_not_shown_as_zero(report: Report) -> None:
    html = render_html(msgspec.structs.replace(report, latency=LatencyBands()))
    section = html.split('id="latency"')[1].split("</section>")[0]

    assert "Not shown: too few users." in section
    assert section.count('<ul class="legend">') == 1


def test_many_bars_have_one_number_for_the_highest(report: Report) -> None:
    html = render_html(msgspec.structs.replace(report, weeks=(*report.weeks, *report.weeks)))
    weeks = html.split("</svg>")[0]
    highest = max(row.active_users or 0 for row in report.weeks)

    assert 'class="number"' in render_html(report).split("</svg>")[0]
    assert 'class="number"' not in weeks
    assert f"highest {highest}</text>" in weeks


def test_parameters_show_chosen_values_and_unused_options(report: Report) -> None:
    html = render_html(report)
    section = html.split('id="parameters"')[1].split("</section>")[0]
    unused = next(value.display_name for row in report.parameters for value in row.values if value.is_unused)

    assert f"<bdi>{unused}</bdi>" in section
    assert "<bdi>(not shown)</bdi>" in section
    assert "<bdi>True</bdi>" in section
