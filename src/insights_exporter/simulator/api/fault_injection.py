"""Everything that can be made to go wrong, on demand.

A fault is set on an endpoint, written as the template of its path below ``/api/v2`` (``/insights/templates``,
``/templates/{id}/daus``), or on ``*`` for all. Several faults of one endpoint apply one after the other:
first the delay, say, then the status. ``share`` is the part of the requests that a fault strikes, drawn
from a seeded source; ``times`` is how many it strikes before it is over, None for no end.

Over HTTP (see ``control``) a fault is an object with its ``kind``:
``{"kind": "status", "status": 500, "times": 2}``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from msgspec import Struct

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
    "SlowBody",
    "Status",
    "TruncateBody",
    "UnrelatedJson",
    "WrongTypes",
]


class _Base(Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What all faults have in common."""

    probability: float = 1.0
    max_count: int | None = None


class Status(_Base, tag="status", frozen=True, kw_only=True):
    """Answer with a status and a body of Coder's form; as a proxy's page where ``html`` is set."""

    status: int = 500
    message: str = "Internal error fetching what you asked for."
    detail: str = "the simulator was told to fail"
    html: bool = False
    headers: dict[str, str] = {}


class Delay(_Base, tag="delay", frozen=True, kw_only=True):
    """Wait some seconds before anything else."""

    seconds: float


class DropConnection(_Base, tag="drop", frozen=True, kw_only=True):
    """Close the connection after so many bytes of the body; before the status line where that is None."""

    after_bytes: int | None = None


class TruncateBody(_Base, tag="truncate", frozen=True, kw_only=True):
    """Keep only this part of the body, as if it were complete."""

    kept_fraction: float = 0.5


class UnrelatedJson(_Base, tag="foreign_json", frozen=True, kw_only=True):
    """Answer with good JSON that has nothing to do with Coder."""

    body: str = '{"status":"ok","data":[1,2,3]}'


class WrongTypes(_Base, tag="wrong_types", frozen=True, kw_only=True):
    """Put a text where a number belongs in these fields, in every ``every``-th place; in all where empty."""

    fields: frozenset[str] = frozenset()
    every: int = 1


class NotANumber(_Base, tag="not_a_number", frozen=True, kw_only=True):
    """Write NaN, which is no JSON, for the first number."""

    literal: str = "NaN"


class LoginPage(_Base, tag="login_page", frozen=True, kw_only=True):
    """Answer as a proxy that asks people to sign in."""

    status: int = 200


class Redirect(_Base, tag="redirect", frozen=True, kw_only=True):
    """Point elsewhere."""

    location: str = "https://login.example.test/"
    status: int = 302


class SlowBody(_Base, tag="drip", frozen=True, kw_only=True):
    """Send the body in small pieces with pauses of ``seconds`` between."""

    chunk_size: int = 16
    seconds: float = 0.05


class AppendText(_Base, tag="texts", frozen=True, kw_only=True):
    r"""Append ugly text to these fields, ``repeat`` times: newlines, quotes, emoji, great length."""

    fields: frozenset[str] = frozenset(
        {"username", "owner_name", "name", "template_name", "display_name", "value"}
    )
    text: str = '\n"quoted"\\ \U0001f98a'
    repeat: int = 1


class InvalidNumbers(_Base, tag="counts", frozen=True, kw_only=True):
    """Set these numbers to a nonsensical value, in every ``every``-th place."""

    fields: frozenset[str] = frozenset({"seconds", "active_users", "times_used", "count", "amount"})
    value: float = -5
    every: int = 1


class DuplicateRows(_Base, tag="duplicates", frozen=True, kw_only=True):
    """List every row of these fields twice."""

    fields: frozenset[str] = frozenset({"apps_usage", "parameters_usage", "users", "workspaces"})


class DeleteTemplate(_Base, tag="delete_template", frozen=True, kw_only=True):
    """Delete a template from the moment of this request on."""

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
    | SlowBody
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
    """What goes wrong at the moment; the handle of tests.

    ``struck`` counts how often each endpoint was struck.
    """

    seed: int = 0
    struck: dict[str, int] = field(default_factory=dict)
    _random: random.Random = field(init=False, repr=False)
    _active: dict[str, list[_ActiveFault]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Prepare the source of chance."""
        self._random = random.Random(self.seed)

    def inject(self, endpoint: str, *faults: Fault) -> None:
        """Let these faults, in place of former ones, strike an endpoint from now on."""
        self._active[endpoint] = [_ActiveFault(fault, fault.max_count) for fault in faults]

    def clear(self, endpoint: str | None = None) -> None:
        """End the faults of an endpoint, or all."""
        if endpoint is None:
            self._active.clear()
        else:
            self._active.pop(endpoint, None)

    def next_faults(self, endpoint: str) -> list[Fault]:
        """Return the faults that strike this request, and count them off."""
        if not self._active:
            return []
        selected = [active for active in self._candidates(endpoint) if self._applies(active)]
        for active in selected:
            if active.remaining is not None:
                active.remaining -= 1
        if selected:
            self.struck[endpoint] = self.struck.get(endpoint, 0) + 1
        return [active.fault for active in selected]

    def _candidates(self, endpoint: str) -> Iterable[_ActiveFault]:
        return [*self._active.get("*", ()), *self._active.get(endpoint, ())]

    def _applies(self, active: _ActiveFault) -> bool:
        if active.remaining == 0:
            return False
        return active.fault.probability >= 1 or self._random.random() < active.fault.probability
