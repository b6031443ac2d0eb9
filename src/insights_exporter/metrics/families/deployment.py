"""The deployment as a whole, as samples."""

from __future__ import annotations

from collections.abc import Iterator

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.rows import infos, numbers
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.text import Samples
from insights_exporter.snapshot import Deployment

__all__ = ["deployment"]


def deployment(part: Deployment, values: LabelValues) -> Iterator[Samples]:
    """Yield the families of this part, in the catalogue's order."""
    users = (((values["status"][status],), count) for status, count in part.users.items())
    yield numbers(catalogue.USERS, users)
    yield numbers(catalogue.LICENSE_USER_LIMIT, [((), part.license_user_limit)])
    facts = (
        values["version"][part.version],
        values["dashboard_url"][part.dashboard_url],
        values["deployment_id"][part.deployment_id],
    )
    yield infos(catalogue.DEPLOYMENT_INFO, [facts])
