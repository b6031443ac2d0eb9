"""Pushes each published snapshot to an OpenTelemetry receiver, in the background.

All counters are cumulative, so a snapshot that was not pushed is no loss: the next one has the newer totals.
While a push is under way, only the newest snapshot waits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from insights_exporter import __version__
from insights_exporter.clock import Clock
from insights_exporter.config.settings import OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.otlp.endpoint import resolve_endpoint
from insights_exporter.otlp.points import Timestamps, to_unix_nanos
from insights_exporter.otlp.sender import (
    ExportBatch,
    FailureReason,
    Sender,
    clean_message,
    run_in_daemon_thread,
)
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["FLUSH_TIMEOUT", "RESULTS", "SERVICE_NAME", "OtlpPusher", "SelfMetricsSource", "build_resource"]

RESULTS: Final = ("ok", "partial", "failed", "skipped")

SERVICE_NAME: Final = "coder-insights"
"""Prometheus turns it into the label ``job``, which the rules and dashboards select."""

FLUSH_TIMEOUT: Final = 5.0
"""Seconds that the last push may take when the exporter stops."""

logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SelfMetricsSource:
    """Reader of the current self metrics, and the time at which their counters started."""

    samples: Callable[[], Iterable[FamilySamples]]
    start_time: datetime


def build_resource(configured: Mapping[str, str], *, deployment_id: str = "") -> Resource:
    """Return the resource attributes: ``configured`` wins over OTEL_RESOURCE_ATTRIBUTES, that over defaults.

    The instance id is the host name, which is stable across restarts except in a Kubernetes Deployment.
    """
    defaults = {
        "service.name": SERVICE_NAME,
        "service.version": __version__,
        "service.instance.id": socket.gethostname(),
    }
    if deployment_id:
        defaults["coder.deployment.id"] = deployment_id
    return Resource(defaults).merge(OTELResourceDetector().detect()).merge(Resource(dict(configured)))


class OtlpPusher:
    """Pushes snapshots in the background with one configuration.

    Raises ConfigError for an invalid endpoint, header or certificate.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        *,
        self_metrics: SelfMetricsSource,
        clock: Clock,
        telemetry: Telemetry,
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._self_metrics = self_metrics
        self._clock = clock
        self._telemetry = telemetry
        self._sender = Sender(resolve_endpoint(settings, environ), settings, environ)
        self._deployment_id = ""
        self._pending: Sequence[FamilySamples] | None = None
        self._push_task: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._last_result = ""
        self._logged_reasons: set[FailureReason] = set()
        for result in RESULTS:
            telemetry.export_finished(result, 0)
        for reason in FailureReason:
            telemetry.export_error(reason, 0)

    def publish(self, snapshot: Snapshot, families: Sequence[FamilySamples]) -> None:
        """Push families as soon as possible, instead of those that still wait."""
        if snapshot.deployment is not None:
            self._deployment_id = snapshot.deployment.value.deployment_id or self._deployment_id
        if self._pending is not None:
            self._telemetry.export_finished("skipped")
        self._pending = families
        if self._push_task is None or self._push_task.done():
            self._push_task = asyncio.create_task(self._push_pending())

    async def close(self, *, flush: bool = True) -> None:
        """Push a waiting snapshot, for at most FLUSH_TIMEOUT; without ``flush`` drop it."""
        if not flush:
            self._pending = None
        if self._push_task is not None:
            done, _ = await asyncio.wait({self._push_task}, timeout=FLUSH_TIMEOUT if flush else 0.0)
            if not done:
                self._sender.cancel()
                self._push_task.cancel()
                await asyncio.wait({self._push_task})
        self._sender.close()

    async def _push_pending(self) -> None:
        while (families := self._pending) is not None:
            self._pending = None
            if self._clock.monotonic() < self._retry_at:
                self._telemetry.export_finished("skipped")
                continue
            try:
                await self._push(families)
            except asyncio.CancelledError:
                self._record_failure("failed", FailureReason.STOPPED, "the exporter stopped")
                raise
            except ConfigError as error:
                self._record_failure("failed", FailureReason.CONFIG, str(error))
            except Exception as error:
                self._telemetry.export_finished("failed")
                self._telemetry.export_error(FailureReason.INTERNAL)
                logger.exception("export failed unexpectedly", error=type(error).__name__)

    async def _push(self, families: Sequence[FamilySamples]) -> None:
        # Self metrics are read on the event loop, as for scrapes: they have one reader at a time.
        all_families = (*families, *self._self_metrics.samples())
        timestamps = Timestamps(
            time=to_unix_nanos(self._clock.now().timestamp()),
            start_time=to_unix_nanos(self._self_metrics.start_time.timestamp()),
        )
        otel_resource = build_resource(self._settings.resource_attributes, deployment_id=self._deployment_id)
        batch = ExportBatch(all_families, timestamps, otel_resource)
        export_result = await run_in_daemon_thread(lambda: self._sender.send(batch))
        status = export_result.status
        if status.retry_after:
            self._retry_at = self._clock.monotonic() + status.retry_after
        if export_result.result == "ok":
            self._record_success()
        else:
            # Secrets are masked before the text is cut, or a part of one could remain.
            message = clean_message(self._sender.mask_secrets(status.message))
            error = ": ".join(part for part in (status.error, message) if part)
            self._record_failure(export_result.result, status.reason, error or "no reason given")

    def _record_success(self) -> None:
        self._telemetry.export_finished("ok")
        self._logged_reasons.clear()
        if self._last_result != "ok":
            logger.info("export succeeded", endpoint=self._sender.endpoint.address)
        self._last_result = "ok"

    def _record_failure(self, result: str, reason: FailureReason, error: str) -> None:
        """Count a push, and log it once per reason until the next success."""
        self._telemetry.export_finished(result)
        self._telemetry.export_error(reason)
        self._last_result = result
        if reason in self._logged_reasons:
            return
        self._logged_reasons.add(reason)
        event = "export partially rejected" if result == "partial" else "export failed"
        log = logger.warning if result == "partial" else logger.error
        log(event, endpoint=self._sender.endpoint.address, reason=str(reason), error=error)
