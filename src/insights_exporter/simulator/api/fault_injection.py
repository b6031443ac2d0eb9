"""Injectable faults of the simulated API.

A fault belongs to an endpoint: the path pattern below ``/api/v2`` (``/insights/templates``,
``/templates/{id}/daus``), a method with it (``POST /users/me/keys/tokens``), or ``*`` for all. Several faults
of one endpoint apply in order, such as a delay and then a status. ``probability`` is the share of affected
requests, drawn from a seeded generator. ``max_count`` is the number of affected requests; None is unlimited.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "AppendText",
    "Delay",
    "DeleteTemplate",
    "DropConnection",
    "DuplicateRows",
    "Fault",
    "FaultInjector",
    "InvalidNumbers",
    "LoginPage",
    "NotANumber",
    "Redirect",
    "Status",
    "TruncateBody",
    "UnrelatedJson",
    "WrongTypes",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Base:
    """Fields of all faults."""

    probability: float = 1.0
    max_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(_Base):
    """Answer with a status and Coder's error body, or with an HTML page as a proxy does."""

    status: int = 500
    message: str = "Internal error fetching data."
    detail: str = "injected fault"
    html: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay(_Base):
    """Wait before the response."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DropConnection(_Base):
    """Close the connection after some bytes of the body; None closes it before the status line."""

    after_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateBody(_Base):
    """Send only a part of the body, as a complete response."""

    kept_fraction: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrelatedJson(_Base):
    """Answer with valid JSON of another program."""

    body: str = '{"status":"ok","data":[1,2,3]}'


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongTypes(_Base):
    """Replace every ``every``-th number of the fields by text; no fields means all."""

    fields: frozenset[str] = frozenset()
    every: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NotANumber(_Base):
    """Replace the first number by NaN, which is invalid JSON."""

    literal: str = "NaN"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginPage(_Base):
    """Answer with the sign-in page of a proxy."""

    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(_Base):
    """Answer with a redirect."""

    location: str = "https://login.example.test/"
    status: int = 302


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendText(_Base):
    r"""Append text with newlines, quotes and emoji to the fields, ``repeat`` times."""

    fields: frozenset[str] = frozenset(
        {"username", "owner_name", "name", "template_name", "display_name", "value"}
    )
    text: str = '\n"quoted"\\ \U0001f98a'
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InvalidNumbers(_Base):
    """Set every ``every``-th number of the fields to an invalid value."""

    fields: frozenset[str] = frozenset({"seconds", "active_users", "times_used", "count", "amount"})
    value: float = -5
    every: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateRows(_Base):
    """Duplicate the rows of these lists."""

    fields: frozenset[str] = frozenset({"apps_usage", "parameters_usage", "users", "workspaces"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteTemplate(_Base):
    """Delete a template at this request."""

    template_id: str


Fault: TypeAlias = (
    Status
    | Delay
    | DropConnection
    | TruncateBody
    | UnrelatedJson
    | WrongTypes
    | NotANumber
    | LoginPage
    | Redirect
    | AppendText
    | InvalidNumbers
    | DuplicateRows
    | DeleteTemplate
)


@dataclass(slots=True)
class _ActiveFault:
    fault: Fault
    remaining: int | None


@dataclass(slots=True)
class FaultInjector:
    """The active faults by endpoint."""

    seed: int = 0
    _random: random.Random = field(init=False, repr=False)
    _active: dict[str, list[_ActiveFault]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Seed the random generator."""
        self._random = random.Random(self.seed)

    def inject(self, endpoint: str, *faults: Fault) -> None:
        """Replace the faults of an endpoint."""
        self._active[endpoint] = [_ActiveFault(fault, fault.max_count) for fault in faults]

    def clear(self, endpoint: str | None = None) -> None:
        """Remove the faults of an endpoint; None removes all."""
        if endpoint is None:
            self._active.clear()
        else:
            self._active.pop(endpoint, None)

    def next_faults(self, *endpoints: str) -> list[Fault]:
        """Return the faults of the next request to an endpoint with these names, and count them."""
        if not self._active:
            return []
        candidates = [active for name in ("*", *endpoints) for active in self._active.get(name, ())]
        selected = [active for active in candidates if self._applies(active)]
        for active in selected:
            if active.remaining is not None:
                active.remaining -= 1
        return [active.fault for active in selected]

    def _applies(self, active: _ActiveFault) -> bool:
        if active.remaining == 0:
            return False
        return active.fault.probability >= 1 or self._random.random() < active.fault.probability
