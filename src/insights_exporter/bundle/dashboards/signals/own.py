"""How the exporter itself is doing.

Each replica polls and serves for itself, so most of this is told per ``instance``.
"""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.dashboards.signals import SCOPE
from insights_exporter.bundle.queries import HOUSE, Scope, Vector, share
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import Family

__all__ = ["REPLICAS", "age", "ages", "foreign", "mean", "quantile", "token_left", "version"]

REPLICAS: Final = Scope(HOUSE, ("job", "instance"))
"""Each replica apart."""


def foreign(name: str, *, over: str = "", function: str = "") -> Vector:
    """Return a metric of the scrape or of the process, which no catalogue of ours holds."""
    selector = f"{name}{{{', '.join(HOUSE)}}}"
    text = f"{function}({selector}[{over}])" if function else selector
    return Vector(text, ("job", "instance"), frozenset(("job", "instance")))


def age(collector: str) -> str:
    """Return the seconds since a collector last brought anything."""
    return f"time() - {SCOPE.latest(catalogue.LAST_SUCCESS, collector=collector).max()}"


def ages() -> Vector:
    """Return the seconds since each collector last brought anything, in the freshest replica."""
    newest = SCOPE.latest(catalogue.LAST_SUCCESS).max("collector")
    return Vector(f"time() - {newest}", ("collector",), frozenset())


def token_left() -> str:
    """Return the seconds until the first token expires."""
    expiry = SCOPE.latest(catalogue.TOKEN_EXPIRY)
    return f"min({expiry}) - time()"


def version() -> Vector:
    """Return how many replicas run each version."""
    return REPLICAS.latest(catalogue.BUILD_INFO).count("version")


def quantile(of: str, family: Family, *by: str) -> str:
    """Return a quantile of the durations that a histogram of ours observed."""
    rising = REPLICAS.buckets(family, "$__rate_interval").sum(*by, "le")
    return f"histogram_quantile({of}, {rising})"


def mean(family: Family, *by: str) -> str:
    """Return the mean of the durations that a histogram of ours observed."""
    total, number = (
        REPLICAS.part(family, suffix, "$__rate_interval").sum(*by) for suffix in ("_sum", "_count")
    )
    return share(total, number)
