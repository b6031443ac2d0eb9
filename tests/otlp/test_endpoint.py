"""Endpoint of pushes: from the settings, then from OpenTelemetry's variables."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.errors import ConfigError, SecretError
from insights_exporter.otlp.endpoint import Endpoint, resolve_endpoint, resolve_headers
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret

DEFAULTS = OtlpSettings()
GRPC_SETTINGS = OtlpSettings(protocol=OtlpProtocol.GRPC)


@pytest.mark.parametrize(
    ("settings", "environ", "endpoint", "encrypted"),
    [
        (DEFAULTS, {}, "http://localhost:4318/v1/metrics", False),
        (OtlpSettings(endpoint="http://otel:4318"), {}, "http://otel:4318/v1/metrics", False),
        (OtlpSettings(endpoint="https://otel/otlp/"), {}, "https://otel/otlp/v1/metrics", True),
        (OtlpSettings(endpoint="https://otel/v1/metrics"), {}, "https://otel/v1/metrics", True),
        (DEFAULTS, {"ENDPOINT": "https://otel:1/a"}, "https://otel:1/a/v1/metrics", True),
        (DEFAULTS, {"METRICS_ENDPOINT": "http://otel/a", "ENDPOINT": "http://b"}, "http://otel/a", False),
        (OtlpSettings(endpoint="http://c"), {"METRICS_ENDPOINT": "http://d"}, "http://c/v1/metrics", False),
        (GRPC_SETTINGS, {}, "localhost:4317", False),
        (GRPC_SETTINGS, {"ENDPOINT": "https://otel:4317"}, "otel:4317", True),
        (GRPC_SETTINGS, {"ENDPOINT": "otel:4317"}, "otel:4317", True),
        (GRPC_SETTINGS, {"ENDPOINT": "otel:4317", "INSECURE": "true"}, "otel:4317", False),
        (GRPC_SETTINGS, {"ENDPOINT": "https://otel:4317", "METRICS_INSECURE": "true"}, "otel:4317", True),
    ],
)
def test_endpoint(
    settings: OtlpSettings,
    environ: dict[str, str],
    endpoint: str,
    encrypted: bool,  # noqa: FBT001 - a test parameter.
) -> None:
    resolved = resolve_endpoint(
        settings, {f"OTEL_EXPORTER_OTLP_{name}": text for name, text in environ.items()}
    )

    assert (resolved.address, resolved.encrypted) == (endpoint, encrypted)


def test_metrics_variables_take_precedence() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "10000",
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT": "2500",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_HEADERS": "tenant=all",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "tenant=metrics,x=Basic%20YQ==",
    }

    assert resolve_endpoint(DEFAULTS, environ) == Endpoint(
        protocol=OtlpProtocol.GRPC,
        address="localhost:4317",
        encrypted=False,
        timeout=2.5,
        compression="gzip",
    )
    assert resolve_headers(DEFAULTS, environ) == {"tenant": "metrics", "x": "Basic YQ=="}


def test_configuration_takes_precedence_over_environment() -> None:
    settings = OtlpSettings(
        protocol=OtlpProtocol.HTTP, timeout=3.0, headers=LiteralSecret(Secret("Tenant=a, b = c=d ,"))
    )
    environ = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "10000",
        "OTEL_EXPORTER_OTLP_HEADERS": "tenant=z,other=y",
    }
    endpoint = resolve_endpoint(settings, environ)

    assert (endpoint.protocol, endpoint.timeout) == (OtlpProtocol.HTTP, 3.0)
    assert resolve_headers(settings, environ) == {"tenant": "a", "b": "c=d", "other": "y"}


def test_headers_are_reloaded(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("authorization=Bearer one")
    settings = OtlpSettings(headers=FileSecret(file))
    before = resolve_headers(settings, {})
    file.write_text("authorization=Bearer second")

    assert before == {"authorization": "Bearer one"}
    assert resolve_headers(settings, {}) == {"authorization": "Bearer second"}
    file.unlink()
    with pytest.raises(SecretError):
        resolve_headers(settings, {})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("PROTOCOL", "http/json", 'expected http/protobuf or grpc, got "http/json"'),
        ("TIMEOUT", "10", 'expected milliseconds, at least 100, got "10"'),
        ("METRICS_TIMEOUT", "5s", "expected milliseconds"),
        ("COMPRESSION", "zstd", 'expected none, gzip, deflate for http/protobuf, got "zstd"'),
        ("ENDPOINT", "otel:4318", "expected an http(s) URL"),
        ("ENDPOINT", "http://ada:hunter2@otel", "without user and password"),
        ("METRICS_ENDPOINT", "http://:80", "expected a URL with a host"),
        ("CERTIFICATE", "/none/ca.pem", "expected a certificate file: No such file"),
        (
            "METRICS_CLIENT_CERTIFICATE",
            "/none/c.pem",
            "expected a certificate file with its key: No such file",
        ),
        ("CLIENT_KEY", "/none/k.pem", "expected a certificate file for the client key"),
    ],
)
def test_errors_name_the_variable(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve_endpoint(DEFAULTS, {f"OTEL_EXPORTER_OTLP_{name}": text})

    assert message in str(raised.value)
    assert "OTEL_EXPORTER_OTLP_" in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["hunter2", "=hunter2", "a b=hunter2", "a=hun\nter2", "a=hunter2é", "a=1,hunter2"]
)
def test_header_errors_never_contain_values(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve_headers(DEFAULTS, {"OTEL_EXPORTER_OTLP_HEADERS": text})

    assert "OTEL_EXPORTER_OTLP_HEADERS: expected comma-separated pairs" in str(raised.value)
    assert "hun" not in str(raised.value)


def test_grpc_rejects_deflate() -> None:
    with pytest.raises(ConfigError, match="expected none, gzip for grpc"):
        resolve_endpoint(GRPC_SETTINGS, {"OTEL_EXPORTER_OTLP_COMPRESSION": "deflate"})


def test_encrypted_key_is_rejected_without_prompt(tmp_path: Path) -> None:
    certificate_authority = trustme.CA()
    certificate = certificate_authority.issue_cert("client")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    (tmp_path / "client.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    environ = {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(tmp_path / "client.pem"),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(tmp_path / "client.key"),
    }

    with pytest.raises(ConfigError, match="expected a certificate file with its key"):
        resolve_endpoint(DEFAULTS, environ)
