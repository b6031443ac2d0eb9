"""The exception hierarchy.

    ExporterError
    ├── ConfigError                  the configuration is invalid
    │   └── SecretError              a secret cannot be read
    ├── AgentStatsError              agent reports cannot be read
    └── UpstreamError                Coder returned no usable response
        ├── Unreachable              connection failed or broke
        │   └── RequestTimeout       one request took too long
        ├── DeadlineExceeded         the poll is out of time
        ├── TLSError                 a certificate was not accepted
        ├── AuthError                401, token missing or unknown
        │   ├── ExpiredToken         401, token expired
        │   ├── InvalidToken         401, not a token of this deployment
        │   └── UserSuspended        401, account suspended
        ├── Forbidden                403
        ├── NotFoundOrForbidden      404, absent or hidden by permissions
        ├── UnsupportedEndpoint      404, server too old or edition without the endpoint
        ├── InsightsDisabled         404, usage statistics disabled
        ├── RateLimited              429
        ├── BadRequest               400 and other rejections of the request
        ├── ServerError              5xx
        ├── NotReady                 425 or 503, response not computed yet
        ├── LoginPageReturned        HTML in place of JSON
        ├── RedirectRefused          redirect that must not receive the token
        ├── ResponseTooLarge         more bytes or rows than the limit
        └── BadResponse              truncated or unexpected JSON

Each class has a stable ``reason``, which is a metric label; ``retryable`` says whether a retry can succeed.
Messages contain the remedy and never a token.
"""

# ruff: noqa: N818  # Names state the condition, as in httpx and requests.

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AgentStatsError",
    "AuthError",
    "BadRequest",
    "BadResponse",
    "ConfigError",
    "DeadlineExceeded",
    "ExpiredToken",
    "ExporterError",
    "Forbidden",
    "InsightsDisabled",
    "InvalidToken",
    "LoginPageReturned",
    "NotFoundOrForbidden",
    "NotReady",
    "RateLimited",
    "RedirectRefused",
    "RequestTimeout",
    "ResponseTooLarge",
    "SecretError",
    "ServerError",
    "TLSError",
    "Unreachable",
    "UnsupportedEndpoint",
    "UpstreamError",
    "UserSuspended",
    "all_reasons",
]


class ExporterError(Exception):
    """Base class of all expected errors."""

    reason: ClassVar[str] = "error"


class ConfigError(ExporterError):
    """The configuration is invalid."""

    reason = "config"


class SecretError(ConfigError):
    """A secret cannot be read from its configured source."""

    reason = "secret"


class AgentStatsError(ExporterError):
    """Agent reports could not be read; ``reason`` is chosen by the source and serves as a metric label."""

    reason = "source"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        # Every error of a source has its own reason; other errors have a class per reason.
        self.reason = reason  # type: ignore[misc] # As above.


class UpstreamError(ExporterError):
    """Coder returned no usable response.

    ``endpoint`` is the path template, without ids; ``status`` is the HTTP status, None without a response.
    """

    reason = "upstream"
    retryable: bool = False

    def __init__(self, message: str, *, endpoint: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.status = status

    def __str__(self) -> str:
        """Return endpoint, status and message."""
        prefix = self.endpoint if self.status is None else f"{self.endpoint}: HTTP {self.status}"
        return f"{prefix}: {self.message}"


class Unreachable(UpstreamError):
    """The connection failed, or broke before the response was complete."""

    reason = "unreachable"
    retryable = True


class RequestTimeout(Unreachable):
    """A request took longer than its timeout."""

    reason = "timeout"


class DeadlineExceeded(UpstreamError):
    """The deadline of the poll's requests passed."""

    reason = "deadline"


class TLSError(UpstreamError):
    """The certificate of the server or of the exporter was not accepted."""

    reason = "tls"


class AuthError(UpstreamError):
    """Coder does not accept the session token."""

    reason = "unauthorized"


class ExpiredToken(AuthError):
    """The session token expired."""

    reason = "token_expired"


class InvalidToken(AuthError):
    """The text is not a session token of this deployment."""

    reason = "token_invalid"


class UserSuspended(AuthError):
    """The account of the token is suspended."""

    reason = "user_suspended"


class Forbidden(UpstreamError):
    """The account lacks a permission."""

    reason = "forbidden"


class NotFoundOrForbidden(UpstreamError):
    """The resource does not exist, or permissions hide it; Coder returns the same response for both."""

    reason = "not_permitted"


class UnsupportedEndpoint(UpstreamError):
    """The server does not have the endpoint: it is too old, or its edition lacks the feature."""

    reason = "route_missing"


class InsightsDisabled(UpstreamError):
    """The deployment does not collect usage statistics."""

    reason = "insights_disabled"


class RateLimited(UpstreamError):
    """Coder limited the request rate; retry after ``retry_after`` seconds."""

    reason = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, endpoint: str, retry_after: float, status: int | None = 429) -> None:
        super().__init__(message, endpoint=endpoint, status=status)
        self.retry_after = retry_after


class BadRequest(UpstreamError):
    """Coder rejected the request as invalid."""

    reason = "bad_request"


class ServerError(UpstreamError):
    """Coder or a proxy before it failed."""

    reason = "server_error"
    retryable = True

    def __init__(self, message: str, *, endpoint: str, status: int) -> None:
        super().__init__(message, endpoint=endpoint, status=status)


class NotReady(UpstreamError):
    """The response is not computed yet; the next poll retries."""

    reason = "not_ready"


class LoginPageReturned(UpstreamError):
    """HTML was returned in place of JSON: a proxy requires a login."""

    reason = "login_page"


class RedirectRefused(UpstreamError):
    """The server redirected to a place to which the token must not be sent."""

    reason = "redirect_refused"


class ResponseTooLarge(UpstreamError):
    """The response exceeds the limit of bytes or rows."""

    reason = "response_too_large"


class BadResponse(UpstreamError):
    """The response is not the JSON of this endpoint; a truncated one is retryable."""

    reason = "bad_response"

    def __init__(
        self, message: str, *, endpoint: str, status: int | None = None, truncated: bool = False
    ) -> None:
        super().__init__(message, endpoint=endpoint, status=status)
        self.retryable = truncated


def all_reasons(error_type: type[ExporterError] = UpstreamError) -> frozenset[str]:
    """Return the reasons of an error class and its subclasses."""
    return frozenset({error_type.reason}).union(
        *(all_reasons(subclass) for subclass in error_type.__subclasses__())
    )
