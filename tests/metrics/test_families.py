"""A snapshot becomes samples of every family, and only of these."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families import Catalogued, families
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.text import Format, render
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, UserNames
from insights_exporter.snapshot import (
    Account,
    AppUse,
    Deployment,
    Insights,
    Inventory,
    Latency,
    ParameterOption,
    ParameterUse,
    Reading,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUse,
    Totals,
    UserLatency,
    WindowUse,
)
from tests.support.expositions import checked_by_promtool, series
from tests.support.reference import reference, reference_page
from tests.support.snapshots import NOW, rich_snapshot

GO = TemplateKey("acme", "go")


def catalogued(
    snapshot: Snapshot,
    *,
    users: UserNames = UserNames.NAMED,
    limits: LimitSettings | None = None,
    free_text: bool = False,
) -> Catalogued:
    """Return the families of a snapshot."""
    return families(
        snapshot,
        redaction=Redaction(users, b"key"),
        limits=limits or LimitSettings(),
        free_text=free_text,
    )


def numbers(found: Catalogued, family: Family) -> Mapping[tuple[str, ...], float]:
    """Return a family's numbers by label values."""
    (samples,) = [samples for samples in found.samples if samples.family is family]
    return dict(samples.numbers)


def window(**parts: Any) -> WindowUse:
    """Return a use of the last seven days."""
    return WindowUse("7d", NOW, NOW, **parts)


def used(*uses: TemplateUse, deployment: TemplateUse | None = None) -> Snapshot:
    """Return a snapshot that knows of use alone."""
    return Snapshot(NOW, insights=Reading(Insights(deployment or TemplateUse(None), uses), NOW))


def used_go(**parts: Any) -> Snapshot:
    """Return a snapshot with one template and window."""
    return used(TemplateUse(GO, windows=[window(**parts)]))


@pytest.mark.parametrize("free_text", [True, False])
def test_a_rich_snapshot_feeds_every_family_in_the_catalogues_order(free_text: bool) -> None:  # noqa: FBT001 - parametrised.
    found = catalogued(rich_snapshot(), free_text=free_text)

    assert [samples.family for samples in found.samples] == list(catalogue.CODER_FAMILIES)
    assert all(found.series.values())
    assert not any(found.folded.values())


@pytest.mark.parametrize("form", Format)
def test_the_page_is_accepted_by_the_parser_without_any_sample_twice(form: Format) -> None:
    found = catalogued(rich_snapshot())
    names = {name for name, _ in series(bytes(render(found.samples, form)), form)}

    assert {family.name for family in catalogue.CODER_FAMILIES} <= {
        name.removesuffix("_bucket") for name in names
    }


@pytest.mark.parametrize("form", Format)
def test_the_page_equals_the_references_byte_by_byte(form: Format) -> None:
    found = catalogued(rich_snapshot())

    assert reference_page(reference(found.samples, form), form) == bytes(render(found.samples, form))


def test_promtool_finds_nothing_wrong() -> None:
    page = bytes(render(catalogued(rich_snapshot()).samples, Format.TEXT))

    assert checked_by_promtool(page) == ""


def test_what_was_never_read_has_no_families() -> None:
    assert catalogued(Snapshot(NOW)).samples == []


def test_series_are_counted_as_they_are_served() -> None:
    found = catalogued(rich_snapshot())
    page = render(found.samples, Format.TEXT).decode()
    lines = [line for line in page.splitlines() if not line.startswith("#")]

    assert sum(found.series.values()) == len(lines)


# Users ---------------------------------------------------------------------------------------------------


def test_hashed_names_are_everywhere_and_nothing_else_tells_who_it_is() -> None:
    snapshot = rich_snapshot()
    assert snapshot.inventory is not None
    people = snapshot.inventory.value.users
    page = render(catalogued(snapshot, users=UserNames.HASHED).samples, Format.OPENMETRICS).decode()

    assert "user-" in page
    for person in people:
        for trace in (f'"{person.username}"', f'"{person.display_name}"', person.avatar_url, person.id):
            assert trace not in page


def test_users_that_are_off_take_their_families_along_and_templates_keep_their_totals() -> None:
    found = {samples.family for samples in catalogued(rich_snapshot(), users=UserNames.OFF).samples}
    gone = {family for family in catalogue.CODER_FAMILIES if "username" in family.labels}

    assert found == set(catalogue.CODER_FAMILIES) - gone
    assert {catalogue.TEMPLATE_USAGE, catalogue.TEMPLATE_USER_LATENCY} <= found


@pytest.mark.parametrize(
    ("sent", "site", "shown"),
    [
        ("/emojis/1f680.png", "https://coder.example.com/", "https://coder.example.com/emojis/1f680.png"),
        ("/emojis/1f680.png", "", "/emojis/1f680.png"),
        ("https://avatars.example.com/ada", "https://coder.example.com", "https://avatars.example.com/ada"),
        ("//avatars.example.com/ada", "https://coder.example.com", "//avatars.example.com/ada"),
        ("", "https://coder.example.com", ""),
    ],
)
def test_pictures_that_coder_keeps_itself_are_found_from_elsewhere(sent: str, site: str, shown: str) -> None:
    accounts = Inventory(users=[Account("u1", "ada", avatar_url=sent)])
    deployment = Deployment("v2.26.0", dashboard_url=site)
    found = catalogued(Snapshot(NOW, inventory=Reading(accounts, NOW), deployment=Reading(deployment, NOW)))

    assert list(numbers(found, catalogue.USER_INFO)) == [("ada", "u1", "", shown, "")]


# Numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, 10**400])
def test_what_is_no_number_of_seconds_is_not_served(number: float) -> None:
    snapshot = used_go(
        seconds=number,
        apps=[AppUse("ssh", "builtin", number, opens=-3)],
        activity={"ada": number, "bo": 60.0},
        latency=Latency.of([UserLatency("ada", number, number), UserLatency("bo", 0.1, 0.2)]),
    )
    page = series(bytes(render(catalogued(snapshot).samples, Format.OPENMETRICS)))
    total = sum(value for (name, _), value in page.items() if name == catalogue.USER_ACTIVITY_WINDOW.name)

    assert all(math.isfinite(value) and value >= 0 for value in page.values())
    assert total == 60.0
    assert catalogue.TEMPLATE_USAGE_WINDOW.name not in {name for name, _ in page}


def test_ago_counts_days_from_today_and_weeks_and_the_unknown_is_absent() -> None:
    found = catalogued(used(TemplateUse(GO, days=[3, None, 5], weeks=[8])))

    assert numbers(found, catalogue.TEMPLATE_ACTIVE_USERS) == {
        ("acme", "go", "day", "0"): 3,
        ("acme", "go", "day", "2"): 5,
        ("acme", "go", "week", "0"): 8,
    }


def test_totals_are_counters_since_the_anchor() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    totals = Totals(anchor, 90.0, apps={("ssh", "builtin"): 60.0}, users={"ada": 90.0})
    page = series(bytes(render(catalogued(used(TemplateUse(GO, totals=totals))).samples, Format.OPENMETRICS)))
    labels = {("organization_name", "acme"), ("template_name", "go")}
    app, user = {("app", "ssh"), ("app_type", "builtin")}, {("username", "ada")}

    for family, more, seconds in (
        (catalogue.TEMPLATE_USAGE, set[tuple[str, str]](), 90.0),
        (catalogue.TEMPLATE_APP_USAGE, app, 60.0),
        (catalogue.USER_ACTIVITY, user, 90.0),
    ):
        assert page[family.name, frozenset(labels | more)] == seconds
        assert page[f"{family.stem}_created", frozenset(labels | more)] == anchor.timestamp()


def test_users_fall_into_latency_bands_whose_upper_bounds_belong_to_them() -> None:
    snapshot = used_go(
        activity={"ada": 60.0, "dan": 60.0},
        latency=Latency.of(
            [
                UserLatency("ada", 0.15, 0.3),
                UserLatency("bo", 0.1500001, 7.0),
                UserLatency("cleo", None, None),
            ]
        ),
    )
    found = catalogued(snapshot)
    (bands,) = [samples for samples in found.samples if samples.family is catalogue.TEMPLATE_USER_LATENCY]
    at = {bound: number for number, bound in enumerate((*catalogue.LATENCY_BUCKETS, math.inf))}
    (p50, counts50, sum50), (p95, counts95, _) = bands.distributions

    assert (p50, p95) == (("acme", "go", "p50", "7d"), ("acme", "go", "p95", "7d"))
    assert [counts50[at[bound]] for bound in (0.1, 0.15, 0.2, math.inf)] == [0, 1, 2, 2]
    assert [counts95[at[bound]] for bound in (0.2, 0.3, 5.0, math.inf)] == [0, 1, 1, 2]
    assert sum50 == pytest.approx(0.3000001)
    assert numbers(found, catalogue.TEMPLATE_USERS_WITHOUT_LATENCY) == {("acme", "go", "7d"): 2}


# Parameters ----------------------------------------------------------------------------------------------

REGION = ParameterUse(
    "region",
    "string",
    "Region",
    {"eu": 4, "mars": 1, "moon": 2, "": 3},
    (ParameterOption("eu", "Europe"), ParameterOption("us", "America")),
)


def shown(parameter: ParameterUse, *, free_text: bool = False) -> dict[str, float]:
    """Return the workspaces by served value."""
    found = catalogued(used_go(parameters=[parameter]), free_text=free_text)
    rows = numbers(found, catalogue.TEMPLATE_PARAMETER_WORKSPACES)
    return {labels[4]: number for labels, number in rows.items()}


def test_declared_options_are_shown_though_nobody_chose_them_and_other_values_are_folded() -> None:
    assert shown(REGION) == {"eu": 4, "us": 0, catalogue.OTHER: 3, "": 3}


def test_free_text_is_shown_where_that_is_switched_on() -> None:
    assert shown(REGION, free_text=True) == {"eu": 4, "us": 0, "mars": 1, "moon": 2, "": 3}


def test_yes_and_no_are_no_free_text_and_neither_is_a_choice_of_several_options() -> None:
    several = ParameterUse(
        "ides",
        "list(string)",
        "",
        {'["go","py"]': 2, '["go","my secret"]': 1},
        (ParameterOption("go"), ParameterOption("py")),
    )

    assert shown(ParameterUse("gpu", "bool", "", {"true": 2, "maybe": 1})) == {"true": 2, catalogue.OTHER: 1}
    assert shown(several) == {"go": 0, "py": 0, '["go","py"]': 2, catalogue.OTHER: 1}


def test_a_parameter_that_occurs_twice_counts_once_for_all_its_workspaces() -> None:
    again = ParameterUse("region", "string", "Old name", {"eu": 1})
    found = catalogued(used_go(parameters=[REGION, again]), free_text=True)
    rows = numbers(found, catalogue.TEMPLATE_PARAMETER_WORKSPACES)

    assert rows[("acme", "go", "region", "string", "eu", "7d")] == 5


def test_every_served_value_has_a_description_to_join() -> None:
    found = catalogued(rich_snapshot())
    described = {labels[:5] for labels in numbers(found, catalogue.PARAMETER_INFO)}
    counted = {labels[:5] for labels in numbers(found, catalogue.TEMPLATE_PARAMETER_WORKSPACES)}

    assert counted <= described
    assert len(described) == len(numbers(found, catalogue.PARAMETER_INFO))


def test_a_description_tells_declared_and_default() -> None:
    found = {
        labels[4]: labels[5:]
        for labels in numbers(catalogued(rich_snapshot()), catalogue.PARAMETER_INFO)
        if labels[:3] == ("acme", "go", "region")
    }

    assert found == {
        "eu": ("Region", "Europe", "/emojis/1f1ea-1f1fa.png", "true", "true"),
        "us": ("Region", "United States", "/emojis/1f1fa-1f1f8.png", "true", "false"),
        "sydney": ("Region", "Sydney", "/emojis/1f1e6-1f1fa.png", "true", "false"),
    }


# Bad values ----------------------------------------------------------------------------------------------


def test_long_names_that_come_to_be_equal_are_added_where_a_sum_is_legal() -> None:
    snapshot = used_go(activity={"a" * 200: 60.0, "a" * 300: 30.0})

    assert numbers(catalogued(snapshot), catalogue.USER_ACTIVITY_WINDOW) == {
        ("acme", "go", "a" * 128, "7d"): 90.0
    }


def test_long_names_that_come_to_be_equal_leave_the_first_where_a_sum_is_not() -> None:
    rows = [UserLatency("a" * 200, 0.1, 0.2), UserLatency("a" * 300, 0.3, 0.4)]
    snapshot = used_go(latency=Latency.of(rows))
    found = catalogued(snapshot)

    assert numbers(found, catalogue.USER_LATENCY_P50) == {("acme", "go", "a" * 128, "7d"): 0.1}
    assert found.folded[catalogue.USER_LATENCY_P50.name] == 1


@pytest.mark.parametrize("form", Format)
def test_hostile_names_do_not_break_the_page(form: Format) -> None:
    name = 'x"\\\n\x00\ud800🦆' * 2000
    key = TemplateKey(name, name)
    snapshot = replace(
        used(
            TemplateUse(
                key,
                windows=[
                    window(
                        activity={name: 1.0},
                        apps=[AppUse(name, name, 1.0, 1), AppUse(name, name, 2.0, 2)],
                        parameters=[ParameterUse(name, name, name, {name: 1})],
                    )
                ],
            ),
            TemplateUse(key, days=[1]),
            TemplateUse(key, days=[2]),
        ),
        inventory=Reading(
            Inventory(
                [Template("1", key), Template("2", key)], [], [Account(name, name), Account(name, name)]
            ),
            NOW,
        ),
    )
    page = bytes(render(catalogued(snapshot, free_text=True).samples, form))

    assert series(page, form)


def test_a_family_whose_limit_is_zero_is_left_out() -> None:
    name = catalogue.USER_ACTIVITY.name
    found = catalogued(rich_snapshot(), limits=LimitSettings(families={name: 0}))

    assert name not in found.series
    assert catalogue.USER_ACTIVITY not in {samples.family for samples in found.samples}


def test_a_limit_of_one_family_binds_it_alone() -> None:
    name = catalogue.USER_ACTIVITY_WINDOW.name
    whole = catalogued(rich_snapshot())
    found = catalogued(rich_snapshot(), limits=LimitSettings(families={name: 100}))

    assert found.series[name] == 100
    assert sum(numbers(found, catalogue.USER_ACTIVITY_WINDOW).values()) == sum(
        numbers(whole, catalogue.USER_ACTIVITY_WINDOW).values()
    )
    assert {key for key, count in found.folded.items() if count} == {name}
