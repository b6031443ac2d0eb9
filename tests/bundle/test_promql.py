"""Queries that replicas cannot double and that add up only what adds up."""

from __future__ import annotations

import pytest

from insights_exporter.bundle.promql import TARGET_MATCHERS, QueryBuilder, regex, share
from insights_exporter.metrics import catalogue

QUERY = QueryBuilder(('job="coder-insights"',))


def test_replicas_are_deduplicated() -> None:
    query = QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="7d")

    expected = (
        "max by (job, organization_name, template_name) "
        '(coder_insights_template_unique_users{job="coder-insights", window="7d"})'
    )
    assert expected == str(query)


def test_a_regex_matcher_keeps_its_label() -> None:
    query = QUERY.latest(catalogue.USERS, status=regex("active|dormant"))

    assert query.labels == ("job", "status")
    assert 'status=~"active|dormant"' in query.text


def test_rate_is_taken_before_deduplication() -> None:
    query = QUERY.increase(catalogue.TEMPLATE_USAGE, "1d")

    assert query.text.startswith("max by (job, organization_name, template_name) (increase(")


def test_a_sum_over_distinct_users_is_rejected() -> None:
    query = QUERY.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="7d")

    with pytest.raises(ValueError, match="no sum over organization_name, template_name"):
        query.sum()


def test_a_sum_over_summable_labels() -> None:
    query = QUERY.latest(catalogue.TEMPLATE_USAGE_WINDOW, window="7d").sum("organization_name")

    assert query.text.startswith("sum by (organization_name) (max by (job, ")
    assert query.labels == ("organization_name",)


def test_a_regex_matcher_can_exclude_a_value() -> None:
    query = QUERY.selector(catalogue.USER_INFO, username=regex("a.*").excluding("_other"))

    assert 'username=~"a.*", username!="_other"' in query


def test_an_unknown_label_is_rejected() -> None:
    with pytest.raises(ValueError, match="found username"):
        QUERY.latest(catalogue.TEMPLATE_USAGE, username="ada")


def test_buckets_need_a_histogram() -> None:
    with pytest.raises(ValueError, match="a histogram"):
        QUERY.buckets(catalogue.TEMPLATE_USAGE)


def test_join_info_deduplicates_the_info_series() -> None:
    users = QUERY.latest(catalogue.USER_LATENCY_P50, window="7d").max("job", "username")

    joined_expr = users.join_info(QUERY.latest(catalogue.USER_INFO), "display_name")

    assert "group_left (display_name) topk by (job, username) (1, " in joined_expr.text
    assert joined_expr.labels == ("job", "username", "display_name")


def test_a_share_of_zero_is_absent() -> None:
    assert share("a", "b") == "a / (b > 0)"


def test_target_matchers_use_the_dashboard_variables() -> None:
    assert TARGET_MATCHERS == ('job=~"$job"', 'instance=~"$instance"')


def test_and_on_and_unless_on() -> None:
    users = QUERY.latest(catalogue.USER_LAST_SEEN).max("username")
    active = QUERY.latest(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d").max("username")

    assert f"({users} and on (username) {active})" == str(users.and_on(active, "username"))
    assert f"({users} unless on (username) {active})" == str(users.unless_on(active, "username"))


def test_the_largest_series_of_a_group_include_ties() -> None:
    by_app = QUERY.latest(catalogue.USER_LATENCY_P50, window="7d")

    assert str(by_app.largest("username")) == (
        f"({by_app} == on (username) group_left () max by (username) ({by_app}))"
    )
    assert by_app.largest("username").labels == by_app.labels


def test_or_else() -> None:
    time, users = (
        QUERY.latest(family, window="7d").max()
        for family in (catalogue.TEMPLATE_USAGE_WINDOW, catalogue.TEMPLATE_UNIQUE_USERS)
    )

    assert f"({time} or ({users} unless on () {time}))" == str(time.or_else(users))


def test_a_range_can_have_an_offset() -> None:
    query = QUERY.increase(catalogue.TEMPLATE_USAGE, "7d offset 7d")

    assert (
        '(increase(coder_insights_template_usage_seconds_total{job="coder-insights"}[7d] offset 7d))'
        in str(query)
    )


def test_only_self_metrics_are_summable_over_instance() -> None:
    replicas = QueryBuilder(QUERY.matchers, ("job", "instance"))

    assert replicas.increase(catalogue.POLLS, "1h").sum("result").labels == ("result",)
    with pytest.raises(ValueError, match="no sum over instance"):
        replicas.increase(catalogue.TEMPLATE_USAGE, "1h").sum()
