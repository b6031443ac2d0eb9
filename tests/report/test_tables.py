"""CSV tables: tidy, with units in the headers, and safe in spreadsheets."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import msgspec
import pytest

from insights_exporter.report import Report
from insights_exporter.report.tables import TABLES, render_csv_files
from tests.report.report_harness import create_blocking, deployment_of


@pytest.fixture(scope="module")
def report() -> Report:
    return create_blocking(deployment_of())


def rows_of(report: Report, name: str) -> list[dict[str, str]]:
    text = render_csv_files(report)[f"{name}.csv"].decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize("name", TABLES)
def test_each_row_has_the_cells_of_the_header(report: Report, name: str) -> None:
    text = render_csv_files(report)[f"{name}.csv"].decode()
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)

    assert header[0] == "period"
    assert len(set(header)) == len(header)
    assert rows or name == "idle_accounts"
    assert {len(row) for row in rows} <= {len(header)}
    assert {row[0] for row in rows} <= {"2026-10"}
    assert text.endswith("\r\n")
    assert "\n" not in text.replace("\r\n", "")


def test_values_are_those_of_the_document(report: Report) -> None:
    templates = rows_of(report, "templates")

    assert [row["template"] for row in templates] == [row.template for row in report.templates]
    for row, expected in zip(templates, report.templates, strict=True):
        assert float(row["usage_hours"]) == pytest.approx(
            (expected.usage_seconds.value or 0) / 3600, abs=1e-4
        )
        assert int(row["active_users"]) == expected.active_users.value
        assert float(row["usage_share_percent"]) == pytest.approx(100 * (expected.share or 0), abs=1e-4)
    assert [row["user"] for row in rows_of(report, "users")] == [row.user for row in report.users]


def test_each_number_has_a_unit(report: Report) -> None:
    units = ("hours", "percent", "users", "milliseconds", "workspaces", "opens", "days_per_user", "templates")
    names = ("in_use", "hours_per_user", "active_users")
    for name in TABLES.keys() - {"summary"}:
        for row in rows_of(report, name):
            for column, cell in row.items():
                is_number = cell.replace(".", "", 1).removeprefix("-").isdigit()
                if is_number and column not in {"value", "value_display_name", "parameter"}:
                    assert column.endswith(units) or column.endswith(names), (name, column)
    assert {row["unit"] for row in rows_of(report, "summary")} == {
        "users",
        "hours",
        "days",
        "percent",
        "templates",
        "accounts",
        "seats",
    }


def test_apps_of_templates_add_up_to_their_row(report: Report) -> None:
    apps = rows_of(report, "template_apps")

    assert set(apps[0]) == {
        "period",
        "organization",
        "template",
        "app",
        "app_type",
        "app_display_name",
        "usage_hours",
        "usage_share_percent",
        "opens",
    }
    first = report.templates[0]
    shares = [
        float(row["usage_share_percent"])
        for row in apps
        if (row["organization"], row["template"]) == (first.organization, first.template)
    ]
    assert sum(shares) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_names_are_no_formulas(report: Report, start: str) -> None:
    name = f'{start}HYPERLINK("https://example.test","x")'
    template = msgspec.structs.replace(report.templates[0], template=name)
    rows = rows_of(msgspec.structs.replace(report, templates=(template,)), "templates")

    assert rows[0]["template"] == f"'{name}"


def test_negative_changes_stay_numbers(report: Report) -> None:
    changes = [row["change_percent"] for row in rows_of(report, "summary") if row["change_percent"]]

    assert all(float(change) is not None for change in changes)
    assert any(change.startswith("-") for change in changes)


def test_quotes_commas_and_line_breaks_survive(report: Report) -> None:
    name = 'a "quoted", name\nwith two lines'
    template = msgspec.structs.replace(report.templates[0], display_name=name)
    rows = rows_of(msgspec.structs.replace(report, templates=(template,)), "templates")

    assert rows[0]["display_name"] == name


def test_text_that_utf8_cannot_carry_is_replaced(report: Report) -> None:
    template = msgspec.structs.replace(report.templates[0], display_name="a\ud800b\x00c")
    rows = rows_of(msgspec.structs.replace(report, templates=(template,)), "templates")

    assert rows[0]["display_name"] == "a\ufffdb\ufffdc"


def test_unknown_numbers_are_empty() -> None:
    deployment = deployment_of()
    deployment.options = replace(deployment.options, open_source=True)
    report = create_blocking(deployment)
    seats = {row["measure"]: row["value"] for row in rows_of(report, "summary")}

    assert seats["seats"] == ""
