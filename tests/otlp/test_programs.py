"""The command pushes as the standard variables say, and a real Prometheus takes it in."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.text import Format
from insights_exporter.settings import OtlpSettings
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.generated import Size
from insights_exporter.simulator.stage import DEMO_TOKEN, stage
from tests.support.expositions import series
from tests.support.otlp import receiver, translated
from tests.support.prometheus import Prometheus
from tests.support.pushing import pushing
from tests.support.snapshots import rich_snapshot

TOKEN = "hunter2-hunter2"


async def test_the_command_pushes_as_the_standard_variables_say() -> None:
    async with serve(stage(Size(templates=1, users=3))) as coder, receiver() as one:
        environ = {
            "INSIGHTS_EXPORTER_CODER_URL": coder,
            "INSIGHTS_EXPORTER_CODER_TOKEN": DEMO_TOKEN,
            "INSIGHTS_EXPORTER_OTLP_ENABLED": "true",
            "INSIGHTS_EXPORTER_OTLP_RESOURCE_ATTRIBUTES": "service.instance.id=coder-1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{one.address}/base",
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS": f"authorization=Bearer%20{TOKEN}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=other,deployment.environment.name=test",
            "OTEL_SERVICE_NAME": "insights",
        }
        command = [sys.executable, "-m", "insights_exporter", "run", "--no-serve"]
        process = await asyncio.create_subprocess_exec(*command, env=os.environ | environ, stderr=PIPE)
        try:
            async with asyncio.timeout(60):
                while not one.requests:  # noqa: ASYNC110 - what is waited for is another process.
                    await asyncio.sleep(0.02)
        finally:
            process.send_signal(signal.SIGTERM)
            _, log = await process.communicate()
    (described,) = one.requests[0].resource_metrics
    attributes = {each.key: each.value.string_value for each in described.resource.attributes}
    names = {name for name, _ in translated(one.requests[:1]).series}

    assert process.returncode == 0
    assert one.paths[0] == "/base/v1/metrics"
    assert one.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert one.headers[0]["Content-Encoding"] == "gzip"
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
    assert "Pushes arrive." in log.decode()
    assert TOKEN not in log.decode()


def test_the_command_refuses_to_do_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "insights_exporter", "run", "--no-serve"],
        env=os.environ
        | {"INSIGHTS_EXPORTER_CODER_URL": "http://127.0.0.1:1", "INSIGHTS_EXPORTER_CODER_TOKEN": DEMO_TOKEN},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "otlp.enabled: expected true" in done.stderr


def otlp_arguments() -> list[str]:
    """Return what lets the Prometheus at hand receive pushes; skips where it cannot."""
    if shutil.which("prometheus") is None:
        pytest.skip("Not run: prometheus is not installed.")
    done = subprocess.run(["prometheus", "--help"], capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    if "web.enable-otlp-receiver" in told:
        return ["--web.enable-otlp-receiver"]
    if "otlp-write-receiver" in told:
        return ["--enable-feature=otlp-write-receiver"]
    pytest.skip("Not run: this Prometheus has no receiver of OTLP, which came with 2.47.")


async def test_prometheus_finds_the_series_of_the_page(tmp_path: Path) -> None:
    arguments = otlp_arguments()
    snapshot = rich_snapshot(templates=3, users=5)
    with Prometheus.serving(tmp_path / "data", arguments=arguments) as prometheus:
        endpoint = f"{prometheus.url}/api/v1/otlp"
        async with pushing(OtlpSettings(endpoint=endpoint, timeout=30.0)) as pair:
            now = datetime.now(UTC)
            pair.clock.moment = now
            await pair.publish(snapshot)
            page = pair.exposition.page(Format.TEXT, gzip=False)
        found = await asyncio.to_thread(
            prometheus.instant, '{__name__=~"coder_insights_.+"}', now + timedelta(seconds=1)
        )

    assert {
        (name, alike(dict(labels))): value for (name, labels), value in series(page, Format.TEXT).items()
    } == {(labels["__name__"], alike(labels)): points[0][1] for labels, points in found}


def alike(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Return labels without what a receiver adds, with bounds as numbers, and without empty ones."""
    added = {"__name__", "job", "instance"}
    bounds = {"le": str(float(labels["le"]))} if "le" in labels else {}
    return frozenset(
        (name, value) for name, value in (labels | bounds).items() if value and name not in added
    )
