"""Sends one push, request after request, with OpenTelemetry's own exporter."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.resources import Resource

from insights_exporter.errors import ConfigError
from insights_exporter.metrics.otlp.answers import Answers
from insights_exporter.metrics.otlp.points import Moment, streams
from insights_exporter.metrics.otlp.requests import requests
from insights_exporter.metrics.otlp.target import Target, headers_of
from insights_exporter.metrics.text import Samples
from insights_exporter.secret import MASK
from insights_exporter.settings import OtlpProtocol, OtlpSettings

__all__ = ["Outcome", "Parcel", "Sender", "apart"]

T = TypeVar("T")

_SECRET: Final = 4
"""Texts shorter than this are no secrets, and hiding them would hide everything."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one push carries; every point of it is of the same moment."""

    families: Sequence[Samples]
    moment: Moment
    resource: Resource


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a push: ``ok``, ``partial`` or ``failed``, and what the receiver said."""

    result: str
    answers: Answers


class Sender:
    """Holds the connection to a receiver; headers and certificates are read anew at each push.

    Raises ConfigError where an exporter, a header or a certificate is missing.
    """

    def __init__(self, target: Target, settings: OtlpSettings, environ: Mapping[str, str]) -> None:
        self.target = target
        self._settings = settings
        self._environ = environ
        self._answers = Answers()
        self._given_up = threading.Event()
        self._headers: dict[str, str] = {}
        self._made_for: object = None
        self._exporter = self._renewed()

    def send(self, parcel: Parcel) -> Outcome:
        """Send everything, and wait for it; for a thread of its own. Raises ConfigError.

        A request that the receiver refuses for what is in it does not keep back the others. Any other
        failure does: what is left would fare the same.
        """
        exporter, answers = self._renewed(), self._answers
        answers.rejected, answers.told = 0, ""
        taken = refused = 0
        points = (stream for samples in parcel.families for stream in streams(samples, parcel.moment))
        for request in requests(points, parcel.resource):
            if self._given_up.is_set():
                return Outcome("failed", answers)
            answers.failed("no answer")
            if exporter.export(request) is MetricExportResult.SUCCESS:
                taken += 1
            elif answers.refused:
                refused += 1
            else:
                return Outcome("failed", answers)
        if refused and not taken:
            return Outcome("failed", answers)
        return Outcome("partial" if refused or answers.rejected else "ok", answers)

    def give_up(self) -> None:
        """Let a push that is under way end soon."""
        self._given_up.set()

    def close(self) -> None:
        """Close the connection."""
        self._given_up.set()
        self._exporter.shutdown()

    def masked(self, text: str) -> str:
        """Return a text without the values of headers, which a receiver may repeat."""
        for value in sorted(self._headers.values(), key=len, reverse=True):
            text = text.replace(value, MASK) if len(value) >= _SECRET else text
        return text

    def _renewed(self) -> MetricExporter:
        """Return the exporter, a new one where a header or a file has changed."""
        headers = headers_of(self._settings, self._environ)
        wanted = (headers, [_stamp(Path(file)) for file in self.target.files])
        if self._made_for != wanted:
            before = None if self._made_for is None else self._exporter
            self._exporter = _exporter(self.target, headers, self._answers)
            self._headers, self._made_for = headers, wanted
            if before is not None:
                before.shutdown()
        return self._exporter


async def apart(work: Callable[[], T]) -> T:
    """Return what some work gives that waits for others; done by a thread that never holds up the end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(give: Callable[[], None]) -> None:
        # Nobody may be left to hear of it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if done.done() else give())

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it.
            fault = error
            settle(lambda: done.set_exception(fault))
        else:
            settle(lambda: done.set_result(result))

    threading.Thread(target=run, name="otlp", daemon=True).start()
    return await done


def _exporter(target: Target, headers: Mapping[str, str], answers: Answers) -> MetricExporter:
    """Return OpenTelemetry's exporter for a protocol; raise ConfigError where it is not installed."""
    try:
        if target.protocol is OtlpProtocol.GRPC:
            from insights_exporter.metrics.otlp.grpc import grpc_exporter  # noqa: PLC0415 - an extra has it.

            return grpc_exporter(target, headers, answers)
        from insights_exporter.metrics.otlp.http import http_exporter  # noqa: PLC0415 - as above.
    except ImportError:
        extra = "otlp-grpc" if target.protocol is OtlpProtocol.GRPC else "otlp"
        raise ConfigError(
            f"otlp.protocol: found {target.protocol}, but its exporter is not installed. "
            f"Run: pip install 'insights-exporter[{extra}]'."
        ) from None
    return http_exporter(target, headers, answers)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError as error:
        raise ConfigError(f"Cannot read the file {file}: {error.strerror}.") from None
    return status.st_mtime_ns, status.st_ino
