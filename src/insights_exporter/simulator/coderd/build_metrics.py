"""Metrics of builds: counters and durations of the provisioner in coderd's process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from insights_exporter.simulator.coderd.metric_vectors import HistogramVec, MetricVec
from insights_exporter.simulator.model import Build, User, Workspace

__all__ = ["BuildMetrics"]

_BOUNDS: Final = (1.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
_SECONDS_TO_READY: Final = 20.0
"""Time from the end of a build until its agent is ready."""


class BuildMetrics:
    """Builds since the start of the process; releases before v2.35 lack the duration by template."""

    def __init__(self, *, has_template_durations: bool) -> None:
        self._builds = MetricVec(
            "coderd_workspace_builds_total",
            "The number of workspaces started, updated, or deleted.",
            (
                *("workspace_owner", "workspace_name", "template_name", "template_version"),
                *("workspace_transition", "status"),
            ),
            metric_type="counter",
        )
        self._jobs = HistogramVec(
            "coderd_provisionerd_job_timings_seconds",
            "The provisioner job time duration in seconds.",
            ("provisioner", "status"),
            bounds=_BOUNDS,
        )
        self._durations = HistogramVec(
            "coderd_template_workspace_build_duration_seconds",
            "Duration from workspace build creation to agent ready, by template.",
            ("template_name", "organization_name", "transition", "status", "is_prebuild"),
            bounds=_BOUNDS,
        )
        self._has_template_durations = has_template_durations

    @property
    def vectors(self) -> list[MetricVec]:
        """The families of the release."""
        durations = [self._durations] if self._has_template_durations else []
        return [self._builds, self._jobs, *durations]

    def add(self, builds: Iterable[Build], workspaces: Iterable[Workspace]) -> None:
        """Count builds; the workspaces give names and owners."""
        by_id = {workspace.id: workspace for workspace in workspaces}
        for build in builds:
            workspace = by_id.get(build.workspace_id)
            owner, name = (workspace.owner, workspace.name) if workspace else (User("", "", ()), "")
            template, status = build.template, "failed" if build.is_failed else "success"
            self._builds.add(1, owner.username, name, template.name, "current", "START", status)
            self._jobs.observe(build.seconds, "terraform", status)
            if not build.is_failed:
                labels = template.name, template.organization.name, "start", "success", "false"
                self._durations.observe(build.seconds + _SECONDS_TO_READY, *labels)
