"""Prices of requests: the CPU seconds of PostgreSQL that a large Coder deployment spends on each.

Measured on a deployment with 309 templates, 3,036 users, 3,539 workspaces and 793,000 rows of usage
statistics. PostgreSQL had two cores and its default settings, with just-in-time compilation.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import aiohttp
from yarl import URL

__all__ = ["SQL_PASS_SECONDS", "PriceMeter", "Scope", "price"]

SQL_PASS_SECONDS: Final = 8.0
"""One pass of SQL over the usage statistics that returns the numbers of all templates and windows."""


class Scope(StrEnum):
    """The templates of an insights request."""

    DEPLOYMENT = "deployment"
    TEMPLATE = "template"


_DAY: Final = 86_400.0
_API: Final = "/api/v2"
_REPORT: Final = "/insights/templates"
_ACTIVITY: Final = "/insights/user-activity"
_LATENCY: Final = "/insights/user-latency"
_WORKSPACES: Final = "/workspaces"

_PRICES: Final[Mapping[tuple[str, Scope], Sequence[tuple[float, float]]]] = {
    # The report of 30 days is measured. A report of 7 days was measured together with its days (7.9 s), and
    # is split as for one template. The report of today is on the line through both.
    (_REPORT, Scope.DEPLOYMENT): ((1, 1.5), (7, 3.9), (30, 12.9)),
    # A report of 7 days with its days costs 1.27 s, and the days alone 0.65 s.
    (_REPORT, Scope.TEMPLATE): ((1, 0.24), (7, 0.62), (30, 0.93)),
    (_ACTIVITY, Scope.DEPLOYMENT): ((1, 0.08), (7, 0.5), (30, 2.3)),
    (_ACTIVITY, Scope.TEMPLATE): ((1, 0.01), (30, 0.16)),
    # Not measured for the deployment, and assumed to cost as much as activity.
    (_LATENCY, Scope.DEPLOYMENT): ((1, 0.08), (7, 0.5), (30, 2.3)),
    (_LATENCY, Scope.TEMPLATE): ((1, 0.01), (30, 0.15)),
}
"""Prices in seconds by length of the range in days; prices of other lengths are interpolated."""

_INTERVAL_PRICES: Final = {Scope.DEPLOYMENT: 2.7, Scope.TEMPLATE: 0.65}
"""Additional price of a report with intervals: weeks of the deployment, seven days of a template."""

_WORKSPACES_PAGE: Final = 1.9
"""A page of 500 workspaces; coderd itself needs another 1.5 s."""

_OTHER: Final = 0.01
"""All other requests: not measured one by one; the lowest measured price."""


def price(url: URL) -> float:
    """Return the CPU seconds of PostgreSQL for a request to Coder's API."""
    endpoint, query = url.path.removeprefix(_API), url.query
    if endpoint == _WORKSPACES:
        return _WORKSPACES_PAGE
    templates = len(query["template_ids"].split(",")) if "template_ids" in query else 0
    scope = Scope.TEMPLATE if templates else Scope.DEPLOYMENT
    points = _PRICES.get((endpoint, scope))
    if points is None:
        return _OTHER
    start, end = (datetime.fromisoformat(query[name]) for name in ("start_time", "end_time"))
    days = (end - start).total_seconds() / _DAY
    intervals = _INTERVAL_PRICES[scope] if "interval" in query else 0.0
    seconds = _interpolate(points, days) + intervals
    if templates > 1:
        # Not measured: the price of each template, up to that of the deployment.
        seconds = min(templates * seconds, _interpolate(_PRICES[endpoint, Scope.DEPLOYMENT], days))
    return seconds


def _interpolate(points: Sequence[tuple[float, float]], days: float) -> float:
    """Return the price of a range; constant up to one day, extrapolated beyond the last point."""
    days = max(days, points[0][0])
    index = min(max(1, bisect_right([length for length, _ in points], days)), len(points) - 1)
    (left, left_price), (right, right_price) = points[index - 1], points[index]
    return left_price + (right_price - left_price) * (days - left) / (right - left)


@dataclass(slots=True)
class PriceMeter:
    """Sums requests and their prices by endpoint."""

    requests: int = 0
    seconds_by_endpoint: dict[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """The price of all requests."""
        return sum(self.seconds_by_endpoint.values())

    def add(self, url: URL) -> float:
        """Add a request, and return its price."""
        endpoint, seconds = url.path.removeprefix(_API), price(url)
        self.requests += 1
        self.seconds_by_endpoint[endpoint] = self.seconds_by_endpoint.get(endpoint, 0.0) + seconds
        return seconds

    def take(self) -> PriceMeter:
        """Return the sums, and start again at 0."""
        taken = PriceMeter(self.requests, self.seconds_by_endpoint)
        self.requests, self.seconds_by_endpoint = 0, {}
        return taken

    def watch(self, session: aiohttp.ClientSession, on_price: Callable[[float], None]) -> None:
        """Add all further requests of a session; ``on_price`` receives the price of each."""

        async def on_request_start(
            _session: aiohttp.ClientSession, _context: object, params: aiohttp.TraceRequestStartParams
        ) -> None:
            on_price(self.add(params.url))

        config = aiohttp.TraceConfig()
        config.on_request_start.append(on_request_start)
        config.freeze()
        session.trace_configs.append(config)
