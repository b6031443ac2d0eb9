"""Linear forecasts with a range, which exist only with enough history.

A forecast is a regression line plus and minus twice the standard error of a prediction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from dashboards.generator.queries import QUERY, Matchers, inventory
from dashboards.generator.queries.usage import label_values_as_vector
from insights_exporter.bundle.promql import Expr
from insights_exporter.metrics import catalogue

__all__ = ["HISTORY_WEEKS", "Forecast", "seats_forecast", "seats_growth", "weekly_users_forecast"]

HISTORY_WEEKS: Final = 4
"""Minimum of history. Whole weeks, so that weekends do not look like a trend."""

_FITTED_WEEKS: Final = 8
_SEATS_USED: Final = catalogue.LICENSE_FEATURE_USED
_SEATS: Final[Matchers] = {"feature": inventory.SEATS_FEATURE}
_STANDARD_ERRORS: Final = 2
_DAY: Final = 86400
_HISTORY: Final = f"{HISTORY_WEEKS * 7}d"
_HISTORY_SECONDS: Final = HISTORY_WEEKS * 7 * _DAY


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected value and the ends of its range."""

    expected: str
    low: str
    high: str


def weekly_users_forecast(weeks: Sequence[int]) -> Forecast:
    """Return the weekly active users of the deployment in the next weeks, by ``ago`` -1, -2 and so on.

    The regression covers the last eight complete weeks, which Coder serves from the first poll on. It exists
    only if each of the last four had users: a deployment that is younger has no trend. The values are between
    0 and the active accounts.
    """
    users = QUERY.latest(catalogue.DEPLOYMENT_ACTIVE_USERS, interval="week").max("ago")
    middle = (_FITTED_WEEKS - 1) / 2
    positions = label_values_as_vector(
        "ago", ((str(ago), f"{middle - ago:g}") for ago in range(_FITTED_WEEKS))
    )
    spread = sum((middle - ago) ** 2 for ago in range(_FITTED_WEEKS))
    fitted = f"({users} and on (ago) ({positions}))"
    slope = f"scalar(avg({users} * on (ago) ({positions}))) * {_FITTED_WEEKS / spread:.12g}"
    variance = f"scalar(stdvar({fitted})) - ({slope}) ^ 2 * {spread / _FITTED_WEEKS:g}"
    distances = {week: middle + week for week in weeks}
    steps = label_values_as_vector("ago", ((f"-{week}", f"{distances[week]:g}") for week in weeks))
    factors = label_values_as_vector(
        "ago",
        (
            (f"-{week}", f"{_prediction_factor(_FITTED_WEEKS, distances[week] ** 2 / spread):.4g}")
            for week in weeks
        ),
    )
    expected = f"scalar(avg({fitted})) + {slope} * ({steps})"
    error = f"sqrt(vector({variance}) > 0 or vector(0))"
    error = f"scalar({error}) * ({factors})"
    return _clamped(expected, error, _has_four_weeks(users))


def _prediction_factor(samples: int, relative_distance: float) -> float:
    """Return the multiple of the residuals' standard deviation that is half of the range of a prediction."""
    unbiased = samples / (samples - 2)
    return _STANDARD_ERRORS * sqrt(unbiased * (1 + 1 / samples + relative_distance))


def _has_four_weeks(users: Expr) -> str:
    recent_weeks = label_values_as_vector("ago", ((str(ago), "1") for ago in range(HISTORY_WEEKS)))
    used = users.binary_op("> 0")
    return f"(count({used} and on (ago) ({recent_weeks})) == {HISTORY_WEEKS})"


def _clamped(expected: str, error: str, guard: str) -> Forecast:
    def value(text: str) -> str:
        maximum = f"scalar({inventory.accounts()})"
        return f"clamp({text}, 0, {maximum}) and on () {guard}"

    low, high = (f"{expected} {sign} on (ago) {error}" for sign in "-+")
    return Forecast(value(expected), value(low), value(high))


def _has_history() -> str:
    """Return a series if seats were known four weeks ago."""
    past = QUERY.over_time("last_over_time", _SEATS_USED, f"2d offset {_HISTORY}", **_SEATS)
    return f"count({past})"


def seats_growth() -> str:
    """Return the growth of used seats per day over the last four weeks; absent with less history."""
    growth = QUERY.over_time("deriv", _SEATS_USED, _HISTORY, **_SEATS).max()
    return f"({growth} * {_DAY} and on () {_has_history()})"


def seats_forecast(days: int) -> Forecast:
    """Return the used seats some days ahead, never below 0; absent with less than four weeks of history."""
    expected = QUERY.predict_linear(_SEATS_USED, _HISTORY, str(days * _DAY), **_SEATS).max()
    deviation = QUERY.over_time("stddev_over_time", _SEATS_USED, _HISTORY, **_SEATS).max()
    slope = QUERY.over_time("deriv", _SEATS_USED, _HISTORY, **_SEATS).max()
    time_variance = _HISTORY_SECONDS**2 / 12
    samples = HISTORY_WEEKS * 7
    distance = _HISTORY_SECONDS / 2 + days * _DAY
    factor = _prediction_factor(samples, distance**2 / (samples * time_variance))
    error = f"sqrt(clamp_min({deviation} ^ 2 - ({slope}) ^ 2 * {time_variance:.6g}, 0)) * {factor:.4g}"

    def value(text: str) -> str:
        return f"clamp_min({text}, 0) and on () {_has_history()}"

    return Forecast(value(str(expected)), value(f"{expected} - {error}"), value(f"{expected} + {error}"))
