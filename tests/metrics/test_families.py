"""Samples of every family in the catalogue, from a snapshot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.families import SnapshotFamilies, build_families
from insights_exporter.metrics.family import Family
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import (
    AppUsage,
    Deployment,
    Insights,
    Inventory,
    Latency,
    ParameterOption,
    ParameterUsage,
    Snapshot,
    Template,
    TemplateKey,
    TemplateUsage,
    Timestamped,
    Totals,
    User,
    UserLatency,
    WindowUsage,
)
from tests.support.agent_stats import with_pseudonymized_agent_stats
from tests.support.exposition_parsing import parse_series, promtool_check
from tests.support.exposition_text import encode_exposition
from tests.support.prometheus_client_reference import reference_collector, reference_exposition
from tests.support.snapshots import NOW, rich_snapshot

GO = TemplateKey("acme", "go")


def families_of(
    snapshot: Snapshot,
    *,
    users: UsernameMode = UsernameMode.NAMED,
    limits: LimitSettings | None = None,
    free_text: bool = False,
) -> SnapshotFamilies:
    """Return the families of a snapshot."""
    username_policy = UsernamePolicy(users, b"key")
    return build_families(
        with_pseudonymized_agent_stats(snapshot, username_policy),
        username_policy=username_policy,
        limits=limits or LimitSettings(),
        free_text=free_text,
    )


def values_by_labels(snapshot_families: SnapshotFamilies, family: Family) -> Mapping[tuple[str, ...], float]:
    """Return the values of a family by label values."""
    (samples,) = [samples for samples in snapshot_families.samples if samples.family is family]
    return dict(samples.floats)


def window_usage(**fields: Any) -> WindowUsage:
    """Return usage in the window of the last seven days."""
    return WindowUsage("7d", NOW, NOW, **fields)


def snapshot_of(*usages: TemplateUsage, deployment: TemplateUsage | None = None) -> Snapshot:
    """Return a snapshot with usage only."""
    return Snapshot(NOW, insights=Timestamped(Insights(deployment or TemplateUsage(None), usages), NOW))


def go_snapshot(**fields: Any) -> Snapshot:
    """Return a snapshot with one template and window."""
    return snapshot_of(TemplateUsage(GO, windows=[window_usage(**fields)]))


@pytest.mark.parametrize("free_text", [True, False])
def test_snapshot_yields_every_family_in_catalogue_order(free_text: bool) -> None:  # noqa: FBT001 - a test parameter.
    snapshot_families = families_of(rich_snapshot(), free_text=free_text)

    assert [samples.family for samples in snapshot_families.samples] == list(catalogue.CODER_FAMILIES)
    assert all(snapshot_families.series.values())
    assert not any(snapshot_families.folded.values())


@pytest.mark.parametrize("form", Format)
def test_exposition_parses_without_duplicate_samples(form: Format) -> None:
    snapshot_families = families_of(rich_snapshot())
    names = {name for name, _ in parse_series(encode_exposition(snapshot_families.samples, form), form)}

    assert {family.name for family in catalogue.CODER_FAMILIES} <= {
        name.removesuffix("_bucket") for name in names
    }


@pytest.mark.parametrize("form", Format)
def test_exposition_equals_prometheus_client_byte_for_byte(form: Format) -> None:
    snapshot_families = families_of(rich_snapshot())

    assert reference_exposition(
        reference_collector(snapshot_families.samples, form), form
    ) == encode_exposition(snapshot_families.samples, form)


def test_promtool_accepts_the_exposition() -> None:
    body = bytes(encode_exposition(families_of(rich_snapshot()).samples, Format.TEXT))

    assert promtool_check(body) == ""


def test_empty_snapshot_has_no_families() -> None:
    assert families_of(Snapshot(NOW)).samples == []


def test_series_count_equals_served_lines() -> None:
    snapshot_families = families_of(rich_snapshot())
    body = encode_exposition(snapshot_families.samples, Format.TEXT).decode()
    lines = [line for line in body.splitlines() if not line.startswith("#")]

    assert sum(snapshot_families.series.values()) == len(lines)


# Users ---------------------------------------------------------------------------------------------------


def test_hashed_usernames_leak_no_identity() -> None:
    snapshot = rich_snapshot()
    assert snapshot.inventory is not None
    users = snapshot.inventory.value.users
    assert users
    body = encode_exposition(
        families_of(snapshot, users=UsernameMode.HASHED).samples, Format.OPENMETRICS
    ).decode()

    assert "user-" in body
    for user in users:
        for identifier in (f'"{user.username}"', f'"{user.display_name}"', user.avatar_url, user.id):
            assert identifier not in body


def test_users_off_drops_user_families_and_keeps_template_totals() -> None:
    served = {samples.family for samples in families_of(rich_snapshot(), users=UsernameMode.OFF).samples}
    user_families = {family for family in catalogue.CODER_FAMILIES if "username" in family.labels}

    assert served == set(catalogue.CODER_FAMILIES) - user_families
    assert {catalogue.TEMPLATE_USAGE, catalogue.TEMPLATE_USER_LATENCY} <= served


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
def test_relative_avatar_urls_become_absolute(sent: str, site: str, shown: str) -> None:
    accounts = Inventory(users=[User("u1", "ada", avatar_url=sent)])
    deployment = Deployment("v2.26.0", dashboard_url=site)
    snapshot_families = families_of(
        Snapshot(NOW, inventory=Timestamped(accounts, NOW), deployment=Timestamped(deployment, NOW))
    )

    assert list(values_by_labels(snapshot_families, catalogue.USER_INFO)) == [("ada", "u1", "", shown, "")]


# Numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, 10**400])
def test_invalid_values_are_not_served(number: float) -> None:
    snapshot = go_snapshot(
        seconds=number,
        apps=[AppUsage("ssh", "builtin", number, opens=-3)],
        activity={"ada": number, "bo": 60.0},
        latency=Latency.from_rows([UserLatency("ada", number, number), UserLatency("bo", 0.1, 0.2)]),
    )
    served = parse_series(encode_exposition(families_of(snapshot).samples, Format.OPENMETRICS))
    total = sum(value for (name, _), value in served.items() if name == catalogue.USER_ACTIVITY_WINDOW.name)

    assert all(math.isfinite(value) and value >= 0 for value in served.values())
    assert total == 60.0
    assert catalogue.TEMPLATE_USAGE_WINDOW.name not in {name for name, _ in served}


def test_ago_label_and_unknown_intervals() -> None:
    snapshot_families = families_of(snapshot_of(TemplateUsage(GO, days=[3, None, 5], weeks=[8])))

    assert values_by_labels(snapshot_families, catalogue.TEMPLATE_ACTIVE_USERS) == {
        ("acme", "go", "day", "0"): 3,
        ("acme", "go", "day", "2"): 5,
        ("acme", "go", "week", "0"): 8,
    }


def test_totals_are_counters_since_the_anchor() -> None:
    anchor = datetime(2026, 1, 1, tzinfo=UTC)
    totals = Totals(anchor, 90.0, apps={("ssh", "builtin"): 60.0}, users={"ada": 90.0})
    served = parse_series(
        bytes(
            encode_exposition(
                families_of(snapshot_of(TemplateUsage(GO, totals=totals))).samples, Format.OPENMETRICS
            )
        )
    )
    labels = {("organization_name", "acme"), ("template_name", "go")}
    app, user = {("app", "ssh"), ("app_type", "builtin")}, {("username", "ada")}

    for family, extra_labels, seconds in (
        (catalogue.TEMPLATE_USAGE, set[tuple[str, str]](), 90.0),
        (catalogue.TEMPLATE_APP_USAGE, app, 60.0),
        (catalogue.USER_ACTIVITY, user, 90.0),
    ):
        assert served[family.name, frozenset(labels | extra_labels)] == seconds
        assert served[f"{family.base_name}_created", frozenset(labels | extra_labels)] == anchor.timestamp()


def test_latency_buckets_include_their_upper_bound() -> None:
    snapshot = go_snapshot(
        activity={"ada": 60.0, "dan": 60.0},
        latency=Latency.from_rows(
            [
                UserLatency("ada", 0.15, 0.3),
                UserLatency("bo", 0.1500001, 7.0),
                UserLatency("cleo", None, None),
            ]
        ),
    )
    snapshot_families = families_of(snapshot)
    (histogram_family,) = [
        samples for samples in snapshot_families.samples if samples.family is catalogue.TEMPLATE_USER_LATENCY
    ]
    bucket_index = {bound: number for number, bound in enumerate((*catalogue.LATENCY_BUCKETS, math.inf))}
    (p50, histogram50), (p95, histogram95) = histogram_family.histograms
    counts50, counts95 = histogram50.cumulative_counts, histogram95.cumulative_counts

    assert (p50, p95) == (("acme", "go", "p50", "7d"), ("acme", "go", "p95", "7d"))
    assert [counts50[bucket_index[bound]] for bound in (0.1, 0.15, 0.2, math.inf)] == [0, 1, 2, 2]
    assert [counts95[bucket_index[bound]] for bound in (0.2, 0.3, 5.0, math.inf)] == [0, 1, 1, 2]
    assert histogram50.sum == pytest.approx(0.3000001)
    assert values_by_labels(snapshot_families, catalogue.TEMPLATE_USERS_WITHOUT_LATENCY) == {
        ("acme", "go", "7d"): 2
    }


# Parameters ----------------------------------------------------------------------------------------------

REGION = ParameterUsage(
    "region",
    "string",
    "Region",
    {"eu": 4, "mars": 1, "moon": 2, "": 3},
    (ParameterOption("eu", "Europe"), ParameterOption("us", "America")),
)


def served_counts(parameter: ParameterUsage, *, free_text: bool = False) -> dict[str, float]:
    """Return workspaces by served parameter value."""
    snapshot_families = families_of(go_snapshot(parameters=[parameter]), free_text=free_text)
    rows = values_by_labels(snapshot_families, catalogue.TEMPLATE_PARAMETER_WORKSPACES)
    return {labels[4]: number for labels, number in rows.items()}


def test_declared_options_start_at_zero_and_other_values_are_folded() -> None:
    assert served_counts(REGION) == {"eu": 4, "us": 0, catalogue.OTHER: 3, "": 3}


def test_free_text_is_served_when_enabled() -> None:
    assert served_counts(REGION, free_text=True) == {"eu": 4, "us": 0, "mars": 1, "moon": 2, "": 3}


def test_booleans_and_declared_multi_select_are_not_free_text() -> None:
    multi_select = ParameterUsage(
        "ides",
        "list(string)",
        "",
        {'["go","py"]': 2, '["go","my secret"]': 1},
        (ParameterOption("go"), ParameterOption("py")),
    )

    assert served_counts(ParameterUsage("gpu", "bool", "", {"true": 2, "maybe": 1})) == {
        "true": 2,
        catalogue.OTHER: 1,
    }
    assert served_counts(multi_select) == {"go": 0, "py": 0, '["go","py"]': 2, catalogue.OTHER: 1}


def test_duplicate_parameter_counts_are_merged() -> None:
    duplicate = ParameterUsage("region", "string", "Old name", {"eu": 1})
    snapshot_families = families_of(go_snapshot(parameters=[REGION, duplicate]), free_text=True)
    rows = values_by_labels(snapshot_families, catalogue.TEMPLATE_PARAMETER_WORKSPACES)

    assert rows[("acme", "go", "region", "string", "eu", "7d")] == 5


def test_every_parameter_value_has_an_info_series() -> None:
    snapshot_families = families_of(rich_snapshot())
    info_keys = {labels[:5] for labels in values_by_labels(snapshot_families, catalogue.PARAMETER_INFO)}
    count_keys = {
        labels[:5] for labels in values_by_labels(snapshot_families, catalogue.TEMPLATE_PARAMETER_WORKSPACES)
    }

    assert count_keys
    assert count_keys <= info_keys
    assert len(info_keys) == len(values_by_labels(snapshot_families, catalogue.PARAMETER_INFO))


def test_parameter_info_has_declared_and_default() -> None:
    infos = {
        labels[4]: labels[5:]
        for labels in values_by_labels(families_of(rich_snapshot()), catalogue.PARAMETER_INFO)
        if labels[:3] == ("acme", "go", "region")
    }

    assert infos == {
        "eu": ("Region", "Europe", "/emojis/1f1ea-1f1fa.png", "true", "true"),
        "us": ("Region", "United States", "/emojis/1f1fa-1f1f8.png", "true", "false"),
        "sydney": ("Region", "Sydney", "/emojis/1f1e6-1f1fa.png", "true", "false"),
    }


# Bad values ----------------------------------------------------------------------------------------------


def test_truncation_collisions_are_summed_when_summable() -> None:
    snapshot = go_snapshot(activity={"a" * 200: 60.0, "a" * 300: 30.0})

    assert values_by_labels(families_of(snapshot), catalogue.USER_ACTIVITY_WINDOW) == {
        ("acme", "go", "a" * 128, "7d"): 90.0
    }


def test_truncation_collisions_keep_the_first_when_not_summable() -> None:
    rows = [UserLatency("a" * 200, 0.1, 0.2), UserLatency("a" * 300, 0.3, 0.4)]
    snapshot = go_snapshot(latency=Latency.from_rows(rows))
    snapshot_families = families_of(snapshot)

    assert values_by_labels(snapshot_families, catalogue.USER_LATENCY_P50) == {
        ("acme", "go", "a" * 128, "7d"): 0.1
    }
    assert snapshot_families.folded[catalogue.USER_LATENCY_P50.name] == 1


@pytest.mark.parametrize("form", Format)
def test_malformed_names_do_not_break_the_exposition(form: Format) -> None:
    name = 'x"\\\n\x00\ud800🦆' * 2000
    key = TemplateKey(name, name)
    snapshot = replace(
        snapshot_of(
            TemplateUsage(
                key,
                windows=[
                    window_usage(
                        activity={name: 1.0},
                        apps=[AppUsage(name, name, 1.0, 1), AppUsage(name, name, 2.0, 2)],
                        parameters=[ParameterUsage(name, name, name, {name: 1})],
                    )
                ],
            ),
            TemplateUsage(key, days=[1]),
            TemplateUsage(key, days=[2]),
        ),
        inventory=Timestamped(
            Inventory([Template("1", key), Template("2", key)], [], [User(name, name), User(name, name)]),
            NOW,
        ),
    )
    body = encode_exposition(families_of(snapshot, free_text=True).samples, form)

    assert parse_series(body, form)


def test_limit_zero_disables_a_family() -> None:
    name = catalogue.USER_ACTIVITY.name
    snapshot_families = families_of(rich_snapshot(), limits=LimitSettings(families={name: 0}))

    assert name not in snapshot_families.series
    assert catalogue.USER_ACTIVITY not in {samples.family for samples in snapshot_families.samples}


def test_family_limit_affects_only_that_family() -> None:
    name = catalogue.USER_ACTIVITY_WINDOW.name
    unlimited = families_of(rich_snapshot())
    limited = families_of(rich_snapshot(), limits=LimitSettings(families={name: 100}))

    assert limited.series[name] == 100
    assert sum(values_by_labels(limited, catalogue.USER_ACTIVITY_WINDOW).values()) == sum(
        values_by_labels(unlimited, catalogue.USER_ACTIVITY_WINDOW).values()
    )
    assert {key for key, count in limited.folded.items() if count} == {name}


def test_pending_totals_name_templates_and_reasons() -> None:
    """The deployment, without label values, is always present: 1 while its totals wait."""
    complete = families_of(snapshot_of())
    insights = Insights(
        TemplateUsage(None), pending_totals={None: "incomplete", GO: "warming_up"}, warm_up_ratio=0.5
    )
    warming_up = families_of(Snapshot(NOW, insights=Timestamped(insights, NOW)))

    assert values_by_labels(complete, catalogue.TOTALS_PENDING) == {("", "", ""): 0.0}
    assert values_by_labels(complete, catalogue.WARM_UP_RATIO) == {(): 1.0}
    assert values_by_labels(warming_up, catalogue.TOTALS_PENDING) == {
        ("", "", "incomplete"): 1.0,
        (*GO, "warming_up"): 1.0,
    }
    assert values_by_labels(warming_up, catalogue.WARM_UP_RATIO) == {(): 0.5}


def test_postponed_requests_and_oldest_data_of_windows_are_exported() -> None:
    insights = Insights(
        TemplateUsage(None),
        postponed_requests=12,
        windows_updated_at={"today": NOW - timedelta(minutes=15), "7d": NOW - timedelta(hours=1)},
    )
    families = families_of(Snapshot(NOW, insights=Timestamped(insights, NOW)))

    assert values_by_labels(families, catalogue.POSTPONED_REQUESTS) == {(): 12}
    assert values_by_labels(families, catalogue.WINDOW_UPDATED) == {
        ("today",): NOW.timestamp() - 900,
        ("7d",): NOW.timestamp() - 3600,
    }
