"""Samples of the deployment families."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import FamilySamples
from insights_exporter.metrics.families.rows import float_series, info_series
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import Deployment

__all__ = ["deployment_families"]


def deployment_families(info: Deployment, values: LabelValues) -> Iterator[FamilySamples]:
    """Yield the deployment families in the order of the catalogue."""
    users = (((values["status"][status],), count) for status, count in info.users.items())
    yield float_series(catalogue.USERS, users)
    for family, amounts in (
        (catalogue.LICENSE_FEATURE_LIMIT, info.license_limits),
        (catalogue.LICENSE_FEATURE_USED, info.license_used),
    ):
        yield float_series(
            family, (((values["feature"][feature],), amount) for feature, amount in amounts.items())
        )
    labels = (
        values["version"][info.version],
        values["dashboard_url"][info.dashboard_url],
        values["deployment_id"][info.deployment_id],
    )
    yield info_series(catalogue.DEPLOYMENT_INFO, [labels])
