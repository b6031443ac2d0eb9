"""The deployment as a whole, as samples."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder.text import FamilySamples
from insights_exporter.metrics.families.rows import float_series, info_series
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import Deployment

__all__ = ["deployment_families"]


def deployment_families(info: Deployment, values: LabelValues) -> Iterator[FamilySamples]:
    """Yield the families of this part, in the catalogue's order."""
    users = (((values["status"][status],), count) for status, count in info.users.items())
    yield float_series(catalogue.USERS, users)
    yield float_series(catalogue.LICENSE_USER_LIMIT, [((), info.license_user_limit)])
    labels = (
        values["version"][info.version],
        values["dashboard_url"][info.dashboard_url],
        values["deployment_id"][info.deployment_id],
    )
    yield info_series(catalogue.DEPLOYMENT_INFO, [labels])
