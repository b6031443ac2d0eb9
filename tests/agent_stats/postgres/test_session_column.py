"""Sessions of a report in the schema with client programs."""

from __future__ import annotations

import pytest

from insights_exporter.agent_stats.postgres.queries import TableSchema
from insights_exporter.agent_stats.postgres.row_aggregation import SessionColumn

COUNTS = '{"cursor": 2, "vscode": 1, "reconnecting_pty": 1, "overflow": 3, "ssh": 0}'


@pytest.mark.parametrize(
    ("by_client", "sessions"),
    [
        (False, {"vscode": 3, "reconnecting-pty": 1, "unknown": 3}),
        (True, {"cursor": 2, "vscode": 1, "reconnecting-pty": 1, "overflow": 3}),
    ],
)
def test_clients_are_counted_by_family_or_by_name(*, by_client: bool, sessions: dict[str, int]) -> None:
    column = SessionColumn(TableSchema(has_session_counts=True, has_usage=True), by_client=by_client)

    assert column.parse_apps(COUNTS) == sessions


def test_older_schema_has_families_only() -> None:
    column = SessionColumn(TableSchema(has_session_counts=False, has_usage=True), by_client=True)

    assert column.parse_apps("1") == {"vscode": 1}
