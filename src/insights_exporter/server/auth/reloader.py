"""Reload the web configuration file and its certificates when they change."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

import structlog

from insights_exporter.clock import Clock
from insights_exporter.errors import ConfigError
from insights_exporter.server.auth.tls import tls_context
from insights_exporter.server.auth.web_config import WebConfig, load_web_config
from insights_exporter.telemetry import Telemetry

__all__ = ["WebConfigReloader"]

logger = structlog.stdlib.get_logger(__name__)

_StatSignature = tuple[tuple[int, int, int] | None, ...]


class WebConfigReloader:
    """Loads a web configuration file and reloads it on change; raises ConfigError if the first load fails.

    Each access costs one ``stat`` per file. After a failed reload the last valid configuration stays active;
    the failure is reported once, to the log and to ``telemetry``.
    """

    def __init__(self, path: Path, *, telemetry: Telemetry, clock: Clock) -> None:
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        # The signature is taken before the file is read, so a change in between causes another reload.
        config_signature = _stat_signature([path])
        config = load_web_config(path)
        files = _watched_files(path, config)
        self._signature = (*config_signature, *_stat_signature(files[1:]))
        self._context = tls_context(config.tls) if config.tls is not None else None
        self._config = config
        self._files = files

    @property
    def uses_tls(self) -> bool:
        """Whether the server uses TLS; a change needs a restart."""
        return self._context is not None

    def config(self) -> WebConfig:
        """Return the current configuration."""
        self._refresh()
        return self._config

    def context(self) -> ssl.SSLContext:
        """Return the current TLS context; raise ConfigError without TLS."""
        self._refresh()
        if self._context is None:
            raise ConfigError(f"{self._path}: expected tls_server_config, got none")
        return self._context

    def _refresh(self) -> None:
        signature = _stat_signature(self._files)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            config, context = self._load()
        except ConfigError as error:
            logger.error("web config reload failed", error=str(error))  # noqa: TRY400  # The message says it all.
            self._telemetry.config_reloaded(success=False, at=self._clock.now())
            return
        files = _watched_files(self._path, config)
        if files != self._files:
            self._files, self._signature = files, (signature[0], *_stat_signature(files[1:]))
        self._config, self._context = config, context
        logger.info("web config reloaded")
        self._telemetry.config_reloaded(success=True, at=self._clock.now())

    def _load(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        config = load_web_config(self._path)
        if (config.tls is None) != (self._context is None):
            before, after = ("on", "off") if self.uses_tls else ("off", "on")
            raise ConfigError(
                f"{self._path}: expected TLS to stay {before}, got {after}; restart to change it"
            )
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
