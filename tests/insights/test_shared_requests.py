"""Requests that several templates share: the numbers equal those of single requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.coder import models
from insights_exporter.insights.users import ActivityReport, group_templates, split_by_template
from tests.insights.harness import (
    NOT_FOUND,
    SERVER_ERROR,
    TODAY,
    InsightsHarness,
    fail_matching,
    usage_of,
    window,
)
from tests.support.scripted_coder import ApiCall, UsageEvent

TEMPLATES = ("go", "java", "php", "rust")
LARGE_DEPLOYMENT = 250

templates_by_user = st.dictionaries(
    st.sampled_from(("id-1", "id-2", "id-3", "id-4")), st.sets(st.sampled_from(TEMPLATES), min_size=1)
)


def activity_of(templates: Mapping[str, set[str]]) -> ActivityReport:
    users_by_template = {
        name: frozenset(user for user, names in templates.items() if name in names) for name in TEMPLATES
    }
    multi_template_users = frozenset(user for user, names in templates.items() if len(names) > 1)
    return ActivityReport(dict.fromkeys(templates, 60.0), users_by_template, multi_template_users)


def harness_with_shared_users() -> InsightsHarness:
    """Return a harness whose templates have a user each; "bob" and "cy" use two templates each."""
    harness = InsightsHarness(*TEMPLATES)
    for number, name in enumerate(TEMPLATES):
        harness.coder.add_usage(UsageEvent(name, f"user-of-{name}", TODAY, 60, latency=20 + number))
    for user, names in (("bob", ("go", "java")), ("cy", ("php", "rust"))):
        for number, name in enumerate(names):
            harness.coder.add_usage(UsageEvent(name, user, TODAY, 60 * (2 + number), latency=50 + number))
    return harness


def requests_of_today(harness: InsightsHarness, endpoint: str) -> list[str]:
    return [
        call.template
        for call in harness.coder.calls
        if call.endpoint == endpoint and call.template and call.start == TODAY
    ]


@given(templates=templates_by_user)
def test_templates_of_a_group_have_no_common_user(templates: Mapping[str, set[str]]) -> None:
    groups = group_templates(TEMPLATES, activity_of(templates))

    assert sorted(name for group in groups for name in group) == sorted(TEMPLATES)
    for group in groups:
        for names in templates.values():
            assert len(names & set(group)) <= 1


def test_groups_fit_into_a_url() -> None:
    """Proxies accept URLs of 8,000 characters; the id of a template takes 39."""
    groups = group_templates([f"t{number}" for number in range(LARGE_DEPLOYMENT)], ActivityReport())

    assert [len(group) for group in groups] == [100, 100, 50]


@given(templates=templates_by_user, names=st.lists(st.sampled_from(TEMPLATES), unique=True, min_size=1))
def test_split_leaves_out_templates_with_a_common_user(
    templates: Mapping[str, set[str]], names: Sequence[str]
) -> None:
    rows = [
        models.UserActivity(user, 60, user, sorted(used & set(names)))
        for user, used in templates.items()
        if used & set(names)
    ]
    split = split_by_template(rows, names)
    shared = {name for used in templates.values() if len(used & set(names)) > 1 for name in used}

    assert split.keys() == set(names) - shared
    for name, rows_of_template in split.items():
        assert [row.user_id for row in rows_of_template] == [
            user for user, used in templates.items() if name in used
        ]


async def test_templates_without_a_common_user_share_requests() -> None:
    harness = harness_with_shared_users()
    await harness.poll()

    for endpoint in ("activity", "latency"):
        requests = requests_of_today(harness, endpoint)
        assert len(requests) == 2
        assert sorted(name for request in requests for name in request.split(",")) == sorted(TEMPLATES)


async def test_shared_requests_return_the_numbers_of_single_ones() -> None:
    """An account for single templates sends a request for each."""
    shared, single = harness_with_shared_users(), harness_with_shared_users()
    single.coder.error_for = lambda call: None if call.template else NOT_FOUND
    shared_insights, single_insights = await shared.poll(), await single.poll()

    assert len(requests_of_today(shared, "latency")) < len(requests_of_today(single, "latency"))
    for name in TEMPLATES:
        one, other = (
            window(usage_of(insights, name), "today") for insights in (shared_insights, single_insights)
        )
        assert (one.activity, one.latency, one.seconds) == (other.activity, other.latency, other.seconds)


async def test_user_who_joins_a_second_template_is_counted_in_both() -> None:
    """The deployment's activity was read before; then the group's response cannot be split."""
    harness = harness_with_shared_users()
    joined: list[str] = []

    def join(call: ApiCall) -> None:
        if call.endpoint == "activity" and call.template and not joined:
            [name] = {"go", "java", "php", "rust"} & {call.template}
            joined.append(name)
            for other in TEMPLATES:
                harness.coder.add_usage(UsageEvent(other, "user-of-go", TODAY, 60, latency=20))

    harness.coder.error_for = join
    insights = await harness.poll()

    for name in TEMPLATES:
        today = window(usage_of(insights, name), "today")
        assert today.activity["user-of-go"] == (120 if name == "go" else 60)
        assert "user-of-go" in today.latency.users


async def test_failing_template_does_not_affect_the_others_of_its_group() -> None:
    harness = harness_with_shared_users()
    harness.coder.error_for = fail_matching(SERVER_ERROR, endpoint="latency", template="go")
    insights = await harness.poll()

    assert [one.window for one in usage_of(insights, "go").windows] == ["yesterday"]
    assert all(len(usage_of(insights, name).windows) == 4 for name in TEMPLATES[1:])
    assert insights.pending_totals == {}


async def test_invalid_row_affects_its_template_only() -> None:
    harness = harness_with_shared_users()
    harness.coder.has_invalid_row = lambda call: (call.endpoint, call.template) == ("activity", "go")
    insights = await harness.poll()

    assert {key.template_name for key in insights.pending_totals if key} == {"go"}
    assert window(usage_of(insights, "java"), "today").activity == {"user-of-java": 60, "bob": 180}


async def test_template_with_own_users_needs_no_request_for_activity() -> None:
    """The deployment's activity contains that of the template."""
    harness = InsightsHarness("go")
    harness.coder.add_usage(UsageEvent("go", "ada", TODAY + timedelta(hours=1), 60, latency=20))
    await harness.poll()

    assert requests_of_today(harness, "activity") == []
    assert requests_of_today(harness, "latency") == ["go"]
