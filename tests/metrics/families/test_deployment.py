"""Families of the deployment."""

from __future__ import annotations

from datetime import UTC, datetime

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Deployment, Snapshot, Timestamped

NOW = datetime(2026, 1, 14, 10, 20, tzinfo=UTC)


def test_unlimited_feature_has_a_use_and_no_limit() -> None:
    deployment = Deployment(
        "v2.35.1",
        license_limits={"user_limit": 100},
        license_used={"user_limit": 83, "agent_runtime_hours": 12.5},
    )
    families = build_families(
        Snapshot(NOW, deployment=Timestamped(deployment, NOW)),
        username_policy=UsernamePolicy(UsernameMode.NAMED),
        limits=LimitSettings(),
    )
    values = {samples.family: dict(samples) for samples in families.samples}

    assert values[catalogue.LICENSE_FEATURE_LIMIT] == {("user_limit",): 100}
    assert values[catalogue.LICENSE_FEATURE_USED] == {
        ("user_limit",): 83,
        ("agent_runtime_hours",): 12.5,
    }
