"""The web configuration as it stands now: read anew when a file changes, the last good one otherwise."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

from insights_exporter.clock import Clock
from insights_exporter.errors import ConfigError
from insights_exporter.server.auth.tls import tls_context
from insights_exporter.server.auth.web_config import WebConfig, load_web_config
from insights_exporter.telemetry import Telemetry

__all__ = ["WebConfigReloader"]

logger = logging.getLogger(__name__)

_StatSignature = tuple[tuple[int, int, int] | None, ...]


class WebConfigReloader:
    """Reads a web configuration file; raises ConfigError where the first reading fails.

    Asking costs one ``stat`` for each file. A new file that cannot be used is told once, in the log and to
    ``telemetry``, and changes nothing.
    """

    def __init__(self, path: Path, *, telemetry: Telemetry, clock: Clock) -> None:
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        # The stamp comes first: what changes while we read is then read again.
        config_signature = _stat_signature([path])
        config = load_web_config(path)
        files = _watched_files(path, config)
        self._signature = (*config_signature, *_stat_signature(files[1:]))
        self._context = tls_context(config.tls) if config.tls is not None else None
        self._config = config
        self._files = files

    @property
    def uses_tls(self) -> bool:
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
        signature = _stat_signature(self._files)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            config, context = self._load()
        except ConfigError as error:
            logger.error("The web configuration stays as it was.", extra={"why": str(error)})
            self._telemetry.config_reloaded(success=False, at=self._clock.now())
            return
        files = _watched_files(self._path, config)
        if files != self._files:
            self._files, self._signature = files, (signature[0], *_stat_signature(files[1:]))
        self._config, self._context = config, context
        logger.info("The web configuration was read anew.")
        self._telemetry.config_reloaded(success=True, at=self._clock.now())

    def _load(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        config = load_web_config(self._path)
        if (config.tls is None) != (self._context is None):
            raise ConfigError(f"{self._path}: expected TLS as it was, found a change that needs a restart.")
        return config, tls_context(config.tls) if config.tls is not None else None


def _watched_files(path: Path, config: WebConfig) -> list[Path]:
    return [path, *(config.tls.files if config.tls is not None else ())]


def _stat_signature(files: Iterable[Path]) -> _StatSignature:
    return tuple(_stat_file(file) for file in files)


def _stat_file(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
