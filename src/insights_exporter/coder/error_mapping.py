"""Which error an answer stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from insights_exporter.coder.rate_limit import parse_retry_after
from insights_exporter.errors import (
    AuthError,
    BadRequest,
    BadResponse,
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
from insights_exporter.secrets import Secret

__all__ = ["Response", "error_from_response", "login_page_error"]

MAX_SERVER_TEXT = 300
"""How many characters of a server's text we repeat."""

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
    """What came back for one request, the body already read and inflated."""

    endpoint: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def is_html(self) -> bool:
        """Say whether it is a page for people."""
        if self.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
            return True
        return self.body[:256].lstrip().lower().startswith((b"<!doctype", b"<html"))


def login_page_error(response: Response) -> LoginPageReturned:
    """Return the error that a page for people stands for."""
    return LoginPageReturned(
        "a page for people came back instead of data. A proxy before Coder probably asks for a login: "
        "let the exporter pass it, or use an address behind it. Check the address too.",
        endpoint=response.endpoint,
        status=response.status,
    )


def error_from_response(
    response: Response, *, token: Secret, now: datetime, include_server_text: bool = True
) -> UpstreamError:
    """Return the error that an answer with a status of 400 or more stands for.

    The token is needed to take it out of what the server says; without ``quote`` nothing of it is repeated.
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
            "Coder limits our requests; poll less often or raise CODER_API_RATE_LIMIT.",
            endpoint=endpoint,
            retry_after=parse_retry_after(response.headers, now=now),
        )
    if status == 408:
        return RequestTimeout("the server gave up waiting for the request.", endpoint=endpoint, status=status)
    if status == 425 or (status == 503 and error_body is not None):
        return NotReady(f"Coder is not ready to answer{server_text}", endpoint=endpoint, status=status)
    origin = "Coder failed" if error_body is not None else "a proxy before Coder, or Coder itself, failed"
    return ServerError(f"{origin}{server_text}", endpoint=endpoint, status=status)


def _permanent_error(response: Response, error_body: _ErrorBody | None, *, server_text: str) -> UpstreamError:
    endpoint, status = response.endpoint, response.status
    if status == 403:
        return Forbidden(
            "the token's account lacks a permission; give it the roles auditor and template-admin.",
            endpoint=endpoint,
            status=status,
        )
    if error_body is not None and "still processing" in error_body.message:
        return NotReady(
            "Coder has just started; the next poll will find it.", endpoint=endpoint, status=status
        )
    return BadRequest(f"Coder refuses the request{server_text}", endpoint=endpoint, status=status)


def _parse_error_body(body: bytes) -> _ErrorBody | None:
    try:
        error_body = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return error_body if error_body.message else None


def _server_text(error_body: _ErrorBody | None, token: Secret) -> str:
    if error_body is None:
        return "; its logs tell why."
    texts = [error_body.message, error_body.detail]
    texts += [f"{validation.field}: {validation.detail}" for validation in error_body.validations]
    text = " ".join(_UNPRINTABLE_PATTERN.sub(" ", " ".join(texts)).split())
    if token:
        text = text.replace(token.reveal(), "***")
    return f": {text[:MAX_SERVER_TEXT]}"


def _unauthorized_error(error_body: _ErrorBody | None, *, endpoint: str) -> AuthError:
    # The server's own words may repeat the token, so they are matched and never passed on.
    message = error_body.message if error_body is not None else ""
    detail = error_body.detail if error_body is not None else ""
    if message.startswith("User is not active"):
        return UserSuspended(
            "the token's account is not active; reactivate it or use another one.",
            endpoint=endpoint,
            status=401,
        )
    if detail.startswith("API key expired"):
        return ExpiredToken(
            "the session token has expired; make a new one with `coder tokens create`.",
            endpoint=endpoint,
            status=401,
        )
    if detail.startswith(("Invalid API key format", "API key is invalid", "API key secret is invalid")):
        return InvalidToken(
            "Coder does not know the session token; was it made on this deployment, and copied whole? "
            "Make a new one with `coder tokens create`.",
            endpoint=endpoint,
            status=401,
        )
    return AuthError(
        "Coder does not accept the session token; make a new one with `coder tokens create`.",
        endpoint=endpoint,
        status=401,
    )


def _not_found_error(error_body: _ErrorBody | None, *, endpoint: str) -> UpstreamError:
    if error_body is None:
        return BadResponse(
            "this address does not answer like Coder; check it and the proxies before it.",
            endpoint=endpoint,
            status=404,
        )
    if error_body.message == "Route not found.":
        return UnsupportedEndpoint(
            "this server does not have the route; it is too old, or an edition without it.",
            endpoint=endpoint,
            status=404,
        )
    if error_body.detail == "Template insights are disabled.":
        return InsightsDisabled(
            "usage statistics are switched off; set CODER_STATS_COLLECTION_USAGE_STATS_ENABLE=true on Coder.",
            endpoint=endpoint,
            status=404,
        )
    return NotFoundOrForbidden(
        "it does not exist, or the token's account may not see it; the roles auditor and template-admin may.",
        endpoint=endpoint,
        status=404,
    )
