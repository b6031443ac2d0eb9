"""Mapping of HTTP responses to errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from insights_exporter.coder.rate_limit import DEFAULT_RETRY_AFTER
from insights_exporter.errors import (
    AuthError,
    BadRequest,
    BadResponse,
    DeadlineExceeded,
    ExpiredToken,
    Forbidden,
    InsightsDisabled,
    InvalidToken,
    LoginPageReturned,
    NotFoundOrForbidden,
    NotReady,
    RateLimited,
    RequestTimeout,
    ServerError,
    UnsupportedEndpoint,
    UpstreamError,
    UserSuspended,
)
from insights_exporter.http_headers import parse_retry_after
from insights_exporter.secrets import Secret, mask_secrets

__all__ = ["Response", "deadline_exceeded", "error_from_response", "login_page_error"]

MAX_SERVER_TEXT = 300
"""Characters of the server's text that an error repeats."""

_UNPRINTABLE_PATTERN = re.compile(r"[^ -~\u00a0-\ud7ff\ue000-\uffff]+")


class _Validation(msgspec.Struct, frozen=True):
    field: str = ""
    detail: str = ""


class _ErrorBody(msgspec.Struct, frozen=True):
    message: str = ""
    detail: str = ""
    validations: list[_Validation] = []


@dataclass(frozen=True, slots=True)
class Response:
    """A response with its decompressed body."""

    endpoint: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def is_html(self) -> bool:
        """Whether the body is an HTML page."""
        if self.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
            return True
        return self.body[:256].lstrip().lower().startswith((b"<!doctype", b"<html"))


def login_page_error(response: Response) -> LoginPageReturned:
    """Return the error of an HTML page in place of JSON."""
    return LoginPageReturned(
        "an HTML page came back instead of JSON. A proxy before Coder probably requires a login: "
        "exempt the exporter from it, or use a URL behind the proxy. Check coder.url, too",
        endpoint=response.endpoint,
        status=response.status,
    )


def deadline_exceeded(endpoint: str) -> DeadlineExceeded:
    """Return the error of a poll that is out of time."""
    return DeadlineExceeded("the deadline passed; raise poll.deadline or query less", endpoint=endpoint)


def error_from_response(
    response: Response, *, token: Secret, now: datetime, include_server_text: bool = True
) -> UpstreamError:
    """Return the error of a response with status 400 or above.

    The server's text is part of the error only with ``include_server_text``; the token is masked in it.
    """
    error_body = _parse_error_body(response.body)
    server_text = _server_text(error_body if include_server_text else None, token)
    if response.status in {408, 425, 429} or response.status >= 500:
        return _transient_error(response, error_body, server_text=server_text, now=now)
    if response.is_html:
        return login_page_error(response)
    if response.status == 401:
        return _unauthorized_error(error_body, endpoint=response.endpoint)
    if response.status == 404:
        return _not_found_error(error_body, endpoint=response.endpoint)
    return _permanent_error(response, error_body, server_text=server_text)


def _transient_error(
    response: Response, error_body: _ErrorBody | None, *, server_text: str, now: datetime
) -> UpstreamError:
    endpoint, status = response.endpoint, response.status
    if status == 429:
        return RateLimited(
            "Coder limited the rate of requests; poll less often or raise CODER_API_RATE_LIMIT",
            endpoint=endpoint,
            retry_after=_retry_after(response, now),
        )
    if status == 408:
        return RequestTimeout(
            "the server timed out while it waited for the request", endpoint=endpoint, status=status
        )
    if status == 425 or (status == 503 and error_body is not None):
        return NotReady(f"Coder is not ready{server_text}", endpoint=endpoint, status=status)
    origin = "Coder failed" if error_body is not None else "Coder or a proxy before it failed"
    return ServerError(f"{origin}{server_text}", endpoint=endpoint, status=status)


def _retry_after(response: Response, now: datetime) -> float:
    seconds = parse_retry_after(response.headers.get("Retry-After", ""), now=now)
    return DEFAULT_RETRY_AFTER if seconds is None else seconds


def _permanent_error(response: Response, error_body: _ErrorBody | None, *, server_text: str) -> UpstreamError:
    endpoint, status = response.endpoint, response.status
    if status == 403:
        return Forbidden(
            "the account lacks a permission; assign the role template-admin, and auditor for deployment data",
            endpoint=endpoint,
            status=status,
        )
    if error_body is not None and "still processing" in error_body.message:
        return NotReady(
            "Coder has not finished its start; the next poll tries again", endpoint=endpoint, status=status
        )
    return BadRequest(f"Coder rejected the request{server_text}", endpoint=endpoint, status=status)


def _parse_error_body(body: bytes) -> _ErrorBody | None:
    try:
        error_body = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return error_body if error_body.message else None


def _server_text(error_body: _ErrorBody | None, token: Secret) -> str:
    if error_body is None:
        return "; see its logs"
    texts = [error_body.message, error_body.detail]
    texts += [f"{validation.field}: {validation.detail}" for validation in error_body.validations]
    text = " ".join(_UNPRINTABLE_PATTERN.sub(" ", " ".join(texts)).split())
    return f": {mask_secrets(text, [token.reveal()])[:MAX_SERVER_TEXT]}"


def _unauthorized_error(error_body: _ErrorBody | None, *, endpoint: str) -> AuthError:
    # The server's text may contain the token: it selects the error and is not repeated.
    message = error_body.message if error_body is not None else ""
    detail = error_body.detail if error_body is not None else ""
    if message.startswith("User is not active"):
        return UserSuspended(
            "the account of the token is suspended; activate it or use another account",
            endpoint=endpoint,
            status=401,
        )
    if detail.startswith("API key expired"):
        return ExpiredToken(
            "the session token has expired; create one with `coder tokens create`",
            endpoint=endpoint,
            status=401,
        )
    if detail.startswith(("Invalid API key format", "API key is invalid", "API key secret is invalid")):
        return InvalidToken(
            "the session token is unknown to this deployment; check that it is complete, or create one with "
            "`coder tokens create`",
            endpoint=endpoint,
            status=401,
        )
    return AuthError(
        "Coder did not accept the session token; create one with `coder tokens create`",
        endpoint=endpoint,
        status=401,
    )


def _not_found_error(error_body: _ErrorBody | None, *, endpoint: str) -> UpstreamError:
    if error_body is None:
        return BadResponse(
            "the server does not respond like Coder; check coder.url and the proxies before Coder",
            endpoint=endpoint,
            status=404,
        )
    if error_body.message == "Route not found.":
        return UnsupportedEndpoint(
            "the server does not have this endpoint; its version is too old or its edition lacks the feature",
            endpoint=endpoint,
            status=404,
        )
    if error_body.detail == "Template insights are disabled.":
        return InsightsDisabled(
            "usage statistics are disabled; set CODER_STATS_COLLECTION_USAGE_STATS_ENABLE=true on Coder",
            endpoint=endpoint,
            status=404,
        )
    return NotFoundOrForbidden(
        "not found or hidden by permissions; the role template-admin grants access",
        endpoint=endpoint,
        status=404,
    )
