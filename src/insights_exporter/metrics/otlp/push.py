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
from insights_exporter.errors import ConfigError
from insights_exporter.metrics.otlp.answers import Answers
from insights_exporter.metrics.otlp.points import Moment, nanoseconds
from insights_exporter.metrics.otlp.resource import resource
from insights_exporter.metrics.otlp.sender import Parcel, Sender, apart
from insights_exporter.metrics.otlp.target import target_of
from insights_exporter.metrics.text import Samples
from insights_exporter.settings import OtlpSettings
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["FLUSH", "RESULTS", "Own", "Push"]

RESULTS: Final = ("ok", "partial", "failed", "skipped")

FLUSH: Final = 5.0
"""How many seconds the last push may take once the exporter is told to stop."""

_SHOWN: Final = 200
"""How much of a receiver's words goes to the log."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Own:
    """The exporter's own metrics as they stand when asked, and when their counting began."""

    samples: Callable[[], Iterable[Samples]]
    began: datetime


class Push:
    """Pushes in the background; belongs to one reading of the configuration.

    Raises ConfigError where pushes cannot be made as configured.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        *,
        own: Own,
        clock: Clock,
        telemetry: Telemetry,
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._own = own
        self._clock = clock
        self._telemetry = telemetry
        self._sender = Sender(target_of(settings, environ), settings, environ)
        self._deployment = ""
        self._waiting: Sequence[Samples] | None = None
        self._pushing: asyncio.Task[None] | None = None
        self._alone_until = 0.0
        self._state = ""
        for result in RESULTS:
            telemetry.exported(result, 0)

    def publish(self, snapshot: Snapshot, families: Sequence[Samples]) -> None:
        """Push these families next, in place of any that still wait."""
        if snapshot.deployment is not None:
            self._deployment = snapshot.deployment.value.deployment_id or self._deployment
        if self._waiting is not None:
            self._telemetry.exported("skipped")
        self._waiting = families
        if self._pushing is None or self._pushing.done():
            self._pushing = asyncio.create_task(self._push_what_waits())

    async def close(self, *, flush: bool = True) -> None:
        """Push what still waits, within a deadline; or give it up."""
        if not flush:
            self._waiting = None
        if self._pushing is not None:
            done, _ = await asyncio.wait({self._pushing}, timeout=FLUSH if flush else 0.0)
            if not done:
                self._sender.give_up()
                self._pushing.cancel()
                await asyncio.wait({self._pushing})
        self._sender.close()

    async def _push_what_waits(self) -> None:
        while (families := self._waiting) is not None:
            self._waiting = None
            if self._clock.monotonic() < self._alone_until:
                self._telemetry.exported("skipped")
                continue
            try:
                await self._push(families)
            except asyncio.CancelledError:
                self._ended("failed", "the exporter stopped")
                raise
            except ConfigError as error:
                self._ended("failed", str(error))
            except Exception as error:
                self._telemetry.exported("failed")
                logger.exception("A push failed by a fault of ours.", extra={"error": type(error).__name__})

    async def _push(self, families: Sequence[Samples]) -> None:
        # Its own metrics are read here, where scrapes read them, as only one reader at a time may.
        everything = (*families, *self._own.samples())
        moment = Moment(
            at=nanoseconds(self._clock.now().timestamp()), began=nanoseconds(self._own.began.timestamp())
        )
        described = resource(self._settings.resource_attributes, deployment=self._deployment)
        parcel = Parcel(everything, moment, described)
        outcome = await apart(lambda: self._sender.send(parcel))
        if outcome.answers.retry_after:
            self._alone_until = self._clock.monotonic() + outcome.answers.retry_after
        self._ended(outcome.result, _why(outcome.result, outcome.answers))

    def _ended(self, result: str, why: str) -> None:
        """Count a push, and tell when it fares otherwise than the one before."""
        self._telemetry.exported(result)
        state = f"{result} {why}"
        if state == self._state:
            return
        self._state = state
        told = {"endpoint": self._sender.target.endpoint, "why": self._sender.masked(why)}
        if result == "ok":
            logger.info("Pushes arrive.", extra={"endpoint": told["endpoint"]})
        elif result == "partial":
            logger.warning("The receiver left out part of a push.", extra=told)
        else:
            logger.error("Pushes fail; the newest numbers are tried at each turn.", extra=told)


def _why(result: str, answers: Answers) -> str:
    if result == "ok":
        return ""
    words = " ".join(answers.told.split())[:_SHOWN]
    return "; ".join(part for part in (answers.failure, words) if part) or "no reason given"
