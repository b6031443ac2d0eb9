"""Settings, snapshots and log events of the tests of pushes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from insights_exporter.config.settings import OtlpProtocol, OtlpSettings
from insights_exporter.secrets import LiteralSecret, Secret
from tests.support.log_events import log_events
from tests.support.otlp_receiver import GrpcReceiver, HttpReceiver, success_response
from tests.support.snapshots import rich_snapshot

__all__ = ["HEADERS", "SMALL_SNAPSHOT", "TOKEN", "export_events", "responses", "settings_for"]

SMALL_SNAPSHOT = replace(rich_snapshot(templates=1, users=2), inventory=None, insights=None, agent_stats=None)
TOKEN = "hunter2-hunter2"
HEADERS = LiteralSecret(Secret(f"Authorization=Bearer {TOKEN},x-tenant=blue"))


def settings_for(fake_receiver: HttpReceiver | GrpcReceiver, **overrides: Any) -> OtlpSettings:
    """Return settings for a receiver, with a timeout of five seconds."""
    protocol = OtlpProtocol.GRPC if isinstance(fake_receiver, GrpcReceiver) else OtlpProtocol.HTTP
    return OtlpSettings(endpoint=fake_receiver.address, protocol=protocol, **({"timeout": 5.0} | overrides))


def responses(*sequence: web.Response) -> Callable[[int], web.Response]:
    """Return a responder that gives each response once, then success."""
    return lambda number: sequence[number] if number < len(sequence) else success_response()


def export_events(caplog: pytest.LogCaptureFixture) -> list[tuple[object, object]]:
    """Return event and error of each log event about exports."""
    return [
        (event["event"], event.get("error", ""))
        for event in log_events(caplog)
        if str(event["event"]).startswith("export ")
    ]
