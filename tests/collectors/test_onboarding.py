"""Onboarding of new accounts, and accounts without use."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insights_exporter.collectors.onboarding import ONBOARDING_STAGES, observe_onboarding
from insights_exporter.snapshot import (
    Insights,
    Inventory,
    Onboarding,
    TemplateKey,
    TemplateUsage,
    Totals,
    User,
    WindowUsage,
    Workspace,
)

NOW = datetime(2026, 1, 31, 10, 20, tzinfo=UTC)
ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
KEY = TemplateKey("acme", "go")


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def account(
    name: str, *, created: float = 10, seen: float | None = 1, status: str = "active", service: bool = False
) -> User:
    last_seen = None if seen is None else ago(seen)
    return User(
        f"id-of-{name}",
        name,
        status=status,
        last_seen=last_seen,
        created_at=ago(created),
        is_service_account=service,
    )


def workspace(owner: str, last_used: float = 10, *, is_prebuild: bool = False) -> Workspace:
    return Workspace("w", "dev", owner, KEY, "stopped", last_used=ago(last_used), is_prebuild=is_prebuild)


def usage(*names: str, days: int = 30, totals: Iterable[str] = ()) -> Insights:
    """Return usage in a window of so many days; totals since the anchor have more users."""
    window = WindowUsage(f"{days}d", ago(days - 0.5), NOW, activity=dict.fromkeys(names, 60.0))
    users = dict.fromkeys((*names, *totals), 60.0)
    return Insights(TemplateUsage(None, [window], totals=Totals(ANCHOR, users=users)))


def observe(
    *users: User, workspaces: tuple[Workspace, ...] = (), insights: Insights | None = None
) -> Onboarding:
    onboarding = observe_onboarding(Inventory(workspaces=workspaces, users=users), insights, now=NOW)

    assert onboarding is not None
    return onboarding


def test_each_stage_includes_the_later_ones() -> None:
    users = (
        account("ada", seen=None, status="dormant"),
        account("bo"),
        account("cleo"),
        account("dan"),
        account("eve", created=31),
    )
    onboarding = observe(
        *users, workspaces=(workspace("cleo"), workspace("dan")), insights=usage("dan", "eve")
    )

    assert onboarding.stages == {
        "created": 4,
        "signed_in": 3,
        "created_workspace": 2,
        "used_workspace": 1,
    }


def test_use_of_a_deleted_workspace_counts() -> None:
    assert observe(account("ada"), insights=usage("ada")).stages["used_workspace"] == 1


def test_suspended_and_service_accounts_are_left_out() -> None:
    users = (account("ada", status="suspended", seen=None), account("bot", service=True, seen=None))

    assert observe_onboarding(Inventory(users=users), usage(), now=NOW) is None


def test_new_accounts_without_use_have_a_reason() -> None:
    users = (account("ada", seen=None, status="dormant"), account("bo"), account("cleo"), account("dan"))
    workspaces = (workspace("cleo"), workspace("bo", is_prebuild=True))
    onboarding = observe(*users, workspaces=workspaces, insights=usage("dan"))

    assert onboarding.inactive == {
        "never_signed_in": ("ada",),
        "no_workspace": ("bo",),
        "unused_workspace": ("cleo",),
        "stopped": (),
    }


def test_accounts_older_than_the_data_may_have_been_used() -> None:
    """Whether they used a workspace before the anchor is unknown. A missing sign-in is known."""
    users = (account("ada", created=400), account("bo", created=400, seen=None))
    inactive = observe(*users, insights=usage()).inactive

    assert inactive["never_signed_in"] == ("bo",)
    assert inactive["no_workspace"] == ()


@pytest.mark.parametrize(
    ("last_used", "has_stopped"), [((15.0,), True), ((13.0,), False), ((15.0, 2.0), False)], ids=str
)
def test_users_stop_when_no_workspace_was_used_for_two_weeks(
    last_used: tuple[float, ...], *, has_stopped: bool
) -> None:
    workspaces = tuple(workspace("ada", days) for days in last_used)
    # Opening the dashboard is no use of a workspace.
    inactive = observe(
        account("ada", created=400, seen=0), workspaces=workspaces, insights=usage("ada")
    ).inactive

    assert inactive["stopped"] == (("ada",) if has_stopped else ())


def test_without_workspaces_the_last_request_tells_when_a_user_stopped() -> None:
    users = (account("ada", created=400, seen=15), account("bo", created=400, seen=2))

    assert observe(*users, insights=usage("ada", "bo")).inactive["stopped"] == ("ada",)


def test_users_who_stopped_before_the_window_are_not_news() -> None:
    onboarding = observe(account("ada", created=400, seen=50), insights=usage(totals=["ada"]))

    assert onboarding.inactive["stopped"] == ()


def test_without_a_window_of_30_days_who_stopped_is_unknown() -> None:
    assert "stopped" not in observe(account("ada"), insights=usage("ada", days=7)).inactive


def test_without_usage_only_sign_ins_are_known() -> None:
    assert observe(account("ada"), account("bo", seen=None)) == Onboarding(
        {"created": 2, "signed_in": 1}, {"never_signed_in": ("bo",)}
    )


def test_without_a_list_of_users_nothing_is_known() -> None:
    assert observe_onboarding(Inventory(), usage("ada"), now=NOW) is None


@given(
    accounts=st.lists(
        st.builds(
            account,
            st.uuids().map(str),
            created=st.floats(0, 60),
            seen=st.none() | st.floats(0, 60),
            status=st.sampled_from(["active", "dormant", "suspended"]),
        ),
        max_size=8,
    ),
    data=st.data(),
)
def test_stages_never_grow_and_a_user_has_one_reason(accounts: list[User], data: st.DataObject) -> None:
    names = st.sampled_from([user.username for user in accounts]) if accounts else st.nothing()
    owners, used = data.draw(st.sets(names)), data.draw(st.sets(names))
    inventory = Inventory(workspaces=[workspace(owner) for owner in owners], users=accounts)
    onboarding = observe_onboarding(inventory, usage(*used), now=NOW)

    if onboarding is not None:
        counts = [onboarding.stages[stage] for stage in ONBOARDING_STAGES]
        listed = [name for reason_names in onboarding.inactive.values() for name in reason_names]
        assert counts == sorted(counts, reverse=True)
        assert len(listed) == len(set(listed))
