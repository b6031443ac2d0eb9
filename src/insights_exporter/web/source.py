"""The web configuration as it stands now: read anew when a file changes, the last good one otherwise."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

from insights_exporter.clock import Clock
from insights_exporter.errors import ConfigError
from insights_exporter.telemetry import Telemetry
from insights_exporter.web.config import WebConfig, load
from insights_exporter.web.tls import tls_context

__all__ = ["WebSource"]

logger = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int] | None, ...]


class WebSource:
    """Reads a web configuration file; raises ConfigError where the first reading fails.

    Asking costs one ``stat`` for each file. A new file that cannot be used is told once, in the log and to
    ``telemetry``, and changes nothing.
    """

    def __init__(self, path: Path, *, telemetry: Telemetry, clock: Clock) -> None:
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        # The stamp comes first: what changes while we read is then read again.
        alone = _stamp([path])
        config = load(path)
        files = _watched(path, config)
        self._stamp = (*alone, *_stamp(files[1:]))
        self._context = tls_context(config.tls) if config.tls is not None else None
        self._config = config
        self._files = files

    @property
    def encrypted(self) -> bool:
        """Whether connections are TLS; this stays until a restart."""
        return self._context is not None

    def config(self) -> WebConfig:
        """Return the newest configuration that can be used."""
        self._refresh()
        return self._config

    def context(self) -> ssl.SSLContext:
        """Return the newest TLS context that can be used; raise ConfigError where there is no TLS."""
        self._refresh()
        if self._context is None:
            raise ConfigError(f"{self._path}: expected tls_server_config, found none.")
        return self._context

    def _refresh(self) -> None:
        stamp = _stamp(self._files)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            config, context = self._read()
        except ConfigError as error:
            logger.error(  # noqa: TRY400 - the message says all; a trace would say where we read.
                "The web configuration stays as it was.", extra={"why": str(error)}
            )
            self._telemetry.reloaded(success=False, at=self._clock.now())
            return
        files = _watched(self._path, config)
        if files != self._files:
            self._files, self._stamp = files, (stamp[0], *_stamp(files[1:]))
        self._config, self._context = config, context
        logger.info("The web configuration was read anew.")
        self._telemetry.reloaded(success=True, at=self._clock.now())

    def _read(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        config = load(self._path)
        if (config.tls is None) != (self._context is None):
            raise ConfigError(f"{self._path}: expected TLS as it was, found a change that needs a restart.")
        return config, tls_context(config.tls) if config.tls is not None else None


def _watched(path: Path, config: WebConfig) -> list[Path]:
    return [path, *(config.tls.files if config.tls is not None else ())]


def _stamp(files: Iterable[Path]) -> _Stamp:
    return tuple(_one(file) for file in files)


def _one(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
