"""What the client must be told before it can talk to a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from insights_exporter.errors import ConfigError
from insights_exporter.secrets import SecretSource

__all__ = ["CoderSettings", "api_base_url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoderSettings:
    """Address, token and manners of one deployment; times are seconds.

    ``retries`` counts tries after the first one. Raises ConfigError when a value cannot be used.
    """

    url: str
    token: SecretSource
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    total_timeout: float = 60.0
    connect_timeout: float = 10.0
    read_timeout: float = 45.0
    concurrency: int = 2
    retries: int = 3
    max_response_bytes: int = 64 * 1024 * 1024
    workspace_page_size: int = 500

    def __post_init__(self) -> None:
        """Refuse what can never work."""
        api_base_url(self.url)
        for name in ("total_timeout", "connect_timeout", "read_timeout"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: expected seconds above 0, found {getattr(self, name)}.")
        for name in ("concurrency", "max_response_bytes", "workspace_page_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: expected at least 1, found {getattr(self, name)}.")
        if self.retries < 0:
            raise ConfigError(f"retries: expected 0 or more, found {self.retries}.")
        if self.key_file is not None and self.cert_file is None:
            raise ConfigError("key_file: expected cert_file beside it, found none.")


def api_base_url(text: str) -> URL:
    """Return the deployment's address, which may carry a path prefix; raise ConfigError for anything else."""
    expected = "expected an address such as https://coder.example.com"
    try:
        url = URL(text.strip())
        port = url.port
    except ValueError:
        # The text may hold a password, so the message does not repeat it.
        raise ConfigError(f"url: {expected}, found something that is no address.") from None
    if url.scheme not in {"http", "https"} or not url.host or port is None:
        raise ConfigError(f"url: {expected}, found a different scheme or no host.")
    if url.user is not None or url.password is not None:
        raise ConfigError(f"url: {expected}, found a user or password in it; use a session token.")
    if url.query_string or url.fragment or text.rstrip().endswith("?"):
        raise ConfigError(f"url: {expected}, found a query or fragment in it.")
    path = url.path.rstrip("/")
    return url.with_path(path.removesuffix("/api/v2") + "/api/v2")
