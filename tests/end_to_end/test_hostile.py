"""Whatever Coder answers, the page stays valid and complete, and counters keep their height."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.text import Format
from insights_exporter.settings import InsightsSettings, PollSettings, Settings
from insights_exporter.simulator.api import faults
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.faults import Fault
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import stage
from tests.support.clock import FakeClock
from tests.support.exporting import CODER, Exporter, Series, exporting
from tests.support.expositions import checked_by_promtool, series

NOW = datetime(2026, 11, 24, 14, 3, tzinfo=UTC)
SETTINGS = Settings(coder=CODER, insights=InsightsSettings(windows=("today", "7d"), weeks=2))
ERRORS = "coder_insights_exporter_collector_errors_total"
DROPPED = "coder_insights_exporter_rows_dropped_total"
OWN = ("coder_insights_exporter_", "process_")

Page = Mapping[Series, float]


def simulated() -> SimulatedDeployment:
    return stage(Size(4, 8), options=ApiOptions(rate_limit=0, user_limit=10))


def coders(page: Page) -> dict[Series, float]:
    """Return what is told of Coder, and not of the exporter itself."""
    return {(name, labels): value for (name, labels), value in page.items() if not name.startswith(OWN)}


def named(page: Page, name: str, **wanted: str) -> dict[Series, float]:
    """Return the series of a name with these labels."""
    return {
        (one, labels): value
        for (one, labels), value in page.items()
        if one == name and set(wanted.items()) <= labels
    }


def check_page(exporter: Exporter) -> None:
    """Both forms are read by the strict parsers, and promtool finds nothing wrong."""
    text = exporter.page(Format.TEXT)

    assert series(text, Format.TEXT)
    assert checked_by_promtool(text) == ""


def check_standing(before: Page, after: Page) -> None:
    """Nothing is missing, and no counter is lower."""
    assert coders(before).keys() <= coders(after).keys()
    for one, value in coders(before).items():
        if one[0].endswith("_total"):
            assert after[one] >= value, one


WHOLE = {
    "down": ("*", faults.Drop(), "unreachable"),
    "failing": ("*", faults.Status(status=500), "server_error"),
    "proxy failing": ("*", faults.Status(status=502, html=True), "server_error"),
    "login page": ("*", faults.LoginPage(), "login_page"),
    "redirected": ("*", faults.Redirect(), "redirect_refused"),
    "cut short": ("*", faults.Truncate(kept=0.6), "bad_response"),
    "empty": ("*", faults.Truncate(kept=0.0), "bad_response"),
    "foreign": ("*", faults.ForeignJson(), "bad_response"),
    "deep": ("*", faults.ForeignJson(body="[" * 100_000), "bad_response"),
    "too many requests": ("*", faults.Status(status=429, headers={"Retry-After": "600"}), "rate_limited"),
    "no report": ("/insights/user-activity", faults.ForeignJson(body='{"report":null}'), "bad_response"),
    "insights failing": ("/insights/templates", faults.Status(status=500), "server_error"),
    "insights forbidden": ("/insights/*", faults.Status(status=403, message="Forbidden."), "forbidden"),
    "list for object": ("/insights/user-latency", faults.ForeignJson(body="[]"), "bad_response"),
    "templates cut short": ("/templates", faults.Truncate(), "bad_response"),
    "workspaces failing": ("/workspaces", faults.Status(status=500), "server_error"),
    "number for permissions": ("/authcheck", faults.ForeignJson(body="3"), "bad_response"),
}


@pytest.mark.parametrize(("endpoint", "fault", "reason"), WHOLE.values(), ids=WHOLE)
async def test_what_cannot_be_read_leaves_what_was_known(
    endpoint: str, fault: Fault, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is counted at each poll, and named in the log once while the fault lasts."""
    clock, deployment = FakeClock(NOW), simulated()
    async with exporting(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        for one in expanded(endpoint):
            deployment.faults.on(one, fault)
        clock.advance(300)
        first = await exporter.poll()
        told = reasons(caplog)
        clock.advance(300)
        second = await exporter.poll()
        check_page(exporter)
        deployment.faults.clear()
        clock.advance(900)
        healed = await exporter.poll()
    counted = [sum(named(page, ERRORS, reason=reason).values()) for page in (before, first, second)]

    assert counted[0] < counted[1] < counted[2]
    assert reason in told
    # The same fault a poll later is no news.
    assert reasons(caplog) == told
    for page in (first, second, healed):
        check_standing(before, page)


def expanded(endpoint: str) -> list[str]:
    if not endpoint.endswith("/*"):
        return [endpoint]
    return [endpoint[:-1] + one for one in ("templates", "user-activity", "user-latency")]


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the reasons in the log, in order."""
    return [
        str(record.__dict__["reason"])
        for record in caplog.records
        if record.levelno >= logging.WARNING and "reason" in record.__dict__
    ]


ACCOUNTS = {
    "revoked": ({"token": "insightsxp-9999999999999999999999"}, "token_invalid"),
    "expired": ({"expires_at": NOW}, "token_expired"),
    "suspended": ({"status": "suspended"}, "user_suspended"),
    "demoted": ({"roles": frozenset({"member"})}, "not_permitted"),
}


@pytest.mark.parametrize(("traits", "reason"), ACCOUNTS.values(), ids=ACCOUNTS)
async def test_a_lost_account_leaves_what_was_known(
    traits: Mapping[str, object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock, deployment = FakeClock(NOW - timedelta(minutes=5)), simulated()
    async with exporting(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        deployment.accounts.change("exporter", **traits)
        clock.advance(300)
        after = await exporter.poll()
        check_page(exporter)

    assert sum(named(after, ERRORS, reason=reason).values()) > 0
    assert reason in reasons(caplog)
    assert "insightsxp-" not in caplog.text
    if reason != "not_permitted":
        check_standing(before, after)
    # Whoever may list nothing is told of nothing; that much is Coder's word and no fault.
    assert named(before, "coder_insights_deployment_info").keys() <= after.keys()


async def test_a_slow_coder_ends_the_poll_and_not_the_page() -> None:
    clock, deployment = FakeClock(NOW), simulated()
    quick = replace(SETTINGS, poll=PollSettings(deadline=0.2))
    async with exporting(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        exporter.poller._settings = quick.poll
        deployment.faults.on("/insights/templates", faults.Delay(seconds=30))
        clock.advance(300)
        after = await exporter.poll()

    assert sum(named(after, ERRORS, reason="deadline").values()) > 0
    check_standing(before, after)


# Single rows

ROWS = {
    "negative": faults.Counts(value=-5, every=3),
    "all negative": faults.Counts(value=-1),
    "absurd": faults.Counts(value=1e300, every=3),
    "just too large": faults.Counts(value=2**53 + 2, every=2),
    "text": faults.WrongTypes(fields=frozenset({"seconds", "active_users", "count"}), every=2),
    "text everywhere": faults.WrongTypes(),
    "not a number": faults.NotANumber(),
    "infinite": faults.NotANumber(spelled="1e999"),
}


@pytest.mark.parametrize("fault", ROWS.values(), ids=ROWS)
async def test_rows_that_make_no_sense_are_left_out_counted_and_named_once(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    clock, deployment = FakeClock(NOW), simulated()
    async with exporting(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        for one in expanded("/insights/*"):
            deployment.faults.on(one, fault)
        clock.advance(300)
        first = await exporter.poll()
        told = [record for record in caplog.records if "example" in record.__dict__]
        clock.advance(300)
        await exporter.poll()
        check_page(exporter)
    after = [record for record in caplog.records if "example" in record.__dict__]

    assert sum(named(first, DROPPED).values()) > sum(named(before, DROPPED).values())
    assert told
    assert len({(one.__dict__["endpoint"], one.__dict__["example"]) for one in after}) == len(after)
    # What depends on other answers is untouched, and totals keep their height.
    for (name, labels), value in coders(before).items():
        if name.endswith("_total"):
            assert first[name, labels] >= value
        # A value is described where it is counted.
        elif collector_of(name) != "insights" and name != "coder_insights_parameter_info":
            assert (name, labels) in first
    assert all(value >= 0 for value in coders(first).values())


def collector_of(sample: str) -> str:
    """Return which collector feeds a sample."""
    return next(
        (one.collector for one in catalogue.FAMILIES if sample.startswith(one.name.removesuffix("_total"))),
        "",
    )


@pytest.mark.parametrize("endpoint", ["/insights/user-latency", "*"])
async def test_nothing_is_counted_twice(endpoint: str) -> None:
    """Rows that come twice are one row, and a page of them is the page without."""
    pages = []
    for fault in (None, faults.Duplicates()):
        clock, deployment = FakeClock(NOW), simulated()
        if fault is not None:
            deployment.faults.on(endpoint, fault)
        async with exporting(deployment, clock, SETTINGS) as exporter:
            await exporter.poll()
            clock.advance(300)
            pages.append(coders(await exporter.poll()))

    assert pages[0] == pages[1]


TEXTS = {
    "newlines, quotes, backslashes, emoji": faults.Texts(),
    "ten thousand characters": faults.Texts(repeat=700),
    "controls": faults.Texts(text="\x00\x1b\r\u2028"),
    "braces": faults.Texts(text='"} 1 # {a="'),
    "markup": faults.Texts(text="<script>alert(1)</script>"),
}


@pytest.mark.parametrize("fault", TEXTS.values(), ids=TEXTS)
async def test_names_of_any_form_are_labels(fault: faults.Texts) -> None:
    """The same numbers are told as under plain names."""
    plain_clock, plain = FakeClock(NOW), simulated()
    async with exporting(plain, plain_clock, SETTINGS) as exporter:
        expected = coders(await exporter.poll())
    clock, deployment = FakeClock(NOW), simulated()
    deployment.faults.on("*", fault)
    async with exporting(deployment, clock, SETTINGS) as exporter:
        found = coders(await exporter.poll())
        check_page(exporter)
    longest = max(len(value) for _, labels in found for _, value in labels)

    assert longest <= 128
    assert {name for name, _ in found} == {name for name, _ in expected}
    for name in (
        "coder_insights_template_usage_seconds_total",
        "coder_insights_user_activity_window_seconds",
        "coder_insights_deployment_app_usage_window_seconds",
    ):
        assert sorted(named(found, name).values()) == sorted(named(expected, name).values()), name


# Templates that come and go


async def test_of_two_templates_of_one_name_the_newer_is_told() -> None:
    clock, deployment = FakeClock(NOW), simulated()
    world = deployment.world
    first = world.templates[0]
    twin = replace(first, id=first.id[:-2] + "ff", created_at=first.created_at + timedelta(days=9))
    world.templates = (*world.templates, twin)
    async with exporting(deployment, clock, SETTINGS) as exporter:
        page = await exporter.poll()
        check_page(exporter)
    wanted = {"organization_name": first.organization.name, "template_name": first.name}

    assert list(named(page, "coder_insights_template_usage_seconds_total", **wanted).values()) == [0]
    assert len(named(page, "coder_insights_template_info", **wanted)) == 1


@pytest.mark.parametrize("roles", ["site", "organization"])
async def test_a_template_that_is_deleted_while_it_is_asked_for_takes_nothing_along(roles: str) -> None:
    clock, deployment = FakeClock(NOW), simulated()
    if roles == "organization":
        admin = frozenset({"organization-admin"})
        names = [one.name for one in deployment.world.organizations]
        deployment.accounts.change(
            "exporter", roles=frozenset({"member"}), organization_roles=dict.fromkeys(names, admin)
        )
    gone = deployment.world.templates[0]
    wanted = {"organization_name": gone.organization.name, "template_name": gone.name}
    async with exporting(deployment, clock, SETTINGS) as exporter:
        before = await exporter.poll()
        deployment.faults.on("/insights/user-activity", faults.DeleteTemplate(template_id=gone.id, times=1))
        clock.advance(300)
        meanwhile = await exporter.poll()
        clock.advance(300)
        after = await exporter.poll()
        check_page(exporter)
    others = {
        one: value for one, value in coders(before).items() if one not in named(before, one[0], **wanted)
    }

    assert named(before, "coder_insights_template_usage_seconds_total", **wanted)
    assert not named(after, "coder_insights_template_usage_seconds_total", **wanted)
    for page in (meanwhile, after):
        for (name, labels), value in others.items():
            if name.endswith("_total"):
                assert page[name, labels] >= value
