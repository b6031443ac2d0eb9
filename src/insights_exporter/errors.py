"""Everything that can go wrong in a way the exporter knows.

    ExporterError
    ├── ConfigError                  the configuration cannot be used
    │   └── SecretError              a token or key cannot be read
    └── UpstreamError                Coder did not give a usable answer
        ├── Unreachable              no connection, or it broke
        │   └── TimedOut             one request took too long
        ├── DeadlineExceeded         the poll's time is over
        ├── TlsFailed                certificates do not match
        ├── AuthError                401, the token is missing or unknown
        │   ├── TokenExpired         401, the token's time is over
        │   ├── TokenInvalid         401, the text is no token of this deployment
        │   └── UserSuspended        401, the token's owner is suspended
        ├── Forbidden                403
        ├── NotPermitted             404, hidden by permissions or absent
        ├── RouteMissing             404, the server is too old
        ├── InsightsDisabled         404, usage statistics are switched off
        ├── RateLimited              429
        ├── BadRequest               400 and other refusals of the request itself
        ├── ServerError              5xx
        ├── NotReady                 425 or 503, the answer is still in the making
        ├── LoginPage                HTML where JSON belongs
        ├── RedirectRefused          a redirect that must not carry the token
        ├── ResponseTooLarge         more bytes than we are willing to hold
        └── BadResponse              truncated, foreign or nonsensical JSON

Each class has a stable ``reason`` that serves as a metric label. ``heals`` says whether a new try can help.
Messages tell what to do and never contain a token.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
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
    """The root of all errors that the exporter raises on purpose."""

    reason: ClassVar[str] = "error"


class ConfigError(ExporterError):
    """The configuration cannot be used as it stands."""

    reason = "config"


class SecretError(ConfigError):
    """A secret cannot be read from the place that the configuration names."""

    reason = "secret"


class UpstreamError(ExporterError):
    """Coder did not give a usable answer.

    ``endpoint`` is the template of the path, never one with ids; ``status`` is the HTTP status, None where
    no answer came.
    """

    reason = "upstream"
    retryable: bool = False

    def __init__(self, message: str, *, endpoint: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.endpoint = endpoint
        self.status = status

    def __str__(self) -> str:
        """Return the endpoint, the status if there is one, and what to do."""
        prefix = self.endpoint if self.status is None else f"{self.endpoint}: HTTP {self.status}"
        return f"{prefix}: {self.message}"


class Unreachable(UpstreamError):
    """No connection could be made, or it broke before the answer was complete."""

    reason = "unreachable"
    retryable = True


class RequestTimeout(Unreachable):
    """One request took longer than the configured timeout."""

    reason = "timeout"


class DeadlineExceeded(UpstreamError):
    """The time that the poll grants to all of its requests is over."""

    reason = "deadline"


class TLSError(UpstreamError):
    """The server's certificate was not accepted, or ours was not."""

    reason = "tls"


class AuthError(UpstreamError):
    """Coder does not accept the session token."""

    reason = "unauthorized"


class ExpiredToken(AuthError):
    """The session token was good once and its time is over."""

    reason = "token_expired"


class InvalidToken(AuthError):
    """The text is not a session token that this deployment knows."""

    reason = "token_invalid"


class UserSuspended(AuthError):
    """The account that the token belongs to is not active."""

    reason = "user_suspended"


class Forbidden(UpstreamError):
    """The account lacks a permission, and Coder says so."""

    reason = "forbidden"


class NotFoundOrForbidden(UpstreamError):
    """The thing does not exist or the account may not see it; Coder does not tell which."""

    reason = "not_permitted"


class UnsupportedEndpoint(UpstreamError):
    """The server does not know this route: it is too old, or an edition without it."""

    reason = "route_missing"


class InsightsDisabled(UpstreamError):
    """The deployment's collection of usage statistics is switched off."""

    reason = "insights_disabled"


class RateLimited(UpstreamError):
    """Coder asks us to wait ``retry_after`` seconds."""

    reason = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, endpoint: str, retry_after: float, status: int | None = 429) -> None:
        super().__init__(message, endpoint=endpoint, status=status)
        self.retry_after = retry_after


class BadRequest(UpstreamError):
    """Coder refuses the request as we wrote it."""

    reason = "bad_request"


class ServerError(UpstreamError):
    """Coder, or a proxy before it, failed."""

    reason = "server_error"
    retryable = True

    def __init__(self, message: str, *, endpoint: str, status: int) -> None:
        super().__init__(message, endpoint=endpoint, status=status)


class NotReady(UpstreamError):
    """The answer is still being computed; the next poll will find it."""

    reason = "not_ready"


class LoginPageReturned(UpstreamError):
    """A page for people arrived where data belongs: a proxy asks for a login."""

    reason = "login_page"


class RedirectRefused(UpstreamError):
    """The server points elsewhere, and the token does not go there."""

    reason = "redirect_refused"


class ResponseTooLarge(UpstreamError):
    """The answer is larger than the configured limit."""

    reason = "response_too_large"


class BadResponse(UpstreamError):
    """The answer is not the JSON that this endpoint gives; ``heals`` is true where it was cut short."""

    reason = "bad_response"

    def __init__(
        self, message: str, *, endpoint: str, status: int | None = None, truncated: bool = False
    ) -> None:
        super().__init__(message, endpoint=endpoint, status=status)
        self.retryable = truncated


def all_reasons(error_type: type[ExporterError] = UpstreamError) -> frozenset[str]:
    """Return the reasons of a kind of errors and of all kinds of it."""
    return frozenset({error_type.reason}).union(
        *(all_reasons(subclass) for subclass in error_type.__subclasses__())
    )
