"""Error responses with Coder's texts."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

__all__ = [
    "ApiError",
    "ErrorBody",
    "FieldError",
    "account_not_active",
    "forbidden",
    "insights_disabled",
    "invalid_parameter",
    "invalid_parameters",
    "invalid_uuid",
    "not_found",
    "rate_limited",
    "route_not_found",
    "unauthorized",
]


class FieldError(Struct, frozen=True):
    """The error of one field of a request."""

    field: str
    detail: str


class ErrorBody(Struct, frozen=True, omit_defaults=True):
    """The body of an error; empty fields are omitted."""

    message: str
    detail: str = ""
    validations: Sequence[FieldError] = ()


class ApiError(Exception):
    """Ends a request with a status and a body."""

    def __init__(self, status: int, body: ErrorBody, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(body.message)
        self.status = status
        self.body = body
        self.headers = headers or {}


def invalid_parameters(validations: Sequence[FieldError]) -> ApiError:
    """Return the error of parameters with one detail each."""
    return ApiError(400, ErrorBody("Query parameters have invalid values.", validations=validations))


def invalid_parameter(*, field: str = "", detail: str) -> ApiError:
    """Return the error of the first invalid parameter."""
    message = "Query parameter has invalid value."
    if not field:
        return ApiError(400, ErrorBody(message, detail))
    return ApiError(400, ErrorBody(message, validations=[FieldError(field, detail)]))


def invalid_uuid(text: str, detail: str) -> ApiError:
    """Return the error of a path with a malformed id."""
    return ApiError(400, ErrorBody(f'Invalid UUID "{text}".', detail))


def unauthorized(detail: str, *, access_url: str) -> ApiError:
    """Return the error of an invalid token; Coder names an expired one, whatever the cause."""
    metadata = f"{access_url}/.well-known/oauth-protected-resource"
    return ApiError(
        401,
        ErrorBody(
            "You are signed out or your session has expired. Please sign in again to continue.", detail
        ),
        headers={
            "WWW-Authenticate": 'Bearer realm="coder", error="invalid_token", '
            f'error_description="The access token has expired", resource_metadata="{metadata}"'
        },
    )


def account_not_active(status: str) -> ApiError:
    """Return the error of a valid token whose user may not sign in."""
    return ApiError(
        401,
        ErrorBody(
            f'User is not active (status = "{status}"). Contact an admin to reactivate your account.',
        ),
    )


def forbidden() -> ApiError:
    """Return the error of a missing permission on a route that discloses it."""
    return ApiError(
        403,
        ErrorBody(
            "Forbidden.",
            "You don't have permission to view this content. "
            "If you believe this is a mistake, please contact your administrator or try signing in "
            "with different credentials.",
        ),
    )


def not_found() -> ApiError:
    """Return the error that covers both a missing resource and a missing permission."""
    return ApiError(404, ErrorBody("Resource not found or you do not have access to this resource"))


def route_not_found() -> ApiError:
    """Return the error of an unknown path."""
    return ApiError(404, ErrorBody("Route not found."))


def insights_disabled() -> ApiError:
    """Return the error of the insights routes while usage statistics are disabled."""
    return ApiError(404, ErrorBody("Not Found.", "Template insights are disabled."))


def rate_limited(limit: int) -> ApiError:
    """Return the error of an exceeded rate limit."""
    return ApiError(
        429,
        ErrorBody(f"You've been rate limited for sending more than {limit} requests in 1m0s."),
        headers={"Retry-After": "60"},
    )
