"""Import into VictoriaMetrics over HTTP."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from typing import Final

import aiohttp
from yarl import URL

from insights_exporter.backfill.journal import BackfillError, FileRecord
from insights_exporter.backfill.samples import RangeSamples
from insights_exporter.clock import Clock

__all__ = ["IMPORT_PATH", "VictoriaMetricsImport"]

IMPORT_PATH: Final = "/api/v1/import/prometheus"

_BODY_BYTES: Final = 8 * 2**20
"""Size of a request before compression; VictoriaMetrics processes a request as it arrives."""

_ATTEMPTS: Final = 4
_RETRY_DELAY: Final = 2.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=300)


class VictoriaMetricsImport:
    """Sends samples in the Prometheus text format with timestamps in milliseconds.

    ``url`` is the server's, or the complete one of the import in a cluster.
    """

    def __init__(self, url: str, *, session: aiohttp.ClientSession, clock: Clock) -> None:
        target = URL(url)
        self._url = target if target.path.endswith(IMPORT_PATH) else target.joinpath(IMPORT_PATH.lstrip("/"))
        self._session = session
        self._clock = clock

    async def write(self, name: str, samples: RangeSamples) -> FileRecord:
        """Send the samples of a range; those that an interrupted run has sent already are sent again."""
        size = 0
        bodies = _bodies(samples)
        while (body := await asyncio.to_thread(next, bodies, None)) is not None:
            await self._send(body)
            size += len(body)
        return FileRecord(name, samples.series, samples.sample_count, size)

    def keep(self, record: FileRecord) -> None:
        """Do nothing: the server has the samples."""

    async def _send(self, body: bytes) -> None:
        for attempt in range(_ATTEMPTS):
            problem = await self._try_send(body)
            if not problem:
                return
            if attempt < _ATTEMPTS - 1:
                await self._clock.sleep(_RETRY_DELAY * 2**attempt)
        raise BackfillError(f"--push: {self._url.with_user(None)}: {problem}")

    async def _try_send(self, body: bytes) -> str:
        """Return why the server did not accept the samples; empty if it did."""
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        try:
            async with self._session.post(
                self._url, data=body, headers=headers, timeout=_TIMEOUT
            ) as response:
                if response.status < 300:
                    return ""
                if response.status < 500 and response.status != 429:
                    raise BackfillError(
                        f"--push: {self._url.with_user(None)}: expected HTTP 204, got {response.status}"
                    )
                return f"expected HTTP 204, got {response.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            return str(error) or type(error).__name__


def _bodies(samples: RangeSamples) -> Iterator[bytes]:
    """Yield compressed request bodies of whole lines."""
    blocks: list[bytes] = []
    size = 0
    for block in samples.text():
        blocks.append(block)
        size += len(block)
        if size >= _BODY_BYTES:
            yield gzip.compress(b"".join(blocks), compresslevel=1)
            blocks, size = [], 0
    if blocks:
        yield gzip.compress(b"".join(blocks), compresslevel=1)
