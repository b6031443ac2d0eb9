"""One request and its answer."""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from insights_exporter import __version__
from insights_exporter.clock import Clock
from insights_exporter.coder.error_mapping import Response, error_from_response, login_page_error
from insights_exporter.coder.observer import Observer
from insights_exporter.coder.proxy import EnvironmentProxies
from insights_exporter.coder.rate_limit import RateLimiter, parse_http_date
from insights_exporter.coder.settings import CoderSettings, api_base_url
from insights_exporter.coder.versions import ServerVersion
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
from insights_exporter.secrets import Secret

__all__ = ["Request", "Transport", "redirect_target"]

USER_AGENT = f"insights-exporter/{__version__}"

MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A GET, or a POST where there is a payload.

    ``endpoint`` is the template of the path and names it in errors and events; it is the path itself by
    default.
    """

    path: str
    endpoint: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    payload: bytes | None = None

    def __post_init__(self) -> None:
        """Take the path for the endpoint where it holds no ids."""
        if not self.endpoint:
            object.__setattr__(self, "endpoint", self.path)


class Transport:
    """Sends single requests; knows no endpoint and tries nothing twice.

    Paths lie below ``base``, which is the API where it is None. An empty token is not sent.
    Errors repeat the server's words where ``quote`` lets them.
    ``version`` is the server's as its newest answer tells; ``skew`` is how many seconds the server's clock is
    ahead of ours. Both are None before the first answer.
    """

    def __init__(
        self,
        settings: CoderSettings,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        observer: Observer,
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
        self._observer = observer
        self._timeout = aiohttp.ClientTimeout(
            total=settings.total_timeout,
            sock_connect=settings.connect_timeout,
            sock_read=settings.read_timeout,
        )
        self._version_text = ""
        self.rate_limiter = RateLimiter(clock=clock, observer=observer)
        self.version: ServerVersion | None = None
        self.clock_skew: float | None = None

    async def send(self, request: Request) -> Response:
        """Return a usable answer; raise a kind of UpstreamError otherwise, SecretError without a token."""
        token = self._settings.token.read()
        started_at = self._clock.monotonic()
        code = "cancelled"
        try:
            response = await self._follow_redirects(request, token)
            code = str(response.status)
            self._record_headers(request.path, response)
            if response.status >= 400:
                raise self._error(request.path, response, token)
            if response.is_html:
                raise login_page_error(response)
        except UpstreamError as error:
            code = error.reason if error.status is None else str(error.status)
            raise
        finally:
            self._observer.request_finished(request.endpoint, code, self._clock.monotonic() - started_at)
        return response

    def _error(self, path: str, response: Response, token: Secret) -> UpstreamError:
        error = error_from_response(
            response, token=token, now=self._clock.now(), include_server_text=self._include_server_text
        )
        if isinstance(error, RateLimited):
            self.rate_limiter.back_off(path, error.retry_after)
        return error

    def _record_headers(self, path: str, response: Response) -> None:
        self.rate_limiter.update(path, response.headers)
        server_time = parse_http_date(response.headers.get("Date", ""))
        if server_time is not None:
            self.clock_skew = (server_time - self._clock.now()).total_seconds()
        text = response.headers.get("X-Coder-Build-Version", "")
        if text and text != self._version_text:
            self._version_text = text
            self.version = ServerVersion.parse(text)
            self._observer.version_changed(text)

    async def _follow_redirects(self, request: Request, token: Secret) -> Response:
        url = self._url(request.path, request.endpoint).with_query(request.query)
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send_once(request, url, token)
            location = response.headers.get("Location", "")
            if response.status not in {301, 302, 303, 307, 308}:
                return response
            url = redirect_target(url, location, response)
        raise RedirectRefused(
            "the server redirects in a circle; check the address and the proxies before Coder.",
            endpoint=request.endpoint,
        )

    def _url(self, path: str, endpoint: str) -> URL:
        url = self._url_cache.get(path)
        if url is None:
            url = self._base_url.joinpath(path.lstrip("/"), encoded=True)
            if path == endpoint:
                # One without ids, of which there are few and which comes again and again.
                self._url_cache[path] = url
        return url

    async def _send_once(self, request: Request, url: URL, token: Secret) -> Response:
        try:
            async with self._session.request(
                "GET" if request.payload is None else "POST",
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
                f"no complete answer within {self._settings.total_timeout:g} s, or none at all for a while; "
                "raise the timeouts, or look at the load of Coder's database.",
                endpoint=request.endpoint,
            ) from None
        # None of these is chained: aiohttp's errors carry the request's headers, and with them the token.
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
    # Inflated here and not by aiohttp: only so can a small answer not become a huge one unseen.
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    decompressor = None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        decompressor = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
    elif encoding not in {"", "identity"}:
        raise BadResponse(
            "the answer is compressed in a way that was not asked for; look at the proxies before Coder.",
            endpoint=endpoint,
            status=response.status,
        )
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        try:
            data = chunk if decompressor is None else decompressor.decompress(chunk, limit + 1 - size)
        except zlib.error:
            raise BadResponse(
                "the answer is compressed wrongly; look at the proxies before Coder.",
                endpoint=endpoint,
                status=response.status,
                truncated=True,
            ) from None
        chunks.append(data)
        size += len(data)
        if size > limit:
            # What is left on this connection is not worth reading.
            response.close()
            raise ResponseTooLarge(
                f"the answer has more than {limit} bytes; raise max_response_bytes if that is right.",
                endpoint=endpoint,
                status=response.status,
            )
    if decompressor is not None and size and not decompressor.eof:
        raise BadResponse(
            "the compressed answer was cut short.", endpoint=endpoint, status=response.status, truncated=True
        )
    return b"".join(chunks)


def redirect_target(url: URL, location: str, response: Response) -> URL:
    """Return where a redirect leads, if the token may go there: the same host, and never from TLS to none."""
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
        "the server redirects to another host, where the token must not go; "
        "set the address to Coder's own, past any login page.",
        endpoint=response.endpoint,
        status=response.status,
    )


def _tls_error(error: Exception, endpoint: str) -> TLSError:
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error
    cause = getattr(cause, "os_error", cause)
    detail = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or "no common ground"
    return TLSError(
        f"no trusted connection ({detail}); set ca_file to the authority of Coder's certificate, "
        "and cert_file where Coder asks for one.",
        endpoint=endpoint,
    )


def _unreachable_error(error: Exception, endpoint: str) -> Unreachable:
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        cause = "the proxy of the environment does not let us through"
    elif isinstance(error, aiohttp.ClientConnectorError):
        cause = f"no connection ({error.os_error.strerror or 'the name or address is not known'})"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        # This is all that is left of a client certificate refused under TLS 1.3.
        cause = "the server closed the connection unasked; it may want a client certificate (cert_file)"
    elif isinstance(error, aiohttp.ClientPayloadError | OSError):
        cause = "the connection broke before the answer was complete"
    else:
        cause = f"what answers does not speak HTTP as Coder does ({type(error).__name__})"
    return Unreachable(f"{cause}; check the address, the network and that Coder runs.", endpoint=endpoint)
