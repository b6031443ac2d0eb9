"""What kind of deployment the simulator plays."""

from __future__ import annotations

from dataclasses import dataclass, field

from insights_exporter.simulator.options import MetricsOptions

__all__ = ["ApiOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """Traits that a deployment keeps while it runs; what tests change meanwhile stands in ``Controls``.

    ``rate_limit`` counts requests per minute, path and caller, 0 for no limit. ``user_limit`` is the number
    of seats in the licence. Without ``licensed`` it is the open-source edition, which knows no entitlements.
    ``client_apps`` answers like the newest servers, with one builtin row per client app. ``control`` lets
    others drive the simulator over HTTP, below ``/_simulator``. ``access_url`` is the address that answers
    name; empty for the address that was asked. ``metrics`` says what coderd's own metrics hold.
    """

    version: str = "v2.35.1+5e7d2c4"
    rate_limit: int = 512
    licensed: bool = True
    user_limit: int | None = None
    client_apps: bool = False
    control: bool = False
    access_url: str = ""
    metrics: MetricsOptions = field(default_factory=MetricsOptions)
