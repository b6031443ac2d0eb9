"""Pushes by HTTP; only those who installed the extra ``otlp`` can import this."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # Ships no types.
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import MetricExporter
from requests import RequestException, Response, Session

from insights_exporter.metrics.otlp.answers import Answers
from insights_exporter.metrics.otlp.target import Target

__all__ = ["http_exporter"]

_CHUNK: Final = 8192
_CHUNKS: Final = 8
"""How much of an answer is read; a receiver has little to say."""

_OF_THIS_REQUEST: Final = frozenset((400, 413, 422))


def http_exporter(target: Target, headers: Mapping[str, str], answers: Answers) -> MetricExporter:
    """Return an exporter that notes what the receiver answers."""
    certificate, key = target.client_certificate or None, target.client_key or None
    return OTLPMetricExporter(
        endpoint=target.endpoint,
        certificate_file=target.certificate or None,
        client_key_file=key,
        client_certificate_file=certificate,
        headers=headers,
        timeout=target.timeout,
        compression=_COMPRESSIONS[target.compression],
        session=_Session(answers),
    )


_COMPRESSIONS: Final = {
    "none": Compression.NoCompression,
    "gzip": Compression.Gzip,
    "deflate": Compression.Deflate,
}


class _Redirected(Exception):  # noqa: N818 - it says what happened.
    """The receiver points elsewhere; the exporter would take that for success."""


class _Session(Session):
    """Listens to the answers."""

    def __init__(self, answers: Answers) -> None:
        super().__init__()
        self._answers = answers

    def request(self, *arguments: Any, **options: Any) -> Response:
        """Send a request, and note what comes of it."""
        try:
            # Unless it is said here, variables of the library win over the certificate of ours.
            options |= {"stream": True, "verify": self.verify}
            response = super().request(*arguments, **options)
            content = _read(response)
        except (RequestException, OSError) as error:
            self._answers.failed(type(error).__name__)
            raise
        if 300 <= response.status_code < 400:
            self._answers.failed(f"HTTP {response.status_code}, a redirect, which is not followed")
            raise _Redirected
        if response.ok:
            rejected, told = _partial(content)
            self._answers.succeeded(rejected=rejected, told=told)
        else:
            refused = response.status_code in _OF_THIS_REQUEST
            retry_after = _retry_after(response.headers.get("Retry-After", ""))
            self._answers.failed(f"HTTP {response.status_code}", refused=refused, retry_after=retry_after)
        return response


def _read(response: Response) -> bytes:
    """Return the beginning of an answer; the connection is used again only where that was all of it."""
    with response:
        return b"".join(islice(response.iter_content(_CHUNK), _CHUNKS))


def _partial(content: bytes) -> tuple[int, str]:
    """Return how many points were left out, and why."""
    try:
        answer = ExportMetricsServiceResponse.FromString(content).partial_success
    except DecodeError:
        return 0, ""  # Some answer with a text, although the specification says what to answer.
    return answer.rejected_data_points, answer.error_message


def _retry_after(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        seconds = (at - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0
