"""What becomes of a push where the receiver takes it, refuses it, is slow or is not there."""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # Ships no types.
import pytest
import trustme
from aiohttp import web

from insights_exporter.errors import ConfigError
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.otlp import push as pushes
from insights_exporter.metrics.otlp import sender as senders
from insights_exporter.metrics.otlp.requests import LARGEST
from insights_exporter.metrics.otlp.requests import requests as cut
from insights_exporter.metrics.text import Format, Samples
from insights_exporter.secret import FileSecret, LiteralSecret, Secret
from insights_exporter.settings import LimitSettings, OtlpProtocol, OtlpSettings
from insights_exporter.snapshot import AgentStats, Reading, Snapshot
from tests.support.expositions import series
from tests.support.otlp import GrpcReceiver, Receiver, grpc_receiver, partly, receiver, taken, translated
from tests.support.pushing import pushing
from tests.support.snapshots import NOW, rich_snapshot

SMALL = replace(rich_snapshot(templates=1, users=2), inventory=None, insights=None, agent_stats=None)
TOKEN = "hunter2-hunter2"
HEADERS = LiteralSecret(Secret(f"Authorization=Bearer {TOKEN},x-tenant=blue"))


def to(one: Receiver | GrpcReceiver, **more: Any) -> OtlpSettings:
    """Return settings for a receiver; they are impatient."""
    protocol = OtlpProtocol.GRPC if isinstance(one, GrpcReceiver) else OtlpProtocol.HTTP
    return OtlpSettings(endpoint=one.address, protocol=protocol, **({"timeout": 5.0} | more))


def answers(*those: web.Response) -> Callable[[int], web.Response]:
    """Answer these in turn, and take everything after that."""
    return lambda number: those[number] if number < len(those) else taken()


@pytest.fixture(autouse=True)
def no_secrets(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens here, no header is written to the log; OpenTelemetry's own lines are switched off."""
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.util.re"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.INFO)
    yield

    assert TOKEN not in caplog.text
    assert TOKEN not in repr([vars(record) for record in caplog.records])


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what the log says of pushes: event and reason."""
    return [
        (record.message, getattr(record, "why", ""))
        for record in caplog.records
        if record.name.startswith("insights_exporter.metrics.otlp")
    ]


# Down, and back ------------------------------------------------------------------------------------------


async def test_a_receiver_that_is_down_is_told_once_and_again_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with receiver() as gone:
        settings = to(gone, timeout=0.3)
    async with pushing(settings) as pair:
        for _ in range(3):
            await pair.publish(SMALL)
        down = list(pair.told.exports)
        async with receiver(port=int(gone.address.rpartition(":")[2])) as back:
            for _ in range(2):
                await pair.publish(SMALL)

            assert translated(back.requests[-1:]).series

    assert (down, pair.told.exports[3:]) == (["failed"] * 3, ["ok"] * 2)
    assert told(caplog) == [
        ("Pushes fail; the newest numbers are tried at each turn.", "ConnectionError"),
        ("Pushes arrive.", ""),
    ]


async def test_an_hour_without_a_receiver_costs_no_memory_and_no_page() -> None:
    async with receiver() as gone:
        settings = to(gone, timeout=0.01)
    async with pushing(settings) as pair:

        async def minutes(count: int) -> int:
            for _ in range(count):
                await pair.publish(SMALL)
                pair.clock.advance(60)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before, after = await minutes(10), await minutes(60)
        finally:
            tracemalloc.stop()

    assert pair.told.exports == ["failed"] * 70
    assert after - before < 50_000
    assert series(pair.exposition.page(Format.OPENMETRICS, gzip=False))


async def test_nobody_waits_for_a_receiver_and_only_the_newest_waits_for_it() -> None:
    async with receiver() as one, pushing(to(one)) as pair:
        one.held = asyncio.Event()
        await pair.exposition.publish(SMALL)
        await until(lambda: bool(one.paths))
        for users in (5, 6, 7):
            await pair.exposition.publish(with_users(users))
        one.held.set()
        await pair.settled()

    assert pair.told.exports == ["skipped", "skipped", "ok", "ok"]
    assert [active_users([request]) for request in one.requests] == [2, 7]


def with_users(count: int) -> Snapshot:
    """Return a snapshot with so many active users."""
    assert SMALL.deployment is not None
    value = replace(SMALL.deployment.value, users={"active": count})
    return replace(SMALL, deployment=Reading(value, NOW))


def active_users(requests: Any) -> float:
    """Return the number of active users in requests."""
    return translated(requests).series[catalogue.USERS.name, frozenset({("status", "active")})]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is waited for is in another thread.
            await asyncio.sleep(0.01)


# Refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_can_heal_is_tried_again(status: int) -> None:
    async with receiver() as one, pushing(to(one)) as pair:
        one.answer = answers(web.Response(status=status, headers={"Retry-After": "0"}))
        await pair.publish(SMALL)

    assert (len(one.paths), len(one.requests), pair.told.exports) == (2, 1, ["ok"])


@pytest.mark.parametrize("when", ["600", "Wed, 14 Jan 2099 10:30:00 GMT"])
async def test_a_receiver_that_asks_for_rest_gets_it(when: str, caplog: pytest.LogCaptureFixture) -> None:
    async with receiver() as one, pushing(to(one)) as pair:
        one.answer = answers(web.Response(status=429, headers={"Retry-After": when}))
        await pair.publish(SMALL)
        await pair.publish(SMALL)
        pair.clock.advance(1e10 if "GMT" in when else 600)
        await pair.publish(SMALL)

    assert (len(one.paths), pair.told.exports) == (2, ["failed", "skipped", "ok"])
    assert told(caplog)[0][1] == "HTTP 429"


async def test_what_cannot_heal_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async with receiver() as one, pushing(to(one, headers=HEADERS)) as pair:
        one.answer = lambda _: web.Response(status=401)
        await pair.publish(SMALL)

    assert (len(one.paths), pair.told.exports) == (1, ["failed"])
    assert told(caplog) == [("Pushes fail; the newest numbers are tried at each turn.", "HTTP 401")]


async def test_each_new_reason_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with receiver() as one, pushing(to(one)) as pair:
        one.answer = answers(*(web.Response(status=status) for status in (401, 401, 403)))
        for _ in range(4):
            await pair.publish(SMALL)

    assert [why for _, why in told(caplog)] == ["HTTP 401", "HTTP 403", ""]


async def test_a_redirect_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    async with receiver() as one, pushing(to(one, headers=HEADERS)) as pair:
        one.answer = lambda _: web.Response(status=302, headers={"Location": "https://login.example.com/"})
        await pair.publish(SMALL)

    assert (one.requests, pair.told.exports) == ([], ["failed"])
    assert told(caplog)[0][1] == "HTTP 302, a redirect, which is not followed"


async def test_points_that_are_left_out_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async with receiver() as one, pushing(to(one, headers=HEADERS)) as pair:
        one.answer = lambda _: taken(partly(3, f"too old\n for Bearer {TOKEN}" + "." * 1000))
        await pair.publish(SMALL)
        await pair.publish(SMALL)

    assert pair.told.exports == ["partial", "partial"]
    ((event, why),) = told(caplog)
    assert event == "The receiver left out part of a push."
    assert why.startswith("too old for ***.")
    assert len(why) < 300


async def test_an_answer_that_is_no_answer_is_success_all_the_same() -> None:
    async with receiver() as one, pushing(to(one)) as pair:
        one.answer = lambda _: web.Response(body=b"OK, thank you")
        await pair.publish(SMALL)

    assert pair.told.exports == ["ok"]


async def test_a_slow_receiver_is_given_up_in_time() -> None:
    async with receiver() as one, pushing(to(one, timeout=0.3)) as pair:
        one.held = asyncio.Event()
        began = time.monotonic()
        await pair.publish(SMALL)
        took = time.monotonic() - began
        one.held.set()

    assert pair.told.exports == ["failed"]
    assert took < 3


# Size ----------------------------------------------------------------------------------------------------


def many(users: int) -> Snapshot:
    """Return a snapshot with a session for each of many users."""
    sessions = {
        ("acme", f"template-{place}", "vscode"): {f"user-{n}": float(n) for n in range(place, users, 40)}
        for place in range(40)
    }
    return replace(SMALL, agent_stats=Reading(AgentStats(NOW, session_seconds=sessions), NOW))


async def test_twenty_thousand_series_of_a_family_arrive_complete() -> None:
    """The SDK folds what is above 2,000 points of an instrument, so it is not asked to hold any."""
    limits = LimitSettings(series_per_family=20_000)
    async with receiver() as one, pushing(to(one, timeout=30.0), limits=limits) as pair:
        await pair.publish(many(20_000))
        page = pair.exposition.page(Format.TEXT, gzip=False)
    found = translated(one.requests)

    assert found.series == series(page, Format.TEXT)
    assert len(found.series) >= 20_000
    assert len(found.moments) == 1
    assert len(one.requests) > 1
    assert LARGEST / 2 < max(one.sizes) <= LARGEST


async def test_a_request_that_is_refused_does_not_keep_back_the_others(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "requests", partial(cut, largest=3000))
    async with receiver() as one, pushing(to(one)) as pair:
        one.answer = answers(taken(), web.Response(status=400))
        await pair.publish(many(100))

    assert len(one.requests) == len(one.paths) - 1 > 3
    assert pair.told.exports == ["partial"]


async def test_other_failures_keep_back_what_would_fare_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "requests", partial(cut, largest=3000))
    async with receiver() as one, pushing(to(one)) as pair:
        one.answer = answers(taken(), web.Response(status=401))
        await pair.publish(many(100))

    assert (len(one.paths), pair.told.exports) == (2, ["failed"])


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_compression(compression: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression}
    async with receiver() as one, pushing(to(one), environ=environ) as pair:
        await pair.publish(SMALL)

    assert one.headers[0]["Content-Encoding"] == compression
    assert translated(one.requests).series


# Headers and certificates --------------------------------------------------------------------------------


async def test_headers_go_with_each_request_and_are_rotated_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text(f"authorization=Bearer {TOKEN}")
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue"}
    async with (
        receiver() as one,
        pushing(to(one, headers=FileSecret(file)), environ=environ) as pair,
    ):
        await pair.publish(SMALL)
        file.write_text("authorization=Bearer another")
        await pair.publish(SMALL)

    assert [(each["Authorization"], each["X-Tenant"]) for each in one.headers] == [
        (f"Bearer {TOKEN}", "blue"),
        ("Bearer another", "blue"),
    ]


async def test_headers_that_cannot_be_read_any_more_fail_the_push_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "headers"
    file.write_text("a=b")
    async with receiver() as one, pushing(to(one, headers=FileSecret(file))) as pair:
        file.unlink()
        await pair.publish(SMALL)
        file.write_text("a=c")
        await pair.publish(SMALL)

    assert pair.told.exports == ["failed", "ok"]
    assert str(file) in told(caplog)[0][1]


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


async def test_tls_of_http(authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    async with receiver(tls=context) as one:
        async with pushing(to(one, timeout=0.5)) as stranger:
            await stranger.publish(SMALL)
        async with pushing(to(one), environ=environ) as pair:
            await pair.publish(SMALL)

    assert (stranger.told.exports, pair.told.exports) == (["failed"], ["ok"])
    assert told(caplog)[0][1] == "SSLError"


async def test_tls_with_a_client_certificate_over_http(authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    authority.issue_cert("exporter").private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    environ = {
        "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": str(tmp_path / "ca.pem"),
        "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE": str(tmp_path / "client.pem"),
    }
    async with receiver(tls=context) as one, pushing(to(one), environ=environ) as pair:
        await pair.publish(SMALL)

    assert pair.told.exports == ["ok"]


async def test_tls_of_grpc(authority: trustme.CA, tmp_path: Path) -> None:
    served = authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(served.private_key_pem.bytes(), served.cert_chain_pems[0].bytes())]
    )
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    with grpc_receiver(credentials) as one:
        async with pushing(to(one), environ=environ) as pair:
            await pair.publish(SMALL)

    assert pair.told.exports == ["ok"]


# gRPC ----------------------------------------------------------------------------------------------------


async def test_headers_over_grpc() -> None:
    with grpc_receiver() as one:
        async with pushing(to(one, headers=HEADERS)) as pair:
            await pair.publish(SMALL)

    assert one.metadata[0]["authorization"] == f"Bearer {TOKEN}"
    assert pair.told.exports == ["ok"]


async def test_what_can_heal_is_tried_again_over_grpc() -> None:
    def answer(number: int, call: Any) -> Any:
        if number == 0:
            call.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return partly(0, "")

    with grpc_receiver() as one:
        one.answer = answer
        async with pushing(to(one)) as pair:
            await pair.publish(SMALL)

    assert (len(one.metadata), pair.told.exports) == (2, ["ok"])


@pytest.mark.parametrize(
    ("answer", "result", "why"),
    [
        (lambda _, call: call.abort(grpc.StatusCode.PERMISSION_DENIED, TOKEN), "failed", "PERMISSION_DENIED"),
        (lambda _, call: call.abort(grpc.StatusCode.INVALID_ARGUMENT, ""), "failed", "INVALID_ARGUMENT"),
        (lambda _n, _c: partly(2, "too old"), "partial", "too old"),
    ],
    ids=["denied", "invalid", "partial"],
)
async def test_refusals_over_grpc(
    answer: Callable[[int, Any], Any], result: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with grpc_receiver() as one:
        one.answer = answer
        async with pushing(to(one, headers=HEADERS)) as pair:
            await pair.publish(SMALL)

    assert (pair.told.exports, told(caplog)[0][1]) == ([result], why)


async def test_nobody_answers_over_grpc(caplog: pytest.LogCaptureFixture) -> None:
    with grpc_receiver() as one:
        pass
    async with pushing(to(one, timeout=0.5)) as pair:
        await pair.publish(SMALL)

    assert pair.told.exports == ["failed"]
    assert told(caplog)[0][1] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


# The end -------------------------------------------------------------------------------------------------


async def test_what_waits_at_the_end_is_pushed() -> None:
    async with receiver() as one, pushing(to(one)) as pair:
        await pair.exposition.publish(SMALL)

    assert (len(one.requests), pair.told.exports) == (1, ["ok"])


async def test_the_end_does_not_wait_for_a_receiver_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "FLUSH", 0.2)
    async with receiver() as one:
        one.held = asyncio.Event()
        async with pushing(to(one, timeout=30.0)) as pair:
            await pair.exposition.publish(SMALL)
            await until(lambda: bool(one.paths))
            began = time.monotonic()
        took = time.monotonic() - began
        one.held.set()

    assert took < 3
    assert pair.told.exports == ["failed"]


async def test_a_fault_of_ours_does_not_end_pushing() -> None:
    faults = [RuntimeError("odd")]

    def own() -> list[Samples]:
        if faults:
            raise faults.pop()
        return []

    async with receiver() as one, pushing(to(one), own=own) as pair:
        await pair.publish(SMALL)
        await pair.publish(SMALL)

    assert pair.told.exports == ["failed", "ok"]


# Extras --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "module", "extra"),
    [(OtlpProtocol.HTTP, "http", "otlp"), (OtlpProtocol.GRPC, "grpc", "otlp-grpc")],
)
async def test_a_missing_exporter_is_named(
    protocol: OtlpProtocol, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"insights_exporter.metrics.otlp.{module}", None)

    with pytest.raises(ConfigError) as raised:
        async with pushing(OtlpSettings(protocol=protocol)):
            pass

    assert f"found {protocol}, but its exporter is not installed" in str(raised.value)
    assert f"pip install 'insights-exporter[{extra}]'" in str(raised.value)


def test_nothing_of_the_extras_is_imported_before_it_is_needed() -> None:
    extras = "{'grpc', 'requests', 'google.protobuf'}"
    code = f"import sys, insights_exporter.application; print({extras} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
