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

from insights_exporter.config.settings import LimitSettings, OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder.text import FamilySamples, Format
from insights_exporter.otlp import pusher as pushes
from insights_exporter.otlp import sender as senders
from insights_exporter.otlp.batching import MAX_REQUEST_BYTES
from insights_exporter.otlp.batching import split_batches as cut
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret
from insights_exporter.snapshot import AgentStats, Snapshot, Timestamped
from tests.support.exposition_parsing import parse_series
from tests.support.otlp_pusher import otlp_pusher_harness
from tests.support.otlp_receiver import (
    GrpcReceiver,
    HttpReceiver,
    grpc_receiver,
    http_receiver,
    partial_success,
    success_response,
    translate_to_prometheus,
)
from tests.support.snapshots import NOW, rich_snapshot

SMALL_SNAPSHOT = replace(rich_snapshot(templates=1, users=2), inventory=None, insights=None, agent_stats=None)
TOKEN = "hunter2-hunter2"
HEADERS = LiteralSecret(Secret(f"Authorization=Bearer {TOKEN},x-tenant=blue"))


def settings_for(fake_receiver: HttpReceiver | GrpcReceiver, **overrides: Any) -> OtlpSettings:
    """Return settings for a receiver; they are impatient."""
    protocol = OtlpProtocol.GRPC if isinstance(fake_receiver, GrpcReceiver) else OtlpProtocol.HTTP
    return OtlpSettings(endpoint=fake_receiver.address, protocol=protocol, **({"timeout": 5.0} | overrides))


def responses(*sequence: web.Response) -> Callable[[int], web.Response]:
    """Answer these in turn, and take everything after that."""
    return lambda number: sequence[number] if number < len(sequence) else success_response()


@pytest.fixture(autouse=True)
def assert_no_secrets_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens here, no header is written to the log; OpenTelemetry's own lines are switched off."""
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.util.re"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.INFO)
    yield

    assert TOKEN not in caplog.text
    assert TOKEN not in repr([vars(record) for record in caplog.records])


def log_events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what the log says of pushes: event and reason."""
    return [
        (record.message, getattr(record, "why", ""))
        for record in caplog.records
        if record.name.startswith("insights_exporter.otlp")
    ]


# Down, and back ------------------------------------------------------------------------------------------


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
    assert log_events(caplog) == [
        ("Pushes fail; the newest numbers are tried at each turn.", "ConnectionError"),
        ("Pushes arrive.", ""),
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
    assert after - before < 50_000
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
    """Return a snapshot with so many active users."""
    assert SMALL_SNAPSHOT.deployment is not None
    value = replace(SMALL_SNAPSHOT.deployment.value, users={"active": count})
    return replace(SMALL_SNAPSHOT, deployment=Timestamped(value, NOW))


def active_users(requests: Any) -> float:
    """Return the number of active users in requests."""
    return translate_to_prometheus(requests).series[catalogue.USERS.name, frozenset({("status", "active")})]


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


# Refusals ------------------------------------------------------------------------------------------------


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
        harness.clock.advance(1e10 if "GMT" in when else 600)
        await harness.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.paths), harness.telemetry.export_results) == (2, ["failed", "skipped", "ok"])
    assert log_events(caplog)[0][1] == "HTTP 429"


async def test_non_retryable_statuses_are_not_retried(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness,
    ):
        fake_receiver.respond = lambda _: web.Response(status=401)
        await harness.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.paths), harness.telemetry.export_results) == (1, ["failed"])
    assert log_events(caplog) == [("Pushes fail; the newest numbers are tried at each turn.", "HTTP 401")]


async def test_each_new_failure_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(*(web.Response(status=status) for status in (401, 401, 403)))
        for _ in range(4):
            await harness.publish(SMALL_SNAPSHOT)

    assert [reason for _, reason in log_events(caplog)] == ["HTTP 401", "HTTP 403", ""]


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
    assert log_events(caplog)[0][1] == "HTTP 302, a redirect, which is not followed"


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
    ((event, reason),) = log_events(caplog)
    assert event == "The receiver left out part of a push."
    assert reason.startswith("too old for ***.")
    assert len(reason) < 300


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
    """Return a snapshot with a session for each of many users."""
    sessions = {
        ("acme", f"template-{template_index}", "vscode"): {
            f"user-{n}": float(n) for n in range(template_index, users, 40)
        }
        for template_index in range(40)
    }
    return replace(SMALL_SNAPSHOT, agent_stats=Timestamped(AgentStats(NOW, session_seconds=sessions), NOW))


async def test_twenty_thousand_series_of_a_family_arrive_complete() -> None:
    """The SDK folds what is above 2,000 points of an instrument, so it is not asked to hold any."""
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
    monkeypatch.setattr(senders, "split_batches", partial(cut, max_bytes=3000))
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(success_response(), web.Response(status=400))
        await harness.publish(snapshot_with_sessions(100))

    assert len(fake_receiver.requests) == len(fake_receiver.paths) - 1 > 3
    assert harness.telemetry.export_results == ["partial"]


async def test_other_failures_abort_the_push(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "split_batches", partial(cut, max_bytes=3000))
    async with http_receiver() as fake_receiver, otlp_pusher_harness(settings_for(fake_receiver)) as harness:
        fake_receiver.respond = responses(success_response(), web.Response(status=401))
        await harness.publish(snapshot_with_sessions(100))

    assert (len(fake_receiver.paths), harness.telemetry.export_results) == (2, ["failed"])


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
async def test_compression(compression: str) -> None:
    environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression}
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver), environ=environ) as harness,
    ):
        await harness.publish(SMALL_SNAPSHOT)

    assert fake_receiver.headers[0]["Content-Encoding"] == compression
    assert translate_to_prometheus(fake_receiver.requests).series


# Headers and certificates --------------------------------------------------------------------------------


async def test_headers_are_reloaded_for_each_push(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text(f"authorization=Bearer {TOKEN}")
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=blue"}
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(
            settings_for(fake_receiver, headers=FileSecret(file)), environ=environ
        ) as harness,
    ):
        await harness.publish(SMALL_SNAPSHOT)
        file.write_text("authorization=Bearer another")
        await harness.publish(SMALL_SNAPSHOT)

    assert [(headers["Authorization"], headers["X-Tenant"]) for headers in fake_receiver.headers] == [
        (f"Bearer {TOKEN}", "blue"),
        ("Bearer another", "blue"),
    ]


async def test_unreadable_headers_fail_only_that_push(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "headers"
    file.write_text("a=b")
    async with (
        http_receiver() as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver, headers=FileSecret(file))) as harness,
    ):
        file.unlink()
        await harness.publish(SMALL_SNAPSHOT)
        file.write_text("a=c")
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["failed", "ok"]
    assert str(file) in log_events(caplog)[0][1]


@pytest.fixture
def certificate_authority(tmp_path: Path) -> trustme.CA:
    certificate_authority = trustme.CA()
    certificate_authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return certificate_authority


async def test_http_tls(
    certificate_authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate_authority.issue_cert("localhost").configure_cert(context)
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    async with http_receiver(tls=context) as fake_receiver:
        async with otlp_pusher_harness(settings_for(fake_receiver, timeout=0.5)) as untrusting:
            await untrusting.publish(SMALL_SNAPSHOT)
        async with otlp_pusher_harness(settings_for(fake_receiver), environ=environ) as harness:
            await harness.publish(SMALL_SNAPSHOT)

    assert (untrusting.telemetry.export_results, harness.telemetry.export_results) == (["failed"], ["ok"])
    assert log_events(caplog)[0][1] == "SSLError"


async def test_http_mutual_tls(certificate_authority: trustme.CA, tmp_path: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate_authority.issue_cert("localhost").configure_cert(context)
    certificate_authority.configure_trust(context)
    certificate_authority.issue_cert("exporter").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "client.pem"
    )
    environ = {
        "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": str(tmp_path / "ca.pem"),
        "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE": str(tmp_path / "client.pem"),
    }
    async with (
        http_receiver(tls=context) as fake_receiver,
        otlp_pusher_harness(settings_for(fake_receiver), environ=environ) as harness,
    ):
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["ok"]


async def test_grpc_tls(certificate_authority: trustme.CA, tmp_path: Path) -> None:
    certificate = certificate_authority.issue_cert("localhost")
    credentials = grpc.ssl_server_credentials(
        [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())]
    )
    environ = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem")}
    with grpc_receiver(credentials) as fake_receiver:
        async with otlp_pusher_harness(settings_for(fake_receiver), environ=environ) as harness:
            await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["ok"]


# gRPC ----------------------------------------------------------------------------------------------------


async def test_headers_over_grpc() -> None:
    with grpc_receiver() as fake_receiver:
        async with otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness:
            await harness.publish(SMALL_SNAPSHOT)

    assert fake_receiver.metadata[0]["authorization"] == f"Bearer {TOKEN}"
    assert harness.telemetry.export_results == ["ok"]


async def test_grpc_unavailable_is_retried() -> None:
    def answer(number: int, call: Any) -> Any:
        if number == 0:
            call.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return partial_success(0, "")

    with grpc_receiver() as fake_receiver:
        fake_receiver.respond = answer
        async with otlp_pusher_harness(settings_for(fake_receiver)) as harness:
            await harness.publish(SMALL_SNAPSHOT)

    assert (len(fake_receiver.metadata), harness.telemetry.export_results) == (2, ["ok"])


@pytest.mark.parametrize(
    ("answer", "result", "why"),
    [
        (lambda _, call: call.abort(grpc.StatusCode.PERMISSION_DENIED, TOKEN), "failed", "PERMISSION_DENIED"),
        (lambda _, call: call.abort(grpc.StatusCode.INVALID_ARGUMENT, ""), "failed", "INVALID_ARGUMENT"),
        (lambda _n, _c: partial_success(2, "too old"), "partial", "too old"),
    ],
    ids=["denied", "invalid", "partial"],
)
async def test_grpc_rejections(
    answer: Callable[[int, Any], Any], result: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with grpc_receiver() as fake_receiver:
        fake_receiver.respond = answer
        async with otlp_pusher_harness(settings_for(fake_receiver, headers=HEADERS)) as harness:
            await harness.publish(SMALL_SNAPSHOT)

    assert (harness.telemetry.export_results, log_events(caplog)[0][1]) == ([result], why)


async def test_grpc_receiver_down(caplog: pytest.LogCaptureFixture) -> None:
    with grpc_receiver() as fake_receiver:
        pass
    async with otlp_pusher_harness(settings_for(fake_receiver, timeout=0.5)) as harness:
        await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == ["failed"]
    assert log_events(caplog)[0][1] in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


# The end -------------------------------------------------------------------------------------------------


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
    errors = [RuntimeError("odd")]

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


# Extras --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "module", "extra"),
    [(OtlpProtocol.HTTP, "exporter_http", "otlp"), (OtlpProtocol.GRPC, "exporter_grpc", "otlp-grpc")],
)
async def test_missing_extra_is_reported(
    protocol: OtlpProtocol, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, f"insights_exporter.otlp.{module}", None)

    with pytest.raises(ConfigError) as raised:
        async with otlp_pusher_harness(OtlpSettings(protocol=protocol)):
            pass

    assert f"found {protocol}, but its exporter is not installed" in str(raised.value)
    assert f"pip install 'insights-exporter[{extra}]'" in str(raised.value)


def test_extras_are_imported_lazily() -> None:
    extras = "{'grpc', 'requests', 'google.protobuf'}"
    code = f"import sys, insights_exporter.app.application; print({extras} & {{*sys.modules}})"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert completed.stdout == "set()\n"
