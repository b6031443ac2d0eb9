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
from insights_exporter.coder.faults import Answer, error_of, login_page
from insights_exporter.coder.limits import RateLimits, parse_http_date
from insights_exporter.coder.observer import Observer
from insights_exporter.coder.proxy import EnvironmentProxies
from insights_exporter.coder.settings import CoderSettings, base_url
from insights_exporter.coder.version import ServerVersion
from insights_exporter.errors import (
    BadResponse,
    RateLimited,
    RedirectRefused,
    ResponseTooLarge,
    TimedOut,
    TlsFailed,
    Unreachable,
    UpstreamError,
)
from insights_exporter.secret import Secret

__all__ = ["Request", "Transport", "redirected"]

USER_AGENT = f"insights-exporter/{__version__}"

REDIRECTS = 3


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

    def __init__(  # noqa: PLR0913 - everything from outside is a parameter.
        self,
        settings: CoderSettings,
        *,
        session: aiohttp.ClientSession,
        clock: Clock,
        observer: Observer,
        base: URL | None = None,
        quote: bool = True,
    ) -> None:
        self._settings = settings
        self._quote = quote
        self._base = base_url(settings.url) if base is None else base
        self._urls: dict[str, URL] = {}
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
        self.limits = RateLimits(clock=clock, observer=observer)
        self.version: ServerVersion | None = None
        self.skew: float | None = None

    async def send(self, request: Request) -> Answer:
        """Return a usable answer; raise a kind of UpstreamError otherwise, SecretError without a token."""
        token = self._settings.token.read()
        begun = self._clock.monotonic()
        code = "cancelled"
        try:
            answer = await self._follow(request, token)
            code = str(answer.status)
            self._learn(request.path, answer)
            if answer.status >= 400:
                raise self._error(request.path, answer, token)
            if answer.is_html:
                raise login_page(answer)
        except UpstreamError as error:
            code = error.reason if error.status is None else str(error.status)
            raise
        finally:
            self._observer.request_finished(request.endpoint, code, self._clock.monotonic() - begun)
        return answer

    def _error(self, path: str, answer: Answer, token: Secret) -> UpstreamError:
        error = error_of(answer, token=token, now=self._clock.now(), quote=self._quote)
        if isinstance(error, RateLimited):
            self.limits.block(path, error.retry_after)
        return error

    def _learn(self, path: str, answer: Answer) -> None:
        self.limits.observe(path, answer.headers)
        server = parse_http_date(answer.headers.get("Date", ""))
        if server is not None:
            self.skew = (server - self._clock.now()).total_seconds()
        text = answer.headers.get("X-Coder-Build-Version", "")
        if text and text != self._version_text:
            self._version_text = text
            self.version = ServerVersion.parse(text)
            self._observer.version_seen(text)

    async def _follow(self, request: Request, token: Secret) -> Answer:
        url = self._url(request.path, request.endpoint).with_query(request.query)
        for _ in range(REDIRECTS + 1):
            answer = await self._exchange(request, url, token)
            location = answer.headers.get("Location", "")
            if answer.status not in {301, 302, 303, 307, 308}:
                return answer
            url = redirected(url, location, answer)
        raise RedirectRefused(
            "the server redirects in a circle; check the address and the proxies before Coder.",
            endpoint=request.endpoint,
        )

    def _url(self, path: str, endpoint: str) -> URL:
        known = self._urls.get(path)
        if known is None:
            known = self._base.joinpath(path.lstrip("/"), encoded=True)
            if path == endpoint:
                # One without ids, of which there are few and which comes again and again.
                self._urls[path] = known
        return known

    async def _exchange(self, request: Request, url: URL, token: Secret) -> Answer:
        try:
            async with self._session.request(
                "GET" if request.payload is None else "POST",
                url,
                data=request.payload,
                headers=_headers(token, has_payload=request.payload is not None),
                timeout=self._timeout,
                proxy=self._proxies.to(url),
                allow_redirects=False,
            ) as response:
                body = await _read(response, request.endpoint, self._settings.max_response_bytes)
                return Answer(request.endpoint, response.status, response.headers, body)
        except TimeoutError:
            raise TimedOut(
                f"no complete answer within {self._settings.total_timeout:g} s, or none at all for a while; "
                "raise the timeouts, or look at the load of Coder's database.",
                endpoint=request.endpoint,
            ) from None
        # None of these is chained: aiohttp's errors carry the request's headers, and with them the token.
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise _tls_failed(error, request.endpoint) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error, request.endpoint) from None


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


async def _read(response: aiohttp.ClientResponse, endpoint: str, limit: int) -> bytes:
    # Inflated here and not by aiohttp: only so can a small answer not become a huge one unseen.
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    inflater = None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        inflater = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
    elif encoding not in {"", "identity"}:
        raise BadResponse(
            "the answer is compressed in a way that was not asked for; look at the proxies before Coder.",
            endpoint=endpoint,
            status=response.status,
        )
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        try:
            part = chunk if inflater is None else inflater.decompress(chunk, limit + 1 - size)
        except zlib.error:
            raise BadResponse(
                "the answer is compressed wrongly; look at the proxies before Coder.",
                endpoint=endpoint,
                status=response.status,
                truncated=True,
            ) from None
        parts.append(part)
        size += len(part)
        if size > limit:
            # What is left on this connection is not worth reading.
            response.close()
            raise ResponseTooLarge(
                f"the answer has more than {limit} bytes; raise max_response_bytes if that is right.",
                endpoint=endpoint,
                status=response.status,
            )
    if inflater is not None and size and not inflater.eof:
        raise BadResponse(
            "the compressed answer was cut short.", endpoint=endpoint, status=response.status, truncated=True
        )
    return b"".join(parts)


def redirected(url: URL, location: str, answer: Answer) -> URL:
    """Return where a redirect leads, if the token may go there: the same host, and never from TLS to none."""
    try:
        target = url.join(URL(location))
        same = (target.scheme, target.host, target.port) == (url.scheme, url.host, url.port)
        upgraded = (
            (url.scheme, target.scheme) == ("http", "https")
            and target.host == url.host
            and target.port in {443, url.port}
        )
    except ValueError:
        same = upgraded = False
    if location and (same or upgraded):
        return target
    raise RedirectRefused(
        "the server redirects to another host, where the token must not go; "
        "set the address to Coder's own, past any login page.",
        endpoint=answer.endpoint,
        status=answer.status,
    )


def _tls_failed(error: Exception, endpoint: str) -> TlsFailed:
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else error
    cause = getattr(cause, "os_error", cause)
    detail = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or "no common ground"
    return TlsFailed(
        f"no trusted connection ({detail}); set ca_file to the authority of Coder's certificate, "
        "and cert_file where Coder asks for one.",
        endpoint=endpoint,
    )


def _unreachable(error: Exception, endpoint: str) -> Unreachable:
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        what = "the proxy of the environment does not let us through"
    elif isinstance(error, aiohttp.ClientConnectorError):
        what = f"no connection ({error.os_error.strerror or 'the name or address is not known'})"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        # This is all that is left of a client certificate refused under TLS 1.3.
        what = "the server closed the connection unasked; it may want a client certificate (cert_file)"
    elif isinstance(error, aiohttp.ClientPayloadError | OSError):
        what = "the connection broke before the answer was complete"
    else:
        what = f"what answers does not speak HTTP as Coder does ({type(error).__name__})"
    return Unreachable(f"{what}; check the address, the network and that Coder runs.", endpoint=endpoint)
