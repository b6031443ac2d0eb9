"""Pushes: results, retries, log events, size of requests, shutdown."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Ships no types.

from insights_exporter.config.settings import LimitSettings
from insights_exporter.http_headers import MAX_RETRY_AFTER
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples, Format
from insights_exporter.otlp import pusher as pushes
from insights_exporter.otlp import sender as senders
from insights_exporter.otlp.sender import MAX_REQUEST_BYTES, split_batches
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from tests.otlp.scenarios import HEADERS, SMALL_SNAPSHOT, TOKEN, export_events, responses, settings_for
from tests.support.exposition_parsing import parse_series
from tests.support.otlp_pusher import otlp_pusher_harness
from tests.support.otlp_receiver import (
    http_receiver,
    partial_success,
    success_response,
    translate_to_prometheus,
)
from tests.support.snapshots import NOW
from tests.support.waiting import wait_until

# Outage and recovery -------------------------------------------------------------------------------------


async def test_outage_and_recovery_are_logged_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with http_receiver() as stopped:
        settings = settings_for(stopped, timeout=0.3)
    async with otlp_pusher_harness(settings) as harness:
        for _ in range(3):
            await harness.publish(SMALL_SNAPSHOT)
        results_while_down = list(harness.telemetry.export_results)
        async with http_receiver(port=int(stopped.address.rpartition(":")[2])) as restarted:
            for _ in range(2):
                await harness.publish(SMALL_SNAPSHOT)

            assert translate_to_prometheus(restarted.requests[-1:]).series

    assert (results_while_down, harness.telemetry.export_results[3:]) == (["failed"] * 3, ["ok"] * 2)
    assert export_events(caplog) == [
        ("export failed", "ConnectionError"),
        ("export succeeded", ""),
    ]


async def test_outage_leaks_no_memory_and_keeps_serving() -> None:
    async with http_receiver() as stopped:
        settings = settings_for(stopped, timeout=0.01)
    async with otlp_pusher_harness(settings) as harness:

        async def minutes(count: int) -> int:
            for _ in range(count):
                await harness.publish(SMALL_SNAPSHOT)
                harness.clock.advance(60)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before, after = await minutes(10), await minutes(60)
        finally:
            tracemalloc.stop()

    assert harness.telemetry.export_results == ["failed"] * 70
    # The tracer of a coverage run allocates memory of its own while the code runs.
    assert after - before < 50_000 or "coverage" in sys.modules
    assert parse_series(harness.exposition.body(Format.OPENMETRICS, gzip=False))


async def test_publish_does_not_block_and_only_the_newest_snapshot_is_queued() -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.release = asyncio.Event()
        await harness.exposition.publish(SMALL_SNAPSHOT)
        await wait_until(lambda: bool(fake_receiver.paths))
        for users in (5, 6, 7):
            await harness.exposition.publish(snapshot_with_users(users))
        fake_receiver.release.set()
        await harness.wait_until_pushed()

    assert harness.telemetry.export_results == ["skipped", "skipped", "ok", "ok"]
    assert [active_users([request]) for request in fake_receiver.requests] == [2, 7]


def snapshot_with_users(count: int) -> Snapshot:
    """Return a snapshot with a number of active users."""
    assert SMALL_SNAPSHOT.deployment is not None
    value = replace(SMALL_SNAPSHOT.deployment.value, users={"active": count})
    return replace(SMALL_SNAPSHOT, deployment=Timestamped(value, NOW))


def active_users(requests: Any) -> float:
    """Return the pushed number of active users."""
    return translate_to_prometheus(requests).series[catalogue.USERS.name, frozenset({("status", "active")})]


# Rejected requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_retryable_statuses_are_retried(status: int) -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(web.Response(status=status, headers={"Retry-After": "0"}))
        await harness.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.paths), len(fake_receiver.requests), harness.telemetry.export_results) == (
        2,
        1,
        ["ok"],
    )


@pytest.mark.parametrize("when", ["600", "Wed, 14 Jan 2099 10:30:00 GMT"])
async def test_retry_after_is_honoured(when: str, caplog: pytest.LogCaptureFixture) -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(web.Response(status=429, headers={"Retry-After": when}))
        await harness.publish(SMALL_SNAPSHOT)
        await harness.publish(SMALL_SNAPSHOT)
        harness.clock.advance(MAX_RETRY_AFTER)
        await harness.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.paths), harness.telemetry.export_results) == (2, ["failed", "skipped", "ok"])
    assert harness.telemetry.export_errors == ["rate_limited"]
    assert export_events(caplog)[0][1] == "HTTP 429"


async def test_non_retryable_statuses_are_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness,
    ):
        fake_receiver.respond = lambda _: web.Response(status=401)
        await harness.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.paths), harness.telemetry.export_results) == (1, ["failed"])
    assert export_events(caplog) == [("export failed", "HTTP 401")]


async def test_each_new_failure_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(*(web.Response(status=status) for status in (401, 401, 403)))
        for _ in range(4):
            await harness.publish(SMALL_SNAPSHOT)

    assert [error for _, error in export_events(caplog)] == ["HTTP 401", "HTTP 403", ""]
    assert harness.telemetry.export_errors == ["unauthenticated", "unauthenticated", "forbidden"]


@pytest.mark.parametrize(
    ("content_type", "body", "error"),
    [
        ("text/plain", b"out of order sample\n", "HTTP 400: out of order sample"),
        ("application/x-protobuf", Status(message="too old").SerializeToString(), "HTTP 400: too old"),
        ("application/json", b'{"message": "no tenant"}', 'HTTP 400: {"message": "no tenant"}'),
        ("text/html", b"<html>Bad Request</html>", "HTTP 400"),
        ("application/x-protobuf", b"\xff\xff", "HTTP 400"),
        (
            "text/plain",
            f"bad \x1b[31m\x00\u202e header Bearer {TOKEN}".encode(),
            "HTTP 400: bad [31m header ***",
        ),
        ("text/plain", f"unknown token {TOKEN}".encode(), "HTTP 400: unknown token ***"),
        ("text/plain", b"x" * 1_000_000, "HTTP 400: " + "x" * 200),
        ("text/plain", b"", "HTTP 400"),
    ],
    ids=["text", "protobuf", "json", "html", "invalid", "control", "token", "long", "empty"],
)
async def test_message_of_the_receiver_is_logged(
    content_type: str, body: bytes, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness,
    ):
        fake_receiver.respond = lambda _: web.Response(
            status=400, body=body, headers={"Content-Type": content_type}
        )
        await harness.publish(SMALL_SNAPSHOT)

    assert export_events(caplog) == [("export failed", error)]
    assert (harness.telemetry.export_results, harness.telemetry.export_errors) == (["failed"], ["rejected"])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "rejected"),
        (401, "unauthenticated"),
        (403, "forbidden"),
        (404, "not_found"),
        (413, "too_large"),
        (418, "other"),
        (500, "unavailable"),
    ],
)
async def test_status_determines_the_reason(status: int, reason: str) -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = lambda _: web.Response(status=status)
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_errors == [reason]


async def test_redirect_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness,
    ):
        fake_receiver.respond = lambda _: web.Response(
            status=302, headers={"Location": "https://login.example.com/"}
        )
        await harness.publish(SMALL_SNAPSHOT)

    assert (fake_receiver.requests, harness.telemetry.export_results) == ([], ["failed"])
    assert export_events(caplog)[0][1] == "HTTP 302, redirects are not followed"


async def test_rejected_points_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness,
    ):
        fake_receiver.respond = lambda _: success_response(
            partial_success(3, f"too old\n for Bearer {TOKEN}" + "." * 1000)
        )
        await harness.publish(SMALL_SNAPSHOT)
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["partial", "partial"]
    ((event, error),) = export_events(caplog)
    assert event == "export partially rejected"
    assert str(error).startswith("too old for ***.")
    assert len(str(error)) == 200
    assert harness.telemetry.export_errors == ["rejected", "rejected"]


async def test_undecodable_success_response_is_success() -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = lambda _: web.Response(body=b"OK, thank you")
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["ok"]


async def test_slow_receiver_times_out() -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, timeout=0.3)) as harness,
    ):
        fake_receiver.release = asyncio.Event()
        start = time.monotonic()
        await harness.publish(SMALL_SNAPSHOT)
        elapsed = time.monotonic() - start
        fake_receiver.release.set()

    assert harness.telemetry.export_results == ["failed"]
    assert elapsed < 3


# Size ----------------------------------------------------------------------------------------------------


def snapshot_with_sessions(users: int) -> Snapshot:
    """Return a snapshot with a session of each user."""
    sessions = {
        ("acme", f"template-{template_index}", "vscode"): {
            f"user-{n}": float(n) for n in range(template_index, users, 40)
        }
        for template_index in range(40)
    }
    return replace(SMALL_SNAPSHOT, agent_stats=Timestamped(AgentStats(NOW, session_seconds=sessions), NOW))


async def test_twenty_thousand_series_of_a_family_arrive_complete() -> None:
    """The SDK limits an instrument to 2,000 points; families bypass its instruments."""
    limits = LimitSettings(series_per_family=20_000)
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, timeout=30.0), limits=limits) as harness,
    ):
        await harness.publish(snapshot_with_sessions(20_000))
        body = harness.exposition.body(Format.TEXT, gzip=False)
    received = translate_to_prometheus(fake_receiver.requests)

    assert received.series == parse_series(body, Format.TEXT)
    assert len(received.series) >= 20_000
    assert len(received.timestamps) == 1
    assert len(fake_receiver.requests) > 1
    assert MAX_REQUEST_BYTES / 2 < max(fake_receiver.sizes) <= MAX_REQUEST_BYTES


async def test_invalid_request_does_not_block_later_requests(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "split_batches", partial(split_batches, max_bytes=3000))
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(success_response(), web.Response(status=400))
        await harness.publish(snapshot_with_sessions(100))

    assert len(fake_receiver.requests) == len(fake_receiver.paths) - 1 > 3
    assert harness.telemetry.export_results == ["partial"]


async def test_other_failures_abort_the_push(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "split_batches", partial(split_batches, max_bytes=3000))
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(success_response(), web.Response(status=401))
        await harness.publish(snapshot_with_sessions(100))

    assert (len(fake_receiver.paths), harness.telemetry.export_results) == (2, ["failed"])


# Shutdown ------------------------------------------------------------------------------------------------


async def test_pending_push_is_flushed_on_shutdown() -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        await harness.exposition.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.requests), harness.telemetry.export_results) == (1, ["ok"])


async def test_shutdown_flush_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "FLUSH_TIMEOUT", 0.2)
    async with http_receiver() as fake_receiver:
        fake_receiver.release = asyncio.Event()
        async with otlp_pusher_harness(settings_for(fake_receiver, timeout=30.0)) as harness:
            await harness.exposition.publish(SMALL_SNAPSHOT)
            await wait_until(lambda: bool(fake_receiver.paths))
            start = time.monotonic()
        elapsed = time.monotonic() - start
        fake_receiver.release.set()

    assert elapsed < 3
    assert harness.telemetry.export_results == ["failed"]


async def test_internal_error_does_not_stop_the_pusher() -> None:
    errors = [RuntimeError("bug")]

    def self_metrics() -> list[FamilySamples]:
        if errors:
            raise errors.pop()
        return []

    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver), self_metrics=self_metrics) as harness,
    ):
        await harness.publish(SMALL_SNAPSHOT)
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["failed", "ok"]
