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
from insights_exporter.config.settings import ServerSettings
from insights_exporter.errors import SecretError
from insights_exporter.server.auth.passwords import TooBusy
from insights_exporter.server.auth.reloader import WebConfigReloader
from insights_exporter.server.auth.web_config import RateLimit, WebConfig
from insights_exporter.web.visitors import LOGIN_ATTEMPT_LIMIT, AuthState

__all__ = ["create_middlewares"]

logger = logging.getLogger(__name__)

_PROBE_PATHS = frozenset({"/-/healthy", "/-/ready"})
_SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


def create_middlewares(
    settings: ServerSettings,
    *,
    config_reloader: WebConfigReloader | None,
    clock: Clock,
    auth_state: AuthState | None = None,
) -> Sequence[Middleware]:
    """Return what every request passes, first to last.

    Without a web configuration and a bearer token everybody gets in. Probes are open to all who can connect.
    """
    access_control = _AccessControl(settings, config_reloader, clock, auth_state or AuthState())

    @web.middleware
    async def headers_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        for name, value in access_control.config().headers.items():
            response.headers[name] = value
        return response

    @web.middleware
    async def auth_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        rejection = await access_control.rejection(request)
        return rejection if rejection is not None else await handler(request)

    return (headers_middleware, auth_middleware)


class _AccessControl:
    """Decides about requests."""

    def __init__(
        self,
        settings: ServerSettings,
        config_reloader: WebConfigReloader | None,
        clock: Clock,
        auth_state: AuthState,
    ) -> None:
        self._settings = settings
        self._config_reloader = config_reloader
        self._clock = clock
        self._auth_state = auth_state
        self._last_token_error = ""
        self._public_paths = _PROBE_PATHS | (
            ({"/metrics"} if settings.open_metrics else set()) | ({"/"} if settings.open_page else set())
        )

    def config(self) -> WebConfig:
        """Return the newest web configuration."""
        return self._config_reloader.config() if self._config_reloader is not None else WebConfig()

    async def rejection(self, request: web.Request) -> web.Response | None:
        """Return why the request does not get in; None where it does."""
        config = self.config()
        if not _san_allowed(request, config) or _is_cross_site(request):
            return _error_response(HTTPStatus.FORBIDDEN)
        if request.path not in _PROBE_PATHS and not self._auth_state.allow_request(
            config.rate_limit, self._clock.monotonic()
        ):
            return _error_response(
                HTTPStatus.TOO_MANY_REQUESTS, {hdrs.RETRY_AFTER: _retry_after(config.rate_limit)}
            )
        if request.path in self._public_paths or not (config.users or self._settings.bearer_token):
            return None
        scheme, _, credentials = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer" and self._settings.bearer_token is not None:
            return self._check_bearer(credentials.strip(), config)
        if scheme.lower() == "basic" and config.users:
            return await self._check_basic(credentials.strip(), config, request.remote or "")
        return self._unauthorized(config)

    def _check_bearer(self, token: str, config: WebConfig) -> web.Response | None:
        source = self._settings.bearer_token
        try:
            expected = source.read().reveal() if source is not None else ""
        except SecretError as error:
            if self._last_token_error != str(error):
                self._last_token_error = str(error)
                logger.error("The bearer token cannot be read.", extra={"why": str(error)})
            return _error_response(HTTPStatus.SERVICE_UNAVAILABLE)
        self._last_token_error = ""
        if expected and hmac.compare_digest(_sha256(token), _sha256(expected)):
            return None
        return self._unauthorized(config)

    async def _check_basic(self, credentials: str, config: WebConfig, address: str) -> web.Response | None:
        name, password = _decode_basic_credentials(credentials)
        if self._auth_state.password_verifier.is_cached(config.users, name, password):
            return None
        # Each new password spends an attempt, and a right one gives it back by being remembered.
        if not self._auth_state.allow_attempt(address, self._clock.monotonic()):
            return _error_response(
                HTTPStatus.TOO_MANY_REQUESTS, {hdrs.RETRY_AFTER: _retry_after(LOGIN_ATTEMPT_LIMIT)}
            )
        try:
            verified = await self._auth_state.password_verifier.verify(config.users, name, password)
        except TooBusy:
            return _error_response(
                HTTPStatus.TOO_MANY_REQUESTS, {hdrs.RETRY_AFTER: _retry_after(LOGIN_ATTEMPT_LIMIT)}
            )
        return None if verified else self._unauthorized(config)

    def _unauthorized(self, config: WebConfig) -> web.Response:
        challenges = [
            *(['Basic realm="insights_exporter", charset="UTF-8"'] if config.users else []),
            *(['Bearer realm="insights_exporter"'] if self._settings.bearer_token else []),
        ]
        return _error_response(HTTPStatus.UNAUTHORIZED, {hdrs.WWW_AUTHENTICATE: ", ".join(challenges)})


def _san_allowed(request: web.Request, config: WebConfig) -> bool:
    """Say whether the client's certificate has an allowed name; who showed none was let in by the policy."""
    allowed = config.tls.allowed_sans if config.tls is not None else frozenset()
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate or not allowed:
        return True
    return any(_normalize_san(value) in allowed for _, value in certificate.get("subjectAltName", ()))


def _is_cross_site(request: web.Request) -> bool:
    """Say whether another site makes a browser change something, with the login that it remembers."""
    if request.method in _SAFE_METHODS:
        return False
    fetch_site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    if fetch_site is not None:
        return fetch_site not in {"same-origin", "none"}
    # A browser too old to tell the site tells the origin; other programs tell neither.
    return origin is not None and origin.partition("://")[2] != request.headers.get(hdrs.HOST)


def _normalize_san(value: object) -> object:
    """Return a name of a certificate as a configuration has it; Python writes out addresses of IPv6."""
    try:
        return str(ip_address(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _decode_basic_credentials(text: str) -> tuple[str, bytes]:
    """Return name and password; what cannot be read is nobody's."""
    try:
        name, _, password = base64.b64decode(text, validate=True).partition(b":")
        return name.decode("utf-8"), password
    except (binascii.Error, ValueError):
        return "", b""


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _retry_after(rate: RateLimit | None) -> str:
    return str(max(1, math.ceil(rate.interval))) if rate is not None else "1"


def _error_response(status: HTTPStatus, headers: dict[str, str] | None = None) -> web.Response:
    text = f"{status.value} {status.phrase}\n"
    return web.Response(text=text, status=status, headers={**(headers or {}), hdrs.CACHE_CONTROL: "no-store"})
