"""Which error an answer stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from insights_exporter.coder.limits import retry_after
from insights_exporter.errors import (
    AuthError,
    BadRequest,
    BadResponse,
    Forbidden,
    InsightsDisabled,
    LoginPage,
    NotPermitted,
    NotReady,
    RateLimited,
    RouteMissing,
    ServerError,
    TimedOut,
    TokenExpired,
    TokenInvalid,
    UpstreamError,
    UserSuspended,
)
from insights_exporter.secret import Secret

__all__ = ["Answer", "error_of", "login_page"]

QUOTED = 300
"""How many characters of a server's text we repeat."""

_UNPRINTABLE = re.compile(r"[^ -~\u00a0-\ud7ff\ue000-\uffff]+")


class _Validation(msgspec.Struct, frozen=True):
    field: str = ""
    detail: str = ""


class _Refusal(msgspec.Struct, frozen=True):
    message: str = ""
    detail: str = ""
    validations: list[_Validation] = []


@dataclass(frozen=True, slots=True)
class Answer:
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


def login_page(answer: Answer) -> LoginPage:
    """Return the error that a page for people stands for."""
    return LoginPage(
        "a page for people came back instead of data. A proxy before Coder probably asks for a login: "
        "let the exporter pass it, or use an address behind it. Check the address too.",
        endpoint=answer.endpoint,
        status=answer.status,
    )


def error_of(answer: Answer, *, token: Secret, now: datetime, quote: bool = True) -> UpstreamError:
    """Return the error that an answer with a status of 400 or more stands for.

    The token is needed to take it out of what the server says; without ``quote`` nothing of it is repeated.
    """
    refusal = _refusal(answer.body)
    said = _said(refusal if quote else None, token)
    if answer.status in {408, 425, 429} or answer.status >= 500:
        return _for_now(answer, refusal, said=said, now=now)
    if answer.is_html:
        return login_page(answer)
    if answer.status == 401:
        return _unauthorized(refusal, endpoint=answer.endpoint)
    if answer.status == 404:
        return _not_found(refusal, endpoint=answer.endpoint)
    return _refused(answer, refusal, said=said)


def _for_now(answer: Answer, refusal: _Refusal | None, *, said: str, now: datetime) -> UpstreamError:
    endpoint, status = answer.endpoint, answer.status
    if status == 429:
        return RateLimited(
            "Coder limits our requests; poll less often or raise CODER_API_RATE_LIMIT.",
            endpoint=endpoint,
            retry_after=retry_after(answer.headers, now=now),
        )
    if status == 408:
        return TimedOut("the server gave up waiting for the request.", endpoint=endpoint, status=status)
    if status == 425 or (status == 503 and refusal is not None):
        return NotReady(f"Coder is not ready to answer{said}", endpoint=endpoint, status=status)
    who = "Coder failed" if refusal is not None else "a proxy before Coder, or Coder itself, failed"
    return ServerError(f"{who}{said}", endpoint=endpoint, status=status)


def _refused(answer: Answer, refusal: _Refusal | None, *, said: str) -> UpstreamError:
    endpoint, status = answer.endpoint, answer.status
    if status == 403:
        return Forbidden(
            "the token's account lacks a permission; give it the roles auditor and template-admin.",
            endpoint=endpoint,
            status=status,
        )
    if refusal is not None and "still processing" in refusal.message:
        return NotReady(
            "Coder has just started; the next poll will find it.", endpoint=endpoint, status=status
        )
    return BadRequest(f"Coder refuses the request{said}", endpoint=endpoint, status=status)


def _refusal(body: bytes) -> _Refusal | None:
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return refusal if refusal.message else None


def _said(refusal: _Refusal | None, token: Secret) -> str:
    if refusal is None:
        return "; its logs tell why."
    parts = [refusal.message, refusal.detail]
    parts += [f"{one.field}: {one.detail}" for one in refusal.validations]
    text = " ".join(_UNPRINTABLE.sub(" ", " ".join(parts)).split())
    if token:
        text = text.replace(token.reveal(), "***")
    return f": {text[:QUOTED]}"


def _unauthorized(refusal: _Refusal | None, *, endpoint: str) -> AuthError:
    # The server's own words may repeat the token, so they are matched and never passed on.
    message = refusal.message if refusal is not None else ""
    detail = refusal.detail if refusal is not None else ""
    if message.startswith("User is not active"):
        return UserSuspended(
            "the token's account is not active; reactivate it or use another one.",
            endpoint=endpoint,
            status=401,
        )
    if detail.startswith("API key expired"):
        return TokenExpired(
            "the session token has expired; make a new one with `coder tokens create`.",
            endpoint=endpoint,
            status=401,
        )
    if detail.startswith(("Invalid API key format", "API key is invalid", "API key secret is invalid")):
        return TokenInvalid(
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


def _not_found(refusal: _Refusal | None, *, endpoint: str) -> UpstreamError:
    if refusal is None:
        return BadResponse(
            "this address does not answer like Coder; check it and the proxies before it.",
            endpoint=endpoint,
            status=404,
        )
    if refusal.message == "Route not found.":
        return RouteMissing(
            "this server does not have the route; it is too old, or an edition without it.",
            endpoint=endpoint,
            status=404,
        )
    if refusal.detail == "Template insights are disabled.":
        return InsightsDisabled(
            "usage statistics are switched off; set CODER_STATS_COLLECTION_USAGE_STATS_ENABLE=true on Coder.",
            endpoint=endpoint,
            status=404,
        )
    return NotPermitted(
        "it does not exist, or the token's account may not see it; the roles auditor and template-admin may.",
        endpoint=endpoint,
        status=404,
    )
