"""The command `run` pushes by OpenTelemetry's variables; a real Prometheus stores the same series."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from pathlib import Path

from insights_exporter.config.settings import OtlpSettings
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from tests.support.exposition_parsing import parse_series
from tests.support.otlp_pusher import otlp_pusher_harness
from tests.support.otlp_receiver import http_receiver, translate_to_prometheus
from tests.support.prometheus import Prometheus, prometheus_otlp_arguments
from tests.support.snapshots import rich_snapshot
from tests.support.waiting import wait_until

TOKEN = "hunter2-hunter2"


async def test_run_reads_otel_environment_variables() -> None:
    async with (
        serve(demo_deployment(Size(templates=1, users=3))) as coder_url,
        http_receiver() as fake_receiver,
    ):
        environ = {
            "INSIGHTS_EXPORTER_CODER_URL": coder_url,
            "INSIGHTS_EXPORTER_CODER_TOKEN": DEMO_TOKEN,
            "INSIGHTS_EXPORTER_OTLP_ENABLED": "true",
            "INSIGHTS_EXPORTER_OTLP_RESOURCE_ATTRIBUTES": "service.instance.id=coder-1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{fake_receiver.address}/base",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": f"authorization=Bearer%20{TOKEN}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=other,deployment.environment.name=test",
            "OTEL_SERVICE_NAME": "insights",
        }
        command = [sys.executable, "-m", "insights_exporter", "run", "--no-serve"]
        process = await asyncio.create_subprocess_exec(*command, env=os.environ | environ, stderr=PIPE)
        try:
            await wait_until(lambda: bool(fake_receiver.requests), timeout=60)
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    (resource_metrics,) = fake_receiver.requests[0].resource_metrics
    attributes = {
        attribute.key: attribute.value.string_value for attribute in resource_metrics.resource.attributes
    }
    names = {name for name, _ in translate_to_prometheus(fake_receiver.requests[:1]).series}

    assert process.returncode == 0
    assert fake_receiver.paths[0] == "/base/v1/metrics"
    assert fake_receiver.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert fake_receiver.headers[0]["Content-Encoding"] == "gzip"
    assert (
        attributes.items()
        >= {
            "service.name": "insights",
            "service.instance.id": "coder-1",
            "deployment.environment.name": "test",
        }.items()
    )
    assert attributes["coder.deployment.id"]
    assert {catalogue.TEMPLATE_USAGE.name, catalogue.BUILD_INFO.name} <= names
    assert "export succeeded" in log.decode()
    assert TOKEN not in log.decode()


def test_no_serve_without_otlp_is_rejected() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "insights_exporter", "run", "--no-serve"],
        env=os.environ
        | {"INSIGHTS_EXPORTER_CODER_URL": "http://127.0.0.1:1", "INSIGHTS_EXPORTER_CODER_TOKEN": DEMO_TOKEN},
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.returncode == 2
    assert "otlp.enabled: expected true" in completed.stderr


async def test_prometheus_stores_the_same_series(tmp_path: Path) -> None:
    arguments = prometheus_otlp_arguments()
    snapshot = rich_snapshot(templates=3, users=5)
    with Prometheus.run(tmp_path / "data", arguments=arguments) as prometheus:
        endpoint = f"{prometheus.url}/api/v1/otlp"
        async with otlp_pusher_harness(OtlpSettings(endpoint=endpoint, timeout=30.0)) as harness:
            now = datetime.now(UTC)
            harness.clock.current_time = now
            await harness.publish(snapshot)
            body = harness.exposition.body(Format.TEXT, gzip=False)
        result = await asyncio.to_thread(
            prometheus.query, '{__name__=~"coder_insights_.+"}', now + timedelta(seconds=1)
        )

    assert {
        (name, normalize_labels(dict(labels))): value
        for (name, labels), value in parse_series(body, Format.TEXT).items()
    } == {(labels["__name__"], normalize_labels(labels)): points[0][1] for labels, points in result}


def normalize_labels(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Return labels without empty ones and those of the receiver, and bounds as numbers."""
    added = {"__name__", "job", "instance"}
    bounds = {"le": str(float(labels["le"]))} if "le" in labels else {}
    return frozenset(
        (name, value) for name, value in (labels | bounds).items() if value and name not in added
    )
