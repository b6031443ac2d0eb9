"""Middlewares that authenticate requests, limit their rate and add configured headers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
from collections.abc import Sequence
from http import HTTPStatus
from ipaddress import ip_address

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from insights_exporter.clock import Clock
from insights_exporter.config.settings import ServerSettings
from insights_exporter.errors import SecretError
from insights_exporter.server.auth.passwords import TooBusy
from insights_exporter.server.auth.rate_limit import LOGIN_ATTEMPT_LIMIT, AuthState, RateLimit
from insights_exporter.server.auth.web_config import WebConfig, WebConfigReloader

__all__ = ["create_middlewares"]

logger = structlog.stdlib.get_logger(__name__)

_PROBE_PATHS = frozenset({"/-/healthy", "/-/ready"})
_SAFE_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


def create_middlewares(
    settings: ServerSettings,
    *,
    config_reloader: WebConfigReloader | None,
    clock: Clock,
    auth_state: AuthState | None = None,
    metrics_path: str = "/metrics",
) -> Sequence[Middleware]:
    """Return the middlewares, first to last.

    Without logins and a bearer token all requests are allowed. Health and readiness probes always are.
    """
    access_control = _AccessControl(settings, config_reloader, clock, auth_state or AuthState(), metrics_path)

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
    """Decides whether a request is allowed."""

    def __init__(
        self,
        settings: ServerSettings,
        config_reloader: WebConfigReloader | None,
        clock: Clock,
        auth_state: AuthState,
        metrics_path: str,
    ) -> None:
        self._settings = settings
        self._config_reloader = config_reloader
        self._clock = clock
        self._auth_state = auth_state
        self._last_token_error = ""
        public_metrics = {metrics_path} if settings.public_metrics else set()
        public_page = {"/"} if settings.public_page else set()
        self._public_paths = _PROBE_PATHS | public_metrics | public_page

    def config(self) -> WebConfig:
        """Return the current web configuration."""
        return self._config_reloader.config() if self._config_reloader is not None else WebConfig()

    async def rejection(self, request: web.Request) -> web.Response | None:
        """Return the response to a request that is not allowed; None for an allowed request."""
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
                logger.error("bearer token read failed", error=str(error))  # noqa: TRY400  # The message says it all.
            return _error_response(HTTPStatus.SERVICE_UNAVAILABLE)
        self._last_token_error = ""
        if expected and hmac.compare_digest(_sha256(token), _sha256(expected)):
            return None
        return self._unauthorized(config)

    async def _check_basic(self, credentials: str, config: WebConfig, address: str) -> web.Response | None:
        name, password = _decode_basic_credentials(credentials)
        if self._auth_state.password_verifier.is_cached(config.users, name, password):
            return None
        # Each uncached password costs an attempt; a correct one is cached and costs none from then on.
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
    """Return whether the client certificate has an allowed name.

    A request without a certificate is allowed: ``client_auth_type`` decides whether one is required.
    """
    allowed = config.tls.allowed_sans if config.tls is not None else frozenset()
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if not certificate or not allowed:
        return True
    return any(_normalize_san(value) in allowed for _, value in certificate.get("subjectAltName", ()))


def _is_cross_site(request: web.Request) -> bool:
    """Return whether a browser sends an unsafe request for another site (CSRF)."""
    if request.method in _SAFE_METHODS:
        return False
    fetch_site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    if fetch_site is not None:
        return fetch_site not in {"same-origin", "none"}
    # Browsers without fetch metadata send an Origin header; other clients send neither.
    return origin is not None and origin.partition("://")[2] != request.headers.get(hdrs.HOST)


def _normalize_san(value: object) -> object:
    """Return a name of a certificate in its canonical form; Python does not compress IPv6 addresses."""
    try:
        return str(ip_address(value)) if isinstance(value, str) else value
    except ValueError:
        return value


def _decode_basic_credentials(text: str) -> tuple[str, bytes]:
    """Return user and password; malformed credentials become an empty user, which cannot exist."""
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
