"""Routes of organizations, templates and parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.api_client import api_client, simulated_deployment


async def test_templates_are_sorted_by_owner_count_then_name() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates")
        deprecated = await client("/templates", {"q": "deprecated:true"})
    ranks = [(-template["active_user_count"], template["name"], template["id"]) for template in response.body]

    assert ranks == sorted(ranks)
    # The deprecated template has no workspaces.
    assert [template["active_user_count"] for template in deprecated.body] == [-1]


async def test_two_organizations_share_a_template_name() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates", {"q": "exact_name:go-dev"})

    assert {(template["organization_name"], template["name"]) for template in response.body} == {
        ("acme", "go-dev"),
        ("research", "go-dev"),
    }


async def test_deprecated_and_deleted_templates_require_a_filter() -> None:
    deployment = simulated_deployment()
    deprecated = next(template for template in deployment.world.templates if template.deprecation_message)
    deleted = deployment.world.templates[0]
    deployment.deleted_template_ids |= {deleted.id}
    deprecated_and_deleted = replace(deprecated, id=deprecated.id[:-1] + "f", deleted=True)
    deployment.world.templates = (*deployment.world.templates, deprecated_and_deleted)
    queries = ("", "deprecated:true", "deleted:true", "deleted:true deprecated:true")
    async with api_client(deployment) as client:
        ids_by_query = [
            {template["id"] for template in (await client("/templates", {"q": q})).body} for q in queries
        ]
        hidden = await client(f"/templates/{deleted.id}")

    assert ids_by_query[1:] == [{deprecated.id}, {deleted.id}, {deprecated_and_deleted.id}]
    assert not ids_by_query[0] & {deprecated.id, deleted.id, deprecated_and_deleted.id}
    assert hidden.status == 404


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("go", {"go-dev"}),
        ("name:dev organization:acme", {"go-dev"}),
        ("organization:platform", {"frontend"}),
        ('exact_name:"go-dev" organization:research', {"go-dev"}),
        ('unbalanced"', set()),
    ],
)
async def test_templates_can_be_searched(query: str, names: set[str]) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates", {"q": query})

    assert {template["name"] for template in response.body} == names


async def test_older_versions_list_deprecated_templates() -> None:
    async with api_client(simulated_deployment(version="v2.22.0")) as client:
        response = await client("/templates")

    assert sum(template["deprecated"] for template in response.body) == 1


@pytest.mark.parametrize(
    ("text", "detail"),
    [("nonsense10", "invalid UUID length: 10"), ("x" * 36, "invalid UUID format")],
)
async def test_invalid_template_id_is_rejected(text: str, detail: str) -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client(f"/templates/{text}")

    assert response.error == (400, f'Invalid UUID "{text}".', detail)
    assert "validations" not in response.body


async def test_unknown_search_key_is_rejected() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates", {"q": "nonsense:1"})

    assert response.error == (400, "Invalid template search query.", "")


async def test_percentile_keys_are_upper_case() -> None:
    async with api_client(simulated_deployment()) as client:
        response = await client("/templates")
        stats = await client("/deployment/stats")

    assert response.body[0]["build_time_stats"].keys() == {"start", "stop", "delete"}
    assert response.body[0]["build_time_stats"]["start"].keys() == {"P50", "P95"}
    assert response.body[0]["build_time_stats"]["delete"] == {"P50": None, "P95": None}
    assert stats.body["workspaces"]["connection_latency_ms"].keys() == {"P50", "P95"}


@pytest.mark.parametrize(
    ("version", "present"),
    [
        ("v2.13.0", set()),
        ("v2.14.0", {"organization_name"}),
        ("v2.31.0", {"organization_name", "deleted"}),
    ],
)
async def test_fields_depend_on_version(version: str, present: set[str]) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        response = await client("/templates")

    assert response.body[0].keys() & {"organization_name", "deleted"} == present


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("v2.12.0", {"/templates", "/organizations", "/insights/user-status-counts"}),
        ("v2.13.0", {"/organizations", "/insights/user-status-counts"}),
        ("v2.18.0", {"/insights/user-status-counts"}),
        ("v2.19.0", set()),
    ],
)
async def test_routes_depend_on_version(version: str, missing: set[str]) -> None:
    routes = ("/templates", "/organizations", "/insights/user-status-counts", "/users/me/organizations")
    async with api_client(simulated_deployment(version=version)) as client:
        responses = {route: await client(route) for route in routes}

    assert {route for route, response in responses.items() if response.status == 404} == missing
    assert all(responses[route].error == (404, "Route not found.", "") for route in missing)


async def test_unsupported_version_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"Expected a version from v2\.12\.0 on, found v2\.11\.4"):
        simulated_deployment(version="v2.11.4")


async def test_rich_parameters_list_options() -> None:
    deployment = simulated_deployment()
    async with api_client(deployment) as client:
        version = deployment.world.templates[0].version_id
        response = await client(f"/templateversions/{version}/rich-parameters")
        unknown = await client(f"/templateversions/{version[:-1]}f/rich-parameters")
    by_name = {item["name"]: item for item in response.body}

    assert [item["value"] for item in by_name["cpu"]["options"]] == ["4", "8", "16", "32"]
    assert by_name["dotfiles"]["options"] == []
    assert by_name["tools"]["type"] == "list(string)"
    assert unknown.status == 404


async def test_default_of_a_multi_select_is_a_json_list() -> None:
    deployment = simulated_deployment()
    version = deployment.world.templates[0].version_id
    async with api_client(deployment) as client:
        response = await client(f"/templateversions/{version}/rich-parameters")
    tools = next(item for item in response.body if item["name"] == "tools")

    assert (tools["form_type"], tools["default_value"]) == ("multi-select", '["docker"]')
    assert "docker" in [option["value"] for option in tools["options"]]


@pytest.mark.parametrize(("version", "has_roles"), [("v2.34.0", False), ("v2.35.0", True)])
async def test_default_member_roles_depend_on_version(version: str, *, has_roles: bool) -> None:
    async with api_client(simulated_deployment(version=version)) as client:
        organizations = (await client("/organizations")).body

    assert len(organizations) == 3
    assert all(("default_org_member_roles" in item) is has_roles for item in organizations)
