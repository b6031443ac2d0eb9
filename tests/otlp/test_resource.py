"""Resource attributes: their translation to Prometheus is the job that rules and dashboards select."""

from __future__ import annotations

import socket

import pytest

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.otlp.pusher import SERVICE_NAME, build_resource


def test_default_job_is_the_job_of_the_rules() -> None:
    attributes = build_resource({}).attributes

    assert "service.namespace" not in attributes
    assert attributes["service.name"] == SERVICE_NAME
    assert InstallOptions().matchers == (f'job="{SERVICE_NAME}"',)


def test_instance_is_stable_across_restarts() -> None:
    first, second = (build_resource({}).attributes["service.instance.id"] for _ in range(2))

    assert first == second == socket.gethostname()


def test_settings_override_variables_and_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=variable,region=eu")
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    attributes = build_resource({"service.instance.id": "settings"}, deployment_id="d1").attributes

    assert attributes["service.name"] == SERVICE_NAME
    assert attributes["service.instance.id"] == "settings"
    assert attributes["region"] == "eu"
    assert attributes["coder.deployment.id"] == "d1"
