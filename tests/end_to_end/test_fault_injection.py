"""Faults of Coder's API: the exposition stays valid and complete, and counters never decrease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.config.settings import InsightsSettings, PollSettings, Settings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from insights_exporter.simulator.api import fault_injection
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Fault
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.options import ApiOptions
from tests.support.clock import FakeClock
from tests.support.exposition_parsing import parse_series, promtool_check
from tests.support.in_process_exporter import (
    CODER_SETTINGS,
    InProcessExporter,
    SeriesKey,
    in_process_exporter,
)
from tests.support.log_events import log_events

NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)
SETTINGS = Settings(coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "7d"), weeks=2))
ERRORS = "coder_insights_exporter_collector_errors_total"
DROPPED = "coder_insights_exporter_rows_dropped_total"
SELF_METRIC_PREFIXES = ("coder_insights_exporter_", "process_")

SampleValues = Mapping[SeriesKey, float]


def simulated_deployment() -> SimulatedDeployment:
    return demo_deployment(Size(4, 8), options=ApiOptions(rate_limit=0, user_limit=10))


def coder_samples(samples: SampleValues) -> dict[SeriesKey, float]:
    """Return the samples about Coder, without the self metrics."""
    return {
        (name, labels): value
        for (name, labels), value in samples.items()
        if not name.startswith(SELF_METRIC_PREFIXES)
    }


def select_samples(samples: SampleValues, name: str, **matchers: str) -> dict[SeriesKey, float]:
    """Return the series of a family that have these labels."""
    return {
        (sample_name, labels): value
        for (sample_name, labels), value in samples.items()
        if sample_name == name and set(matchers.items()) <= labels
    }


def check_exposition(exporter: InProcessExporter) -> None:
    """Assert that the exposition passes the strict parser and promtool."""
    text = exporter.exposition_body(Format.TEXT)

    assert parse_series(text, Format.TEXT)
    assert promtool_check(text) == ""


def check_retained(before: SampleValues, after: SampleValues) -> None:
    """Assert that no series is missing and no counter decreased."""
    assert any(name.endswith("_total") for name, _ in coder_samples(before))
    assert coder_samples(before).keys() <= coder_samples(after).keys()
    for key, value in coder_samples(before).items():
        if key[0].endswith("_total"):
            assert after[key] >= value, key


RESPONSE_FAULTS = {
    "down": ("*", fault_injection.DropConnection(), "unreachable"),
    "failing": ("*", fault_injection.Status(status=500), "server_error"),
    "proxy failing": ("*", fault_injection.Status(status=502, html=True), "server_error"),
    "login page": ("*", fault_injection.LoginPage(), "login_page"),
    "redirected": ("*", fault_injection.Redirect(), "redirect_refused"),
    "cut short": ("*", fault_injection.TruncateBody(kept_fraction=0.6), "bad_response"),
    "empty": ("*", fault_injection.TruncateBody(kept_fraction=0.0), "bad_response"),
    "foreign": ("*", fault_injection.UnrelatedJson(), "bad_response"),
    "deep": ("*", fault_injection.UnrelatedJson(body="[" * 100_000), "bad_response"),
    "too many requests": (
        "*",
        fault_injection.Status(status=429, headers={"Retry-After": "600"}),
        "rate_limited",
    ),
    "no report": (
        "/insights/user-activity",
        fault_injection.UnrelatedJson(body='{"report":null}'),
        "bad_response",
    ),
    "insights failing": ("/insights/templates", fault_injection.Status(status=500), "server_error"),
    "insights forbidden": (
        "/insights/*",
        fault_injection.Status(status=403, message="Forbidden."),
        "forbidden",
    ),
    "list for object": ("/insights/user-latency", fault_injection.UnrelatedJson(body="[]"), "bad_response"),
    "templates cut short": ("/templates", fault_injection.TruncateBody(), "bad_response"),
    "workspaces failing": ("/workspaces", fault_injection.Status(status=500), "server_error"),
    "number for permissions": ("/authcheck", fault_injection.UnrelatedJson(body="3"), "bad_response"),
}


@pytest.mark.parametrize(("endpoint", "fault", "reason"), RESPONSE_FAULTS.values(), ids=RESPONSE_FAULTS)
async def test_failed_request_keeps_last_data(
    endpoint: str, fault: Fault, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each poll counts the reason; the log contains it once while the fault lasts."""
    clock, deployment = FakeClock(NOW), simulated_deployment()
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        for path in expand_endpoint(endpoint):
            deployment.faults.inject(path, fault)
        clock.advance(300)
        first = await exporter.poll()
        logged_reasons = reasons(caplog)
        clock.advance(300)
        second = await exporter.poll()
        check_exposition(exporter)
        deployment.faults.clear()
        clock.advance(900)
        recovered = await exporter.poll()
    error_counts = [
        sum(select_samples(samples, ERRORS, reason=reason).values()) for samples in (before, first, second)
    ]

    assert error_counts[0] < error_counts[1] < error_counts[2]
    assert reason in logged_reasons
    # An error of the previous poll is not logged again.
    assert reasons(caplog) == logged_reasons
    for samples in (first, second, recovered):
        check_retained(before, samples)


def expand_endpoint(endpoint: str) -> list[str]:
    if not endpoint.endswith("/*"):
        return [endpoint]
    return [endpoint[:-1] + route for route in ("templates", "user-activity", "user-latency")]


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the reasons in the log, in order."""
    return [str(event["reason"]) for event in log_events(caplog) if "reason" in event]


ACCOUNT_CHANGES = {
    "revoked": ({"token": "insightsxp-9999999999999999999999"}, "token_invalid"),
    "expired": ({"expires_at": NOW}, "token_expired"),
    "suspended": ({"status": "suspended"}, "user_suspended"),
    "demoted": ({"roles": frozenset({"member"})}, "not_permitted"),
}


@pytest.mark.parametrize(("traits", "reason"), ACCOUNT_CHANGES.values(), ids=ACCOUNT_CHANGES)
async def test_lost_access_keeps_last_data(
    traits: Mapping[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, deployment = FakeClock(NOW - timedelta(minutes=5)), simulated_deployment()
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        deployment.accounts.update("exporter", **traits)
        clock.advance(300)
        after = await exporter.poll()
        check_exposition(exporter)

    assert sum(select_samples(after, ERRORS, reason=reason).values()) > 0
    assert reason in reasons(caplog)
    assert "insightsxp-" not in caplog.text
    if reason != "not_permitted":
        check_retained(before, after)
    # An account without permission gets empty lists, which is not an error.
    assert select_samples(before, "coder_insights_deployment_info").keys() <= after.keys()


async def test_slow_server_hits_deadline_and_keeps_exposition() -> None:
    """A reload shortens the deadline; the new poller continues with the state of the previous one."""
    clock, deployment = FakeClock(NOW), simulated_deployment()
    short_deadline = SETTINGS.model_copy(update={"poll": PollSettings(deadline=0.2)})
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        state = exporter.poller.state
    deployment.faults.inject("/insights/templates", fault_injection.Delay(seconds=30))
    clock.advance(300)
    async with in_process_exporter(deployment, clock, short_deadline, state=state) as exporter:
        after = await exporter.poll()

    assert sum(select_samples(after, ERRORS, reason="deadline").values()) > 0
    check_retained(before, after)


# Single rows

ROW_FAULTS = {
    "negative": fault_injection.InvalidNumbers(value=-5, every=3),
    "all negative": fault_injection.InvalidNumbers(value=-1),
    "absurd": fault_injection.InvalidNumbers(value=1e300, every=3),
    "just too large": fault_injection.InvalidNumbers(value=2**53 + 2, every=2),
    "text": fault_injection.WrongTypes(fields=frozenset({"seconds", "active_users", "count"}), every=2),
    "text everywhere": fault_injection.WrongTypes(),
    "not a number": fault_injection.NotANumber(),
    "infinite": fault_injection.NotANumber(literal="1e999"),
}


@pytest.mark.parametrize("fault", ROW_FAULTS.values(), ids=ROW_FAULTS)
async def test_invalid_rows_are_dropped_counted_and_logged_once(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    clock, deployment = FakeClock(NOW), simulated_deployment()
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        for one in expand_endpoint("/insights/*"):
            deployment.faults.inject(one, fault)
        clock.advance(300)
        first = await exporter.poll()
        first_events = [event for event in log_events(caplog) if "example" in event]
        clock.advance(300)
        await exporter.poll()
        check_exposition(exporter)
    after = [event for event in log_events(caplog) if "example" in event]

    assert sum(select_samples(first, DROPPED).values()) > sum(select_samples(before, DROPPED).values())
    assert first_events
    assert len({(one["endpoint"], one["example"]) for one in after}) == len(after)
    # Data of other responses is unchanged, and totals never decrease.
    for (name, labels), value in coder_samples(before).items():
        if name.endswith("_total"):
            assert first[name, labels] >= value
        # parameter_info describes values of the insights responses.
        elif collector_of(name) != "insights" and name != "coder_insights_parameter_info":
            assert (name, labels) in first
    assert all(value >= 0 for value in coder_samples(first).values())


def collector_of(sample: str) -> str:
    """Return the collector of a sample's family."""
    return next(
        (
            family.collector
            for family in catalogue.FAMILIES
            if sample.startswith(family.name.removesuffix("_total"))
        ),
        "",
    )


@pytest.mark.parametrize("endpoint", ["/insights/user-latency", "*"])
async def test_duplicate_rows_are_counted_once(endpoint: str) -> None:
    """Duplicate rows do not change the exposition."""
    pages = []
    for fault in (None, fault_injection.DuplicateRows()):
        clock, deployment = FakeClock(NOW), simulated_deployment()
        if fault is not None:
            deployment.faults.inject(endpoint, fault)
        async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
            await exporter.poll()
            clock.advance(300)
            pages.append(coder_samples(await exporter.poll()))

    assert pages[0] == pages[1]


TEXT_FAULTS = {
    "newlines, quotes, backslashes, emoji": fault_injection.AppendText(),
    "ten thousand characters": fault_injection.AppendText(repeat=700),
    "controls": fault_injection.AppendText(text="\x00\x1b\r\u2028"),
    "braces": fault_injection.AppendText(text='"} 1 # {a="'),
    "markup": fault_injection.AppendText(text="<script>alert(1)</script>"),
}


@pytest.mark.parametrize("fault", TEXT_FAULTS.values(), ids=TEXT_FAULTS)
async def test_any_text_becomes_a_valid_label_value(fault: fault_injection.AppendText) -> None:
    """The values equal those under plain names."""
    plain_clock, plain_deployment = FakeClock(NOW), simulated_deployment()
    async with in_process_exporter(plain_deployment, plain_clock, SETTINGS) as exporter:
        expected = coder_samples(await exporter.poll())
    clock, deployment = FakeClock(NOW), simulated_deployment()
    deployment.faults.inject("*", fault)
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        samples = coder_samples(await exporter.poll())
        check_exposition(exporter)
    longest = max(len(value) for _, labels in samples for _, value in labels)

    assert longest <= 128
    assert {name for name, _ in samples} == {name for name, _ in expected}
    for name in (
        "coder_insights_template_usage_seconds_total",
        "coder_insights_user_activity_window_seconds",
        "coder_insights_deployment_app_usage_window_seconds",
    ):
        assert sorted(select_samples(samples, name).values()) == sorted(
            select_samples(expected, name).values()
        ), name


# Templates that come and go


async def test_newer_template_wins_on_duplicate_name() -> None:
    clock, deployment = FakeClock(NOW), simulated_deployment()
    world = deployment.world
    template = world.templates[0]
    duplicate = replace(
        template, id=template.id[:-2] + "ff", created_at=template.created_at + timedelta(days=9)
    )
    world.templates = (*world.templates, duplicate)
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        samples = await exporter.poll()
        check_exposition(exporter)
    matchers = {"organization_name": template.organization.name, "template_name": template.name}

    assert list(
        select_samples(samples, "coder_insights_template_usage_seconds_total", **matchers).values()
    ) == [0]
    assert len(select_samples(samples, "coder_insights_template_info", **matchers)) == 1


@pytest.mark.parametrize("roles", ["site", "organization"])
async def test_template_deleted_during_poll_does_not_affect_others(roles: str) -> None:
    clock, deployment = FakeClock(NOW), simulated_deployment()
    if roles == "organization":
        admin = frozenset({"organization-admin"})
        names = [one.name for one in deployment.world.organizations]
        deployment.accounts.update(
            "exporter", roles=frozenset({"member"}), organization_roles=dict.fromkeys(names, admin)
        )
    deleted = deployment.world.templates[0]
    matchers = {"organization_name": deleted.organization.name, "template_name": deleted.name}
    async with in_process_exporter(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        deployment.faults.inject(
            "/insights/user-activity", fault_injection.DeleteTemplate(template_id=deleted.id, max_count=1)
        )
        clock.advance(300)
        meanwhile = await exporter.poll()
        clock.advance(300)
        unlisted = await exporter.poll()
        # The template expires after complete lists without it for max_staleness.
        clock.advance(SETTINGS.poll.max_staleness + 1)
        after = await exporter.poll()
        check_exposition(exporter)
    other_samples = {
        one: value
        for one, value in coder_samples(before).items()
        if one not in select_samples(before, one[0], **matchers)
    }

    total = select_samples(before, "coder_insights_template_usage_seconds_total", **matchers)
    assert total
    assert all(unlisted[key] >= value for key, value in total.items())
    assert other_samples
    assert not select_samples(after, "coder_insights_template_usage_seconds_total", **matchers)
    for samples in (meanwhile, after):
        for (name, labels), value in other_samples.items():
            # Totals of 0 disappear with the apps of the template.
            if name.endswith("_total") and value:
                assert samples[name, labels] >= value
