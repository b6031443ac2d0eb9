"""Sending of single requests: redirects, decompression with a size limit, and mapping to errors."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import aiohttp
from yarl import URL

from insights_exporter import __version__
from insights_exporter.clock import Clock
from insights_exporter.coder.error_mapping import Response, error_from_response, login_page_error
from insights_exporter.coder.rate_limit import RateLimiter
from insights_exporter.coder.session import EnvironmentProxies
from insights_exporter.coder.versions import ServerVersion
from insights_exporter.config.settings import CoderSettings
from insights_exporter.config.types import api_base_url
from insights_exporter.errors import (
    BadResponse,
    RateLimited,
    RedirectRefused,
    RequestTimeout,
    ResponseTooLarge,
    TLSError,
    Unreachable,
    UpstreamError,
)
from insights_exporter.http_headers import parse_http_date, parse_retry_after
from insights_exporter.secrets import Secret
from insights_exporter.telemetry import Telemetry

__all__ = ["Request", "Transport", "redirect_target"]

USER_AGENT = f"insights-exporter/{__version__}"

MAX_REDIRECTS = 3

MAX_CLOCK_SKEW = 86_400.0
"""Seconds; a ``Date`` header further from the local clock is wrong, and would shift all time ranges."""

_INFLATE_STEP = 1 << 20
"""Bytes to decompress before other tasks of the event loop run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request; a payload makes it a POST.

    ``endpoint`` is the path template for errors and metrics; by default it is the path. ``retryable`` is
    False for a request that must not be sent twice.
    """

    path: str
    endpoint: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    payload: bytes | None = field(default=None, repr=False)
    method: Literal["GET", "POST", "DELETE"] = "GET"
    retryable: bool = True

    def __post_init__(self) -> None:
        """Set the default endpoint, and the method of a request with a payload."""
        if self.payload is not None:
            object.__setattr__(self, "method", "POST")
        if not self.endpoint:
            object.__setattr__(self, "endpoint", self.path)


class Transport:
    """Sends single requests, without retries.

    Paths are relative to ``base``, by default the API's base URL. An empty token is not sent. Errors contain
    the server's text only with ``include_server_text``. ``version`` is the server's version of the last
    response, ``clock_skew`` the seconds by which its clock is ahead; both are None before the first response.
    """

    def __init__(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        self,
        settings: CoderSettings,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        telemetry: Telemetry,
        base: URL | None = None,
        include_server_text: bool = True,
    ) -> None:
        self._settings = settings
        self._include_server_text = include_server_text
        self._base_url = api_base_url(settings.url) if base is None else base
        self._url_cache: dict[str, URL] = {}
        self._session = session
        self._proxies = EnvironmentProxies()
        self._clock = clock
        self._telemetry = telemetry
        self._timeout = aiohttp.ClientTimeout(
            total=settings.total_timeout,
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        )
        self._version_text = ""
        self.rate_limiter = RateLimiter(clock=clock, telemetry=telemetry)
        self.version: ServerVersion | None = None
        self.clock_skew: float | None = None

    async def send(self, request: Request) -> Response:
        """Return a successful response; raise a subclass of UpstreamError, or SecretError without a token."""
        token = self._settings.token.read()
        started_at = self._clock.monotonic()
        code = "cancelled"
        try:
            response = await self._follow_redirects(request, token)
            code = str(response.status)
            server_time = self._record_headers(request, response)
            if response.status >= 400:
                raise self._error(request.path, response, token, server_time)
            if response.is_html:
                raise login_page_error(response)
        except UpstreamError as error:
            code = error.reason if error.status is None else str(error.status)
            raise
        finally:
            self._telemetry.request_finished(request.endpoint, code, self._clock.monotonic() - started_at)
        return response

    def _error(self, path: str, response: Response, token: Secret, server_time: datetime) -> UpstreamError:
        error = error_from_response(
            response, token=token, now=server_time, include_server_text=self._include_server_text
        )
        if isinstance(error, RateLimited):
            self.rate_limiter.back_off(path, error.retry_after)
        return error

    def _record_headers(self, request: Request, response: Response) -> datetime:
        """Store clock skew, rate limit and version; count invalid headers; return the server's time."""
        server_time, invalid = self._server_time(response.headers)
        invalid += self.rate_limiter.update(request.path, response.headers, server_time=server_time)
        retry_after = response.headers.get("Retry-After", "")
        if response.status == 429 and retry_after and parse_retry_after(retry_after, now=server_time) is None:
            invalid.append("Retry-After")
        invalid += self._record_version(response)
        if invalid:
            example = f"invalid header {invalid[0]}"
            self._telemetry.rows_dropped(request.endpoint, len(invalid), example)
        return server_time

    def _server_time(self, headers: Mapping[str, str]) -> tuple[datetime, list[str]]:
        """Return the time of the ``Date`` header, by default the local time, and the invalid header."""
        now = self._clock.now()
        text = headers.get("Date", "")
        server_time = parse_http_date(text)
        if server_time is None or abs((server_time - now).total_seconds()) > MAX_CLOCK_SKEW:
            return now, ["Date"] if text else []
        self.clock_skew = (server_time - now).total_seconds()
        return server_time, []

    def _record_version(self, response: Response) -> list[str]:
        """Store the server's version; return the name of the header if its value is new and invalid."""
        text = response.headers.get("X-Coder-Build-Version", "")
        if not text or text == self._version_text:
            return []
        self._version_text = text
        self.version = ServerVersion.parse(text)
        if self.version is None:
            return ["X-Coder-Build-Version"]
        self._telemetry.version_changed(text)
        return []

    async def _follow_redirects(self, request: Request, token: Secret) -> Response:
        url = self._url(request.path, request.endpoint).with_query(request.query)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send_once(request, url, token)
            location = response.headers.get("Location", "")
            if response.status not in {301, 302, 303, 307, 308}:
                return response
            url = redirect_target(url, location, response)
        raise RedirectRefused(
            "the server redirects in a loop; check coder.url and the proxies before Coder",
            endpoint=request.endpoint,
        )

    def _url(self, path: str, endpoint: str) -> URL:
        url = self._url_cache.get(path)
        if url is None:
            url = self._base_url.joinpath(path.lstrip("/"), encoded=True)
            if path == endpoint:
                # Only paths without ids are few and repeat.
                self._url_cache[path] = url
        return url

    async def _send_once(self, request: Request, url: URL, token: Secret) -> Response:
        try:
            async with self._session.request(
                request.method,
                url,
                data=request.payload,
                headers=_headers(token, has_payload=request.payload is not None),
                timeout=self._timeout,
                proxy=self._proxies.proxy_for(url),
                allow_redirects=False,
            ) as response:
                body = await _read_body(response, request.endpoint, self._settings.max_response_bytes)
                return Response(request.endpoint, response.status, response.headers, body)
        except TimeoutError:
            raise RequestTimeout(
                f"no complete response within {self._settings.total_timeout:g} s (total_timeout), or no data "
                f"for {self._settings.read_timeout:g} s (read_timeout); raise them, or check the load of "
                "Coder's database",
                endpoint=request.endpoint,
            ) from None
        # Raised `from None`, because aiohttp's errors contain the request headers with the token.
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise _tls_error(error, request.endpoint) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable_error(error, request.endpoint) from None


def _headers(token: Secret, *, has_payload: bool) -> dict[str, str]:
    headers = {
        "Accept": "application/json, text/plain;q=0.5",
        "Accept-Encoding": "gzip",
        "User-Agent": USER_AGENT,
    }
    if token:
        headers["Coder-Session-Token"] = token.reveal()
    if has_payload:
        headers["Content-Type"] = "application/json"
    return headers


async def _read_body(response: aiohttp.ClientResponse, endpoint: str, limit: int) -> bytes:
    """Return the decompressed body; raise ResponseTooLarge above ``limit`` bytes.

    aiohttp's own decompression has no limit: a small response could expand to gigabytes.
    """
    chunks, size = [], 0
    async for data in _decompressed_chunks(response, endpoint):
        chunks.append(data)
        size += len(data)
        if size > limit:
            # Closing drops the connection, because the rest of the body is not read.
            response.close()
            raise ResponseTooLarge(
                f"the response is larger than {limit} bytes; raise coder.max_response_bytes if it is valid",
                endpoint=endpoint,
                status=response.status,
            )
    return b"".join(chunks)


async def _decompressed_chunks(response: aiohttp.ClientResponse, endpoint: str) -> AsyncIterator[bytes]:
    """Yield the body in chunks of at most 1 MiB; other tasks run between them."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"", "identity"}:
        async for chunk in response.content.iter_any():
            yield chunk
        return
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        raise _compression_error("has an unsupported compression", response, endpoint)
    decompressor = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
    has_content = False
    async for chunk in response.content.iter_any():
        pending = chunk
        while pending:
            try:
                data = decompressor.decompress(pending, _INFLATE_STEP)
            except zlib.error:
                raise _compression_error("is compressed incorrectly", response, endpoint) from None
            pending = decompressor.unconsumed_tail
            has_content = has_content or bool(data)
            yield data
            if pending:
                await asyncio.sleep(0)
    if has_content and not decompressor.eof:
        raise _compression_error("is compressed and truncated", response, endpoint)


def _compression_error(problem: str, response: aiohttp.ClientResponse, endpoint: str) -> BadResponse:
    return BadResponse(
        f"the response {problem}; check the proxies before Coder",
        endpoint=endpoint,
        status=response.status,
        truncated=not problem.endswith("unsupported compression"),
    )


def redirect_target(url: URL, location: str, response: Response) -> URL:
    """Return the redirect's target; raise RedirectRefused unless the token may be sent there.

    That is the same origin, or an upgrade to TLS on the same host.
    """
    try:
        target = url.join(URL(location))
        same_origin = (target.scheme, target.host, target.port) == (url.scheme, url.host, url.port)
        tls_upgrade = (
            (url.scheme, target.scheme) == ("http", "https")
            and target.host == url.host
            and target.port in {443, url.port}
        )
    except ValueError:
        same_origin = tls_upgrade = False
    if location and (same_origin or tls_upgrade):
        return target
    raise RedirectRefused(
        "the server redirects to another host, to which the token must not be sent; "
        "set coder.url to Coder's access URL, without a login page before it",
        endpoint=response.endpoint,
        status=response.status,
    )


def _tls_error(error: Exception, endpoint: str) -> TLSError:
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error
    cause = getattr(cause, "os_error", cause)
    detail = (
        getattr(cause, "verify_message", None)
        or getattr(cause, "reason", None)
        or "no common protocol or cipher"
    )
    return TLSError(
        f"no trusted connection ({detail}); set coder.ca_file to the CA of Coder's certificate, "
        "and coder.cert_file if Coder requires a client certificate",
        endpoint=endpoint,
    )


def _unreachable_error(error: Exception, endpoint: str) -> Unreachable:
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        cause = "the proxy of the environment refused the connection"
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = f"no connection ({error.os_error.strerror or 'unknown host name'})"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        # With TLS 1.3, this is the only symptom of a missing client certificate.
        cause = "the server closed the connection; it may require a client certificate (coder.cert_file)"
    elif isinstance(error, aiohttp.ClientPayloadError | OSError):
        cause = "the connection broke before the response was complete"
    else:
        cause = f"the server returned an invalid HTTP response ({type(error).__name__})"
    return Unreachable(f"{cause}; check coder.url, the network and that Coder runs", endpoint=endpoint)
