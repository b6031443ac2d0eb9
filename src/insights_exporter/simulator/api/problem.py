"""Refusals in Coder's own words."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

__all__ = [
    "Problem",
    "Refusal",
    "Validation",
    "forbidden",
    "insights_disabled",
    "invalid_id",
    "invalid_parameter",
    "invalid_parameters",
    "not_found",
    "rate_limited",
    "route_missing",
    "signed_out",
    "suspended",
]


class Validation(Struct, frozen=True):
    """What is wrong with one field of a request."""

    field: str
    detail: str


class Refusal(Struct, frozen=True, omit_defaults=True):
    """The body of every error; empty parts are left out."""

    message: str
    detail: str = ""
    validations: Sequence[Validation] = ()


class Problem(Exception):  # noqa: N818 - it stands for an answer and not for a mistake of ours.
    """A request ends with this status and body."""

    def __init__(self, status: int, refusal: Refusal, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal
        self.headers = headers or {}


def invalid_parameters(validations: Sequence[Validation]) -> Problem:
    """Return the answer to parameters of which each is wrong for itself."""
    return Problem(400, Refusal("Query parameters have invalid values.", validations=validations))


def invalid_parameter(*, field: str = "", detail: str) -> Problem:
    """Return the answer to the one parameter that was found wrong first."""
    message = "Query parameter has invalid value."
    if not field:
        return Problem(400, Refusal(message, detail))
    return Problem(400, Refusal(message, validations=[Validation(field, detail)]))


def invalid_id(text: str, *, name: str) -> Problem:
    """Return the answer to a path with something else where an id belongs."""
    return Problem(
        400,
        Refusal(f'Invalid UUID "{text}".', validations=[Validation(name, "Invalid UUID")]),
    )


def signed_out(detail: str, *, access_url: str) -> Problem:
    """Return the answer to a token that is not good."""
    metadata = f"{access_url}/.well-known/oauth-protected-resource"
    return Problem(
        401,
        Refusal("You are signed out or your session has expired. Please sign in again to continue.", detail),
        headers={"WWW-Authenticate": f'Bearer realm="coder", resource_metadata="{metadata}"'},
    )


def suspended(status: str) -> Problem:
    """Return the answer to the good token of a user who may not sign in."""
    return Problem(
        401,
        Refusal(
            f'User is not active (status = "{status}"). Contact an admin to reactivate your account.',
        ),
    )


def forbidden() -> Problem:
    """Return the answer where a missing permission is admitted."""
    return Problem(
        403,
        Refusal(
            "Forbidden.",
            "You don't have permission to view this content. "
            "If you believe this is a mistake, please contact your administrator or try signing in "
            "with different credentials.",
        ),
    )


def not_found() -> Problem:
    """Return the answer that hides whether a thing is absent or forbidden."""
    return Problem(404, Refusal("Resource not found or you do not have access to this resource"))


def route_missing() -> Problem:
    """Return the answer to a path that this server does not know."""
    return Problem(404, Refusal("Route not found."))


def insights_disabled() -> Problem:
    """Return the answer of the insights routes where usage statistics are switched off."""
    return Problem(404, Refusal("Not Found.", "Template insights are disabled."))


def rate_limited(limit: int) -> Problem:
    """Return the answer to a caller who asked too often."""
    return Problem(
        429,
        Refusal(f"You've been rate limited for sending more than {limit} requests in 1m0s."),
        headers={"Retry-After": "60"},
    )
