"""Rotation of the session token in ``coder.token_file``, for cron and Kubernetes CronJobs.

The order of steps keeps a valid token in the file at every point of failure: the new token is created, stored
in a temporary file and verified before it replaces the old one, and only then the old token is revoked. A
crash leaves at most one unused token in Coder, which expires by itself.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from insights_exporter.clock import Clock
from insights_exporter.coder import models
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import CoderSettings
from insights_exporter.errors import (
    ConfigError,
    ExporterError,
    NotFoundOrForbidden,
    UpstreamError,
)
from insights_exporter.secrets import FileSecret, LiteralSecret, Secret

__all__ = ["RotationError", "TokenRotation"]

DEFAULT_NAME: Final = "insights-exporter"
"""Base name for a token without a name."""

ROTATION_TIMEOUT: Final = 120.0
"""Seconds for all requests of a rotation."""

_SUFFIX: Final = re.compile(r"-\d{14}$")
_DAY: Final = 86_400


class RotationError(ExporterError):
    """A rotation failed; the message says which token is valid."""

    reason = "token_rotation"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The token to create, and the token to revoke."""

    old: models.Token
    account_id: str
    name: str
    lifetime: float
    scopes: tuple[str, ...]


class TokenRotation:
    """Replaces the token in a file by a new token of the same account, with the same scopes.

    ``lifetime`` is seconds; by default the new token has the old token's lifetime. ``revoke_delay`` is the
    time in seconds between the replacement of the file and the revocation of the old token, in which running
    exporters finish requests with the old one. ``report`` receives one line of text per step.
    """

    def __init__(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        self,
        settings: CoderSettings,
        *,
        clock: Clock,
        report: Callable[[str], None],
        lifetime: float | None = None,
        revoke_delay: float = 0.0,
        create_client: Callable[..., CoderClient] = CoderClient,
    ) -> None:
        if not isinstance(settings.token, FileSecret):
            raise ConfigError(
                "coder.token_file: expected a file to write the new token to, got another source"
            )
        self._settings = settings
        # A Kubernetes volume mounts files as symbolic links; the link itself must stay.
        self._path = settings.token.path.resolve()
        self._clock = clock
        self._report = report
        self._lifetime = lifetime
        self._revoke_delay = revoke_delay
        self._create_client = create_client

    async def run(self, *, dry_run: bool = False) -> None:
        """Rotate the token; raise ConfigError for invalid settings and RotationError for a failed step."""
        old_secret = self._settings.token.read()
        async with self._client(old_secret) as client:
            try:
                plan = await self._plan(client)
            except UpstreamError as error:
                raise RotationError(f"token rotation failed, the token is unchanged: {error}") from None
            with self._temporary_file() as temporary:
                if dry_run:
                    self._report(
                        f"dry run: would create token {plan.name} for {_format_lifetime(plan.lifetime)}, "
                        f"write it to {self._path} and revoke token {plan.old.id}"
                    )
                    return
                new_secret = await self._create(client, plan)
                try:
                    temporary.write(new_secret)
                    await self._verify(new_secret, plan)
                    temporary.replace(self._path)
                except (OSError, ExporterError) as error:
                    await self._discard(client, new_secret)
                    raise RotationError(
                        f"token rotation failed, the old token stays in {self._path}: {error}"
                    ) from None
        self._report(
            f"created token {plan.name} for {_format_lifetime(plan.lifetime)}, wrote it to {self._path}"
        )
        await self._clock.sleep(self._revoke_delay)
        await self._revoke(new_secret, plan.old)
        self._report(f"revoked token {plan.old.id}")

    def _client(self, secret: Secret) -> CoderClient:
        settings = self._settings.model_copy(update={"token": LiteralSecret(secret)})
        return self._create_client(settings, clock=self._clock)

    async def _plan(self, client: CoderClient) -> _Plan:
        client = client.with_timeout(ROTATION_TIMEOUT)
        account = await client.me()
        old = await client.current_token()
        if old is None:
            raise ConfigError(
                "coder.token_file: expected an API token of `coder tokens create`, got another key"
            )
        maximum = await client.max_token_lifetime()
        lifetime = self._lifetime or float(old.lifetime_seconds or 0)
        if lifetime < 1:
            raise ConfigError("--lifetime: expected a lifetime, as the old token has none, got nothing")
        if maximum is not None and lifetime > maximum:
            if self._lifetime is not None:
                raise ConfigError(
                    f"--lifetime: expected at most {_format_lifetime(maximum)}, Coder's maximum for this "
                    f"account, got {_format_lifetime(lifetime)}"
                )
            lifetime = maximum
        scopes = tuple(sorted(old.scopes)) or (old.scope or "all",)
        if {"all", "coder:all"} & set(scopes):
            scopes = ("all",)
        return _Plan(old, account.id, _next_name(old.token_name, self._clock.now()), lifetime, scopes)

    async def _create(self, client: CoderClient, plan: _Plan) -> Secret:
        try:
            return await client.create_token(plan.name, lifetime=plan.lifetime, scopes=plan.scopes)
        except UpstreamError as error:
            raise RotationError(
                f"token rotation failed, the token is unchanged; if Coder lists a token {plan.name}, "
                f"revoke it: {error}"
            ) from None

    async def _verify(self, secret: Secret, plan: _Plan) -> None:
        """Raise ExporterError unless Coder accepts the token for the same account."""
        async with self._client(secret) as client:
            account = await client.with_timeout(ROTATION_TIMEOUT).me()
        if account.id != plan.account_id:
            raise RotationError("the new token belongs to another account")

    async def _discard(self, client: CoderClient, secret: Secret) -> None:
        """Revoke the new token of a failed rotation; if that fails too, it expires by itself."""
        with suppress(UpstreamError):
            await client.with_timeout(ROTATION_TIMEOUT).delete_token(_key_id(secret))

    async def _revoke(self, new_secret: Secret, old: models.Token) -> None:
        try:
            async with self._client(new_secret) as client:
                await client.with_timeout(ROTATION_TIMEOUT).delete_token(old.id)
        except NotFoundOrForbidden:
            return  # Coder deleted it meanwhile, for example because it expired.
        except UpstreamError as error:
            raise RotationError(
                f"the new token is in {self._path}, but token {old.id} could not be revoked; revoke it with "
                f"`coder tokens remove {old.id}`: {error}"
            ) from None

    @contextmanager
    def _temporary_file(self) -> Iterator[_TemporaryFile]:
        """Yield a temporary file beside the token file; raise ConfigError before anything has changed."""
        try:
            temporary = _TemporaryFile.create(self._path)
        except OSError as error:
            raise ConfigError(
                f"coder.token_file: expected a file that can be replaced, got {self._path}: {error.strerror}"
            ) from None
        try:
            yield temporary
        finally:
            temporary.discard()


@dataclass(slots=True)
class _TemporaryFile:
    """A file with mode 0600 and the owner of the file that it replaces."""

    path: Path
    descriptor: int

    @classmethod
    def create(cls, target: Path) -> _TemporaryFile:
        """Create the file; raise OSError if the folder is read-only or the owner cannot be kept."""
        owner = target.stat()
        # `mkstemp` creates exclusively, follows no symbolic link and sets mode 0600.
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = cls(Path(name), descriptor)
        try:
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except OSError:
            temporary.discard()
            raise
        return temporary

    def write(self, secret: Secret) -> None:
        """Write the secret and flush it to the disk."""
        os.write(self.descriptor, f"{secret.reveal()}\n".encode())
        os.fsync(self.descriptor)

    def replace(self, target: Path) -> None:
        """Replace the target atomically."""
        self.path.replace(target)
        with suppress(OSError):
            # Some file systems cannot flush a folder; the rename itself has succeeded.
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Close the file, and delete it unless it replaced the target."""
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


def _next_name(name: str, now: datetime) -> str:
    """Return the token's name with a new time as suffix; names are unique per account."""
    return f"{_SUFFIX.sub('', name) or DEFAULT_NAME}-{now:%Y%m%d%H%M%S}"


def _key_id(secret: Secret) -> str:
    return secret.reveal().partition("-")[0]


def _format_lifetime(seconds: float) -> str:
    return f"{seconds / _DAY:g} days"
