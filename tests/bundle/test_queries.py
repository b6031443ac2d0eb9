"""Queries that replicas cannot double and that add up only what adds up."""

from __future__ import annotations

import pytest

from insights_exporter.bundle.queries import HOUSE, Scope, like, share
from insights_exporter.metrics import catalogue

SCOPE = Scope(('job="coder-insights"',))


def test_each_series_is_kept_once_however_many_replicas_serve_it() -> None:
    query = SCOPE.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="7d")

    expected = (
        "max by (job, organization_name, template_name) "
        '(coder_insights_template_unique_users{job="coder-insights", window="7d"})'
    )
    assert expected == str(query)


def test_a_pattern_leaves_its_label_in_the_result() -> None:
    query = SCOPE.latest(catalogue.USERS, status=like("active|dormant"))

    assert query.labels == ("job", "status")
    assert 'status=~"active|dormant"' in query.text


def test_a_counter_is_turned_into_a_rate_before_replicas_are_joined() -> None:
    query = SCOPE.increase(catalogue.TEMPLATE_USAGE, "1d")

    assert query.text.startswith("max by (job, organization_name, template_name) (increase(")


def test_distinct_users_are_never_added_up() -> None:
    query = SCOPE.latest(catalogue.TEMPLATE_UNIQUE_USERS, window="7d")

    with pytest.raises(ValueError, match="no sum over organization_name, template_name"):
        query.sum()


def test_what_adds_up_is_added_up() -> None:
    query = SCOPE.latest(catalogue.TEMPLATE_USAGE_WINDOW, window="7d").sum("organization_name")

    assert query.text.startswith("sum by (organization_name) (max by (job, ")
    assert query.labels == ("organization_name",)


def test_a_pattern_may_leave_one_value_out() -> None:
    query = SCOPE.select(catalogue.USER_INFO, username=like("a.*").but("_other"))

    assert 'username=~"a.*", username!="_other"' in query


def test_a_label_that_the_family_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="found username"):
        SCOPE.latest(catalogue.TEMPLATE_USAGE, username="ada")


def test_only_histograms_have_buckets() -> None:
    with pytest.raises(ValueError, match="a histogram"):
        SCOPE.buckets(catalogue.TEMPLATE_USAGE)


def test_a_name_comes_from_one_info_even_where_replicas_disagree() -> None:
    users = SCOPE.latest(catalogue.USER_LATENCY_P50, window="7d").max("job", "username")

    named = users.named(SCOPE.latest(catalogue.USER_INFO), "display_name")

    assert "group_left (display_name) topk by (job, username) (1, " in named.text
    assert named.labels == ("job", "username", "display_name")


def test_a_share_of_nothing_is_absent() -> None:
    assert share("a", "b") == "a / (b > 0)"


def test_the_house_matchers_are_the_variables_of_every_dashboard() -> None:
    assert HOUSE == ('job=~"$job"', 'instance=~"$instance"')


def test_what_another_query_has_is_kept_or_left_out() -> None:
    users = SCOPE.latest(catalogue.USER_LAST_SEEN).max("username")
    active = SCOPE.latest(catalogue.DEPLOYMENT_USER_ACTIVITY_WINDOW, window="30d").max("username")

    assert f"({users} and on (username) {active})" == str(users.having(active, "username"))
    assert f"({users} unless on (username) {active})" == str(users.lacking(active, "username"))


def test_another_expression_stands_in_where_there_is_nothing() -> None:
    time, users = (
        SCOPE.latest(family, window="7d").max()
        for family in (catalogue.TEMPLATE_USAGE_WINDOW, catalogue.TEMPLATE_UNIQUE_USERS)
    )

    assert f"({time} or ({users} unless on () {time}))" == str(time.otherwise(users))


def test_a_range_may_end_earlier() -> None:
    query = SCOPE.increase(catalogue.TEMPLATE_USAGE, "7d offset 7d")

    assert (
        '(increase(coder_insights_template_usage_seconds_total{job="coder-insights"}[7d] offset 7d))'
        in str(query)
    )


def test_replicas_add_up_only_in_what_they_tell_of_themselves() -> None:
    replicas = Scope(SCOPE.matchers, ("job", "instance"))

    assert replicas.increase(catalogue.POLLS, "1h").sum("result").labels == ("result",)
    with pytest.raises(ValueError, match="no sum over instance"):
        replicas.increase(catalogue.TEMPLATE_USAGE, "1h").sum()
