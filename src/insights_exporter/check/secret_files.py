"""Check of the permissions of files with tokens, keys and passwords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from insights_exporter.check.finding import Finding, Level
from insights_exporter.config.secret_files import exposed_secret_files, is_world_readable
from insights_exporter.config.settings import Settings
from insights_exporter.errors import ConfigError
from insights_exporter.server.auth.web_config import load_web_config

__all__ = ["check_secret_files"]


def check_secret_files(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each file that every user of the machine can read."""
    for key, path in (*exposed_secret_files(settings), *_exposed_server_key(settings)):
        text = f"Every user of this machine can read {path} ({key})."
        yield Finding(Level.WARNING, "secret files", text, f"Run chmod 600 {path} as the exporter's user.")


def _exposed_server_key(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Yield the private key of the HTTP server, which the web configuration file names."""
    file = settings.server.web_config_file
    if file is None:
        return
    try:
        tls = load_web_config(file).tls
    except ConfigError:
        # The server reports an invalid web configuration file.
        return
    if tls is not None and tls.key.file is not None and is_world_readable(tls.key.file):
        yield f"tls_server_config.key_file of {file}", tls.key.file
