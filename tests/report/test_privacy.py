"""Privacy rules of a report: usernames, filters, free text and the minimum group size."""

from __future__ import annotations

import pytest

from insights_exporter.config.settings import (
    FilterSettings,
    NameFilter,
    PrivacySettings,
    UsernameMode,
)
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.report import Report
from insights_exporter.report.output import render_json
from insights_exporter.report.renderer import render_html
from insights_exporter.report.tables import render_csv_files
from insights_exporter.simulator.api.accounts import Account
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.generated_world import Size
from tests.report.report_harness import HASH_KEY, create, deployment_of, report_settings

ORGANIZATION_TOKEN = "orgauditor-demotokendemotokendemo"
MINIMUM = 5


@pytest.fixture(scope="module")
def deployment() -> SimulatedDeployment:
    return deployment_of(Size(templates=6, users=24))


def outputs(report: Report) -> str:
    """Return every format of a report as one text."""
    tables = b"".join(render_csv_files(report).values())
    return render_html(report) + (render_json(report) + tables).decode()


def usernames(deployment: SimulatedDeployment) -> set[str]:
    return {user.username for user in deployment.world.users}


async def test_named_users_are_shown(deployment: SimulatedDeployment) -> None:
    report = await create(deployment)

    assert {row.user for row in report.users} <= usernames(deployment)
    assert report.users[0].usage_seconds == max(row.usage_seconds for row in report.users)
    assert report.users[0].user in render_html(report)


async def test_hashed_users_have_the_hashes_of_the_exporter(deployment: SimulatedDeployment) -> None:
    privacy = PrivacySettings(users=UsernameMode.HASHED, hash_key=HASH_KEY)
    named = await create(deployment)
    report = await create(deployment, settings=report_settings(privacy=privacy))
    policy = UsernamePolicy(UsernameMode.HASHED, HASH_KEY.read().reveal().encode())

    assert {row.user for row in report.users} == {policy.pseudonymize(row.user) for row in named.users}
    assert set(report.idle_accounts) == {policy.pseudonymize(user) for user in named.idle_accounts}
    text = outputs(report)
    assert not [name for name in usernames(deployment) if f">{name}<" in text or f'"{name}"' in text]


async def test_hidden_users_are_in_no_output(deployment: SimulatedDeployment) -> None:
    named = await create(deployment)
    report = await create(
        deployment, settings=report_settings(privacy=PrivacySettings(users=UsernameMode.OFF))
    )

    assert report.users == ()
    assert report.idle_accounts == ()
    assert report.summary == named.summary
    text = outputs(report)
    assert not [name for name in usernames(deployment) if f">{name}<" in text or f'"{name}"' in text]
    assert "Usernames are hidden by the privacy settings." in text


async def test_filtered_users_count_in_sums_only(deployment: SimulatedDeployment) -> None:
    everybody = await create(deployment)
    hidden = everybody.users[0].user
    filters = FilterSettings(users=NameFilter(deny=(hidden,)))
    report = await create(deployment, settings=report_settings(filters=filters))

    assert report.summary.active_users == everybody.summary.active_users
    assert report.summary.usage_seconds == everybody.summary.usage_seconds
    assert [row.user for row in report.users] == [row.user for row in everybody.users[1:]]
    assert f">{hidden}<" not in render_html(report)
    assert report.notes == ("Filters leave out templates or users. Totals of the deployment contain them.",)


async def test_filtered_templates_cost_no_request_and_count_in_totals_only(
    deployment: SimulatedDeployment,
) -> None:
    everything = await create(deployment)
    hidden = everything.templates[0]
    pattern = f"{hidden.organization}/{hidden.template}"
    deployment.request_counts.clear()
    report = await create(
        deployment,
        settings=report_settings(filters=FilterSettings(templates=NameFilter(deny=(pattern,)))),
    )

    assert report.summary.active_users == everything.summary.active_users
    assert [(row.organization, row.template) for row in report.templates] == [
        (row.organization, row.template) for row in everything.templates[1:]
    ]
    shown = {row.organization: row.usage_seconds.value for row in report.organizations}
    before = {row.organization: row.usage_seconds.value or 0 for row in everything.organizations}
    hidden_seconds = hidden.usage_seconds.value or 0
    assert shown[hidden.organization] == before[hidden.organization] - hidden_seconds
    requests = deployment.request_counts["/templateversions/{id}/rich-parameters"]
    assert requests == len(everything.templates) - 1


async def test_free_text_of_parameters_is_shown_only_by_choice(deployment: SimulatedDeployment) -> None:
    by_default = await create(deployment)
    by_choice = await create(
        deployment, settings=report_settings(privacy=PrivacySettings(parameter_free_text=True))
    )

    def values(report: Report) -> set[str | None]:
        rows = (row for row in report.parameters if row.parameter == "dotfiles")
        return {value.value for row in rows for value in row.values}

    assert values(by_default) == {None, ""}
    assert None not in values(by_choice)
    assert values(by_choice) > {""}


# Minimum group size


async def minimum_report(deployment: SimulatedDeployment) -> Report:
    privacy = PrivacySettings(users=UsernameMode.OFF, min_group_size=MINIMUM)
    return await create(deployment, settings=report_settings(privacy=privacy))


def people_of(report: Report) -> list[float | None]:
    """Return every number of people in a report."""
    summary = report.summary
    measures = [
        summary.active_users,
        summary.new_users,
        *(row.active_users for row in report.templates),
        *(row.active_users for row in report.organizations),
    ]
    counts: list[float | None] = [count for one in measures for count in (one.value, one.previous)]
    counts += [row.active_users for row in report.days]
    counts += [row.active_users for row in report.weeks]
    bands = [report.latency, *(row.latency for row in report.templates)]
    counts += [count for one in bands for count in (one.good, one.fair, one.slow, one.unmeasured)]
    return [*counts, summary.lost_users, summary.idle_accounts]


async def test_no_number_describes_fewer_people_than_the_minimum(deployment: SimulatedDeployment) -> None:
    exact = await create(deployment)
    report = await minimum_report(deployment)

    assert any(0 < (count or 0) < MINIMUM for count in people_of(exact))
    assert not [count for count in people_of(report) if count is not None and 0 < count < MINIMUM]
    assert any(count for count in people_of(report))
    assert report.privacy.min_group_size == MINIMUM
    assert (
        f"Numbers about fewer than {MINIMUM} people are withheld, and others from which they would follow."
        in report.notes
    )


async def test_withheld_templates_do_not_follow_from_totals(deployment: SimulatedDeployment) -> None:
    exact = {(row.organization, row.template): row for row in (await create(deployment)).templates}
    report = await minimum_report(deployment)
    withheld = [row for row in report.templates if row.active_users.value is None]

    assert withheld
    for row in withheld:
        assert row.usage_seconds.value is None
        assert row.apps == ()
    people = sum(exact[row.organization, row.template].active_users.value or 0 for row in withheld)
    assert people >= MINIMUM or report.summary.active_users.value is None
    organizations = {row.organization for row in withheld}
    for organization in report.organizations:
        if organization.organization in organizations:
            assert organization.active_users.value is None
            assert organization.usage_seconds.value is None


async def test_withheld_numbers_are_dashes(deployment: SimulatedDeployment) -> None:
    report = await minimum_report(deployment)
    html, tables = render_html(report), render_csv_files(report)
    name = next(row.template for row in report.templates if row.usage_seconds.value is None)

    assert "Sum of the templates" not in html
    assert "None" not in html
    row = next(line for line in tables["templates.csv"].decode().splitlines() if f",{name}," in line)
    assert ",,," in row


# Accounts with fewer permissions


async def test_account_of_one_organization_reports_that_organization() -> None:
    deployment = deployment_of(Size(templates=6, users=24))
    organization = deployment.world.templates[0].organization.name
    deployment.accounts.add(
        Account(
            token=ORGANIZATION_TOKEN,
            user="orgauditor",
            roles=frozenset({"member"}),
            organization_roles={organization: frozenset({"organization-auditor"})},
        )
    )
    whole = await create(deployment)
    report = await create(deployment, settings=report_settings(token=ORGANIZATION_TOKEN))
    expected = next(row for row in whole.organizations if row.organization == organization)

    assert report.source.organizations == (organization,)
    assert report.summary.active_users.value == expected.active_users.value
    assert report.summary.usage_seconds.value
    assert report.summary.usage_seconds.value <= (expected.usage_seconds.value or 0)
    assert {row.organization for row in report.templates} == {organization}
    assert report.summary.idle_accounts is None
    assert report.notes == (
        f"The account can read these organizations only: {organization}. All numbers are theirs.",
        "The token cannot list accounts: accounts without usage are unknown.",
    )
