"""Refusals in Coder's own words."""

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
    """What is wrong with one field of a request."""

    field: str
    detail: str


class ErrorBody(Struct, frozen=True, omit_defaults=True):
    """The body of every error; empty parts are left out."""

    message: str
    detail: str = ""
    validations: Sequence[FieldError] = ()


class ApiError(Exception):
    """A request ends with this status and body."""

    def __init__(self, status: int, body: ErrorBody, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(body.message)
        self.status = status
        self.body = body
        self.headers = headers or {}


def invalid_parameters(validations: Sequence[FieldError]) -> ApiError:
    """Return the answer to parameters of which each is wrong for itself."""
    return ApiError(400, ErrorBody("Query parameters have invalid values.", validations=validations))


def invalid_parameter(*, field: str = "", detail: str) -> ApiError:
    """Return the answer to the one parameter that was found wrong first."""
    message = "Query parameter has invalid value."
    if not field:
        return ApiError(400, ErrorBody(message, detail))
    return ApiError(400, ErrorBody(message, validations=[FieldError(field, detail)]))


def invalid_uuid(text: str, *, name: str) -> ApiError:
    """Return the answer to a path with something else where an id belongs."""
    return ApiError(
        400,
        ErrorBody(f'Invalid UUID "{text}".', validations=[FieldError(name, "Invalid UUID")]),
    )


def unauthorized(detail: str, *, access_url: str) -> ApiError:
    """Return the answer to a token that is not good."""
    metadata = f"{access_url}/.well-known/oauth-protected-resource"
    return ApiError(
        401,
        ErrorBody(
            "You are signed out or your session has expired. Please sign in again to continue.", detail
        ),
        headers={"WWW-Authenticate": f'Bearer realm="coder", resource_metadata="{metadata}"'},
    )


def account_not_active(status: str) -> ApiError:
    """Return the answer to the good token of a user who may not sign in."""
    return ApiError(
        401,
        ErrorBody(
            f'User is not active (status = "{status}"). Contact an admin to reactivate your account.',
        ),
    )


def forbidden() -> ApiError:
    """Return the answer where a missing permission is admitted."""
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
    """Return the answer that hides whether a thing is absent or forbidden."""
    return ApiError(404, ErrorBody("Resource not found or you do not have access to this resource"))


def route_not_found() -> ApiError:
    """Return the answer to a path that this server does not know."""
    return ApiError(404, ErrorBody("Route not found."))


def insights_disabled() -> ApiError:
    """Return the answer of the insights routes where usage statistics are switched off."""
    return ApiError(404, ErrorBody("Not Found.", "Template insights are disabled."))


def rate_limited(limit: int) -> ApiError:
    """Return the answer to a caller who asked too often."""
    return ApiError(
        429,
        ErrorBody(f"You've been rate limited for sending more than {limit} requests in 1m0s."),
        headers={"Retry-After": "60"},
    )
