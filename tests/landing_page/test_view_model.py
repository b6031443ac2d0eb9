"""Data of the landing page: privacy, order and fallbacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from insights_exporter.landing_page.renderer import split_templates
from insights_exporter.landing_page.view_model import build_page_model
from insights_exporter.snapshot import TemplateUsage, Timestamped
from tests.landing_page.fakes import NOW, fake_snapshot, view_options


@pytest.mark.parametrize(("show_free_text", "repository"), [(False, (0, 18)), (True, (9, 0))])
def test_free_text_values_are_hidden_by_default(*, show_free_text: bool, repository: tuple[int, int]) -> None:
    options = view_options(show_free_text=show_free_text)

    parameters = build_page_model(fake_snapshot(1), options).templates[0].parameters

    assert {
        parameter.label.text: (len(parameter.counts), parameter.hidden_count) for parameter in parameters
    } == {"Machine size": (3, 0), "GPU": (2, 0), "Repository": repository}


def test_deployment_latency_falls_back_to_worst_per_user() -> None:
    source_snapshot = fake_snapshot(3)
    assert source_snapshot.insights is not None
    insights = source_snapshot.insights.value
    without_latency = replace(insights, deployment=TemplateUsage(None, (), (1,)))

    deployment = build_page_model(
        replace(source_snapshot, insights=Timestamped(without_latency, NOW)), view_options()
    ).deployment

    users = {user for usage in insights.templates for user in usage.windows[0].latency.p50}
    assert deployment is not None
    assert sum(deployment.latency_bands.values()) == len(users)


def test_templates_are_sorted_by_users() -> None:
    users = [template.users or 0 for template in build_page_model(fake_snapshot(8), view_options()).templates]

    assert len(users) == 8
    assert users == sorted(users, reverse=True)


def test_twenty_templates_are_expanded() -> None:
    templates = build_page_model(fake_snapshot(30), view_options()).templates

    expanded, others = split_templates(templates)

    assert (len(expanded), len(others)) == (20, 10)
    assert [*expanded, *others] == list(templates)


def test_names_are_cut_at_the_label_value_length() -> None:
    """The page cuts names at the setting ``limits.label_value_length``, as metrics do."""
    model = build_page_model(fake_snapshot(1, hostile="W" * 300), view_options(max_name_length=40))
    template = model.templates[0]
    names = [
        model.version,
        template.title,
        template.organization,
        template.template_name,
        *(row.name for row in template.apps),
        *(row.user for row in template.user_latency),
        *(user for user, _ in template.user_activity),
        *(parameter.label for parameter in template.parameters),
    ]

    assert {name.text for name in names if name is not None} == {"W" * 40 + "…"}


def test_prebuilt_workspaces_are_not_counted() -> None:
    snapshot = fake_snapshot()
    assert snapshot.inventory is not None
    inventory = snapshot.inventory.value
    prebuilt = [structs.replace(workspace, is_prebuild=True) for workspace in inventory.workspaces]
    with_prebuilt = replace(inventory, workspaces=[*inventory.workspaces, *prebuilt])
    expected, model = (
        build_page_model(replace(snapshot, inventory=Timestamped(value, NOW)), view_options())
        for value in (inventory, with_prebuilt)
    )

    assert model.workspace_totals == expected.workspace_totals is not None
    assert [template.workspaces for template in model.templates] == [
        template.workspaces for template in expected.templates
    ]


def test_seats_are_those_of_the_licence() -> None:
    """Coder decides which accounts take a seat."""
    snapshot = fake_snapshot()
    assert snapshot.deployment is not None
    deployment = replace(snapshot.deployment.value, users={"active": 99})
    model = build_page_model(replace(snapshot, deployment=Timestamped(deployment, NOW)), view_options())

    assert (model.seats_used, model.seats) == (83, 100)
