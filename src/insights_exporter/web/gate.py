"""Who gets in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import math
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from insights_exporter.clock import Clock
from insights_exporter.errors import SecretError
from insights_exporter.settings import ServerSettings
from insights_exporter.web.config import RateLimit, WebConfig
from insights_exporter.web.passwords import TooBusy
from insights_exporter.web.source import WebSource
from insights_exporter.web.visitors import ATTEMPTS, Visitors

__all__ = ["middlewares"]

logger = logging.getLogger(__name__)

_PROBES = frozenset({"/-/healthy", "/-/ready"})
_SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


def middlewares(
    settings: ServerSettings, *, source: WebSource | None, clock: Clock, visitors: Visitors | None = None
) -> Sequence[Middleware]:
    """Return what every request passes, first to last.

    Without a web configuration and a bearer token everybody gets in. Probes are open to all who can connect.
    """
    gate = _Gate(settings, source, clock, visitors or Visitors())

    @web.middleware
    async def headers(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        for name, value in gate.config().headers.items():
            response.headers[name] = value
        return response

    @web.middleware
    async def entrance(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = await gate.refusal(request)
        return refusal if refusal is not None else await handler(request)

    return (headers, entrance)


class _Gate:
    """Decides about requests."""

    def __init__(
        self, settings: ServerSettings, source: WebSource | None, clock: Clock, visitors: Visitors
    ) -> None:
        self._settings = settings
        self._source = source
        self._clock = clock
        self._visitors = visitors
        self._unreadable = ""
        self._open = _PROBES | (
            ({"/metrics"} if settings.open_metrics else set()) | ({"/"} if settings.open_page else set())
        )

    def config(self) -> WebConfig:
        """Return the newest web configuration."""
        return self._source.config() if self._source is not None else WebConfig()

    async def refusal(self, request: web.Request) -> web.Response | None:
        """Return why the request does not get in; None where it does."""
        config = self.config()
        if not _named(request, config) or _foreign(request):
            return _refused(HTTPStatus.FORBIDDEN)
        if request.path not in _PROBES and not self._visitors.in_time(config.rate, self._clock.monotonic()):
            return _refused(HTTPStatus.TOO_MANY_REQUESTS, {hdrs.RETRY_AFTER: _whole(config.rate)})
        if request.path in self._open or not (config.users or self._settings.bearer_token):
            return None
        scheme, _, rest = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer" and self._settings.bearer_token is not None:
            return self._bearer(rest.strip(), config)
        if scheme.lower() == "basic" and config.users:
            return await self._basic(rest.strip(), config, request.remote or "")
        return self._unknown(config)

    def _bearer(self, token: str, config: WebConfig) -> web.Response | None:
        source = self._settings.bearer_token
        try:
            wanted = source.read().reveal() if source is not None else ""
        except SecretError as error:
            if self._unreadable != str(error):
                self._unreadable = str(error)
                logger.error("The bearer token cannot be read.", extra={"why": str(error)})  # noqa: TRY400 - it says all.
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE)
        self._unreadable = ""
        if wanted and hmac.compare_digest(_hashed(token), _hashed(wanted)):
            return None
        return self._unknown(config)

    async def _basic(self, login: str, config: WebConfig, address: str) -> web.Response | None:
        name, password = _login(login)
        if self._visitors.passwords.remembered(config.users, name, password):
            return None
        # Each new password spends an attempt, and a right one gives it back by being remembered.
        if not self._visitors.may_try(address, self._clock.monotonic()):
            return _refused(HTTPStatus.TOO_MANY_REQUESTS, {hdrs.RETRY_AFTER: _whole(ATTEMPTS)})
        try:
            right = await self._visitors.passwords.right(config.users, name, password)
        except TooBusy:
            return _refused(HTTPStatus.TOO_MANY_REQUESTS, {hdrs.RETRY_AFTER: _whole(ATTEMPTS)})
        return None if right else self._unknown(config)

    def _unknown(self, config: WebConfig) -> web.Response:
        asks = [
            *(['Basic realm="insights_exporter", charset="UTF-8"'] if config.users else []),
            *(['Bearer realm="insights_exporter"'] if self._settings.bearer_token else []),
        ]
        return _refused(HTTPStatus.UNAUTHORIZED, {hdrs.WWW_AUTHENTICATE: ", ".join(asks)})


def _named(request: web.Request, config: WebConfig) -> bool:
    """Say whether the client's certificate has an allowed name; who showed none was let in by the policy."""
    allowed = config.tls.allowed_sans if config.tls is not None else frozenset()
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate or not allowed:
        return True
    return any(_san(value) in allowed for _, value in certificate.get("subjectAltName", ()))


def _foreign(request: web.Request) -> bool:
    """Say whether another site makes a browser change something, with the login that it remembers."""
    if request.method in _SAFE_METHODS:
        return False
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    if site is not None:
        return site not in {"same-origin", "none"}
    # A browser too old to tell the site tells the origin; other programs tell neither.
    return origin is not None and origin.partition("://")[2] != request.headers.get(hdrs.HOST)


def _san(value: object) -> object:
    """Return a name of a certificate as a configuration has it; Python writes out addresses of IPv6."""
    try:
        return str(ip_address(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _login(text: str) -> tuple[str, bytes]:
    """Return name and password; what cannot be read is nobody's."""
    try:
        name, _, password = base64.b64decode(text, validate=True).partition(b":")
        return name.decode("utf-8"), password
    except (binascii.Error, ValueError):
        return "", b""


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _whole(rate: RateLimit | None) -> str:
    return str(max(1, math.ceil(rate.interval))) if rate is not None else "1"


def _refused(status: HTTPStatus, headers: dict[str, str] | None = None) -> web.Response:
    text = f"{status.value} {status.phrase}\n"
    return web.Response(text=text, status=status, headers={**(headers or {}), hdrs.CACHE_CONTROL: "no-store"})
