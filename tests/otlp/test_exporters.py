"""Exporters for HTTP and gRPC: compression, headers, TLS, gRPC status codes, optional packages."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # Ships no types.
import pytest
import trustme

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.secrets import FileSecret
from tests.otlp.scenarios import HEADERS, SMALL_SNAPSHOT, TOKEN, export_events, settings_for
from tests.support.otlp_pusher import otlp_pusher_harness
from tests.support.otlp_receiver import (
    grpc_receiver,
    http_receiver,
    partial_success,
    translate_to_prometheus,
)


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
    assert str(file) in str(export_events(caplog)[0][1])


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
    assert export_events(caplog)[0][1] == "SSLError"


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
        (
            lambda _, call: call.abort(grpc.StatusCode.PERMISSION_DENIED, f"token {TOKEN}"),
            "failed",
            "PERMISSION_DENIED: token ***",
        ),
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

    assert (harness.telemetry.export_results, export_events(caplog)[0][1]) == ([result], why)


async def test_grpc_receiver_down(caplog: pytest.LogCaptureFixture) -> None:
    with grpc_receiver() as fake_receiver:
        pass
    async with otlp_pusher_harness(settings_for(fake_receiver, timeout=0.5)) as harness:
        await harness.publish(SMALL_SNAPSHOT)

    ((event, error),) = export_events(caplog)

    assert harness.telemetry.export_results == ["failed"]
    assert harness.telemetry.export_errors == ["unavailable"]
    assert event == "export failed"
    assert str(error).startswith(("UNAVAILABLE", "DEADLINE_EXCEEDED"))


async def test_alternating_reasons_of_an_outage_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same outage of a gRPC receiver has several status codes, which alternate by chance."""

    def answer(number: int, call: Any) -> Any:
        if number < 6:
            codes = grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN
            call.abort(codes[number % 2], f"attempt {number}")
        return partial_success(0, "")

    with grpc_receiver() as fake_receiver:
        fake_receiver.respond = answer
        async with otlp_pusher_harness(settings_for(fake_receiver)) as harness:
            for _ in range(7):
                await harness.publish(SMALL_SNAPSHOT)

    assert harness.telemetry.export_results == [*["failed"] * 6, "ok"]
    assert [event for event, _ in export_events(caplog)] == ["export failed", "export succeeded"]


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

    assert f"the exporter for {protocol} is not installed" in str(raised.value)
    assert f"pip install 'insights-exporter[{extra}]'" in str(raised.value)


def test_extras_are_imported_lazily() -> None:
    extras = "{'grpc', 'requests', 'google.protobuf'}"
    code = f"import sys, insights_exporter.app.application; print({extras} & {{*sys.modules}})"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert completed.stdout == "set()\n"
