"""Pushes what was published, the newest only, without anybody waiting for it.

All is cumulative, so a snapshot that was never pushed is no loss: the next one says it again. While a push
is under way or has failed, at most one snapshot waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.config.settings import OtlpSettings
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.encoder.text import FamilySamples
from insights_exporter.metrics.otlp.resource import build_resource
from insights_exporter.otlp.endpoint import resolve_endpoint
from insights_exporter.otlp.points import Timestamps, to_unix_nanos
from insights_exporter.otlp.receiver_status import ReceiverStatus
from insights_exporter.otlp.sender import ExportBatch, Sender, run_in_daemon_thread
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["FLUSH_TIMEOUT", "RESULTS", "OtlpPusher", "SelfMetricsSource"]

RESULTS: Final = ("ok", "partial", "failed", "skipped")

FLUSH_TIMEOUT: Final = 5.0
"""How many seconds the last push may take once the exporter is told to stop."""

_MAX_MESSAGE_LENGTH: Final = 200
"""How much of a receiver's words goes to the log."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SelfMetricsSource:
    """The exporter's own metrics as they stand when asked, and when their counting began."""

    samples: Callable[[], Iterable[FamilySamples]]
    start_time: datetime


class OtlpPusher:
    """Pushes in the background; belongs to one reading of the configuration.

    Raises ConfigError where pushes cannot be made as configured.
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
        for result in RESULTS:
            telemetry.export_finished(result, 0)

    def publish(self, snapshot: Snapshot, families: Sequence[FamilySamples]) -> None:
        """Push these families next, in place of any that still wait."""
        if snapshot.deployment is not None:
            self._deployment_id = snapshot.deployment.value.deployment_id or self._deployment_id
        if self._pending is not None:
            self._telemetry.export_finished("skipped")
        self._pending = families
        if self._push_task is None or self._push_task.done():
            self._push_task = asyncio.create_task(self._push_pending())

    async def close(self, *, flush: bool = True) -> None:
        """Push what still waits, within a deadline; or give it up."""
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
                self._record_result("failed", "the exporter stopped")
                raise
            except ConfigError as error:
                self._record_result("failed", str(error))
            except Exception as error:
                self._telemetry.export_finished("failed")
                logger.exception("A push failed by a fault of ours.", extra={"error": type(error).__name__})

    async def _push(self, families: Sequence[FamilySamples]) -> None:
        # Its own metrics are read here, where scrapes read them, as only one reader at a time may.
        all_families = (*families, *self._self_metrics.samples())
        timestamps = Timestamps(
            time=to_unix_nanos(self._clock.now().timestamp()),
            start_time=to_unix_nanos(self._self_metrics.start_time.timestamp()),
        )
        otel_resource = build_resource(self._settings.resource_attributes, deployment_id=self._deployment_id)
        batch = ExportBatch(all_families, timestamps, otel_resource)
        export_result = await run_in_daemon_thread(lambda: self._sender.send(batch))
        if export_result.status.retry_after:
            self._retry_at = self._clock.monotonic() + export_result.status.retry_after
        self._record_result(export_result.result, _failure_reason(export_result.result, export_result.status))

    def _record_result(self, result: str, reason: str) -> None:
        """Count a push, and tell when it fares otherwise than the one before."""
        self._telemetry.export_finished(result)
        result_and_reason = f"{result} {reason}"
        if result_and_reason == self._last_result:
            return
        self._last_result = result_and_reason
        extra = {"endpoint": self._sender.endpoint.address, "why": self._sender.mask_secrets(reason)}
        if result == "ok":
            logger.info("Pushes arrive.", extra={"endpoint": extra["endpoint"]})
        elif result == "partial":
            logger.warning("The receiver left out part of a push.", extra=extra)
        else:
            logger.error("Pushes fail; the newest numbers are tried at each turn.", extra=extra)


def _failure_reason(result: str, status: ReceiverStatus) -> str:
    if result == "ok":
        return ""
    message = " ".join(status.message.split())[:_MAX_MESSAGE_LENGTH]
    return "; ".join(part for part in (status.failure_reason, message) if part) or "no reason given"
