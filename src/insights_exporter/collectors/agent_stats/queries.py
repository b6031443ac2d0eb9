"""What is asked of the database; it adds up itself, so that few rows travel.

A group of reports becomes one line. Reports that belong to a histogram are those with a measured latency and
an open session; they are told apart by bucket. Coder stores -1 or -0.001 where nothing was measured, and a
row that a client wrote instead of an agent (``usage``) never has a latency that counts.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from insights_exporter.collectors.agent_stats.apps import COLUMNS
from insights_exporter.collectors.agent_stats.exponential import QUERY
from insights_exporter.collectors.agent_stats.shape import Shape
from insights_exporter.metrics.catalogue import LATENCY_BUCKETS

__all__ = [
    "BATCH",
    "BUCKET",
    "CHUNK_MINUTES",
    "ORGANIZATION",
    "RANGE",
    "ROWS_BY_SLICE",
    "TEMPLATES",
    "USERS",
    "grouped",
    "open_now",
]

CHUNK_MINUTES: Final = 60
"""How many minutes one mask tells of; a bigint has room for so many."""

RANGE: Final = "SELECT now(), max(created_at) FROM workspace_agent_stats WHERE created_at >= $1"
BATCH: Final = """
SELECT count(*), max(created_at) FROM (
  SELECT created_at FROM workspace_agent_stats WHERE created_at >= $1 AND created_at < $2
  ORDER BY created_at LIMIT $3
) AS batch
"""
"""How many of the first so many reports of a range there are, and when the last of them came."""

ROWS_BY_SLICE: Final = """
SELECT width_bucket(created_at, $1::timestamptz[]), count(*) FROM workspace_agent_stats
WHERE created_at >= $2 AND created_at < $3 GROUP BY 1
"""
"""How many reports follow each of the bounds, which are counted from 1; the last one ends the range."""

TEMPLATES: Final = """
SELECT t.id::text, o.name::text, t.name::text, t.deleted
FROM templates t JOIN organizations o ON o.id = t.organization_id
"""
USERS: Final = "SELECT id::text, username::text FROM users"
ORGANIZATION: Final = "SELECT id::text FROM organizations ORDER BY is_default DESC, id LIMIT 1"

_BOUNDS: Final = ",".join(f"{-bound * 1000:g}" for bound in reversed(LATENCY_BUCKETS))
# width_bucket() counts a bound itself to the bucket above it, and Prometheus to the one below; negated, so
# does width_bucket().
BUCKET: Final = (
    f"{len(LATENCY_BUCKETS)} - width_bucket(-connection_median_latency_ms, "
    f"'{{{_BOUNDS}}}'::double precision[])"
)


def grouped(
    shape: Shape, begin: datetime, end: datetime | None, *, by_user: bool, exponential: bool = False
) -> str:
    """Return the query for reports of [begin, end), all later ones where ``end`` is None.

    Its columns: template, user, apps, hour since ``begin``, the minutes in it as bits, reports, bytes
    received and sent, the sum of the milliseconds that were observed, and how many of these there are:
    bucket, reports and, where it is wanted, the exponential bucket, split by commas, for each bucket, split
    by blanks. ``apps`` is one bit for each of ``COLUMNS``, or the object that the table has.
    """
    some = "apps IS NOT NULL" if shape.counts else "apps <> 0"
    agent, usage = (" AND NOT usage", ", usage") if shape.usage else ("", "")
    measured = "connection_median_latency_ms > 0 AND connection_median_latency_ms < 'Infinity'"
    observed = f"{some} AND {measured}{agent}"
    one_chunk = end is not None and end - begin <= timedelta(minutes=CHUNK_MINUTES)
    # A column less to tell groups apart by is a tenth less to do.
    keys = "template_id, who, apps" if one_chunk else "template_id, who, apps, chunk"
    told_chunk, chunk = ("0", "") if one_chunk else ("chunk", f"minute / {CHUNK_MINUTES} AS chunk,")
    parts, fine, told = f"{keys}, bucket", "", ""
    if exponential:
        parts, fine = f"{parts}, fine", f"CASE WHEN {observed} THEN {QUERY} END AS fine,"
        told = " || ',' || fine"
    until = "" if end is None else f" AND created_at < {_moment(end)}"
    user = f"CASE WHEN {some} THEN user_id END" if by_user else "NULL"
    return f"""
SELECT template_id, who, apps, {told_chunk}, bit_or(minutes), sum(reports), sum(received), sum(sent),
  sum(milliseconds) FILTER (WHERE bucket IS NOT NULL),
  string_agg(bucket || ',' || reports{told}, ' ') FILTER (WHERE bucket IS NOT NULL)
FROM (
  SELECT template_id, {user} AS who, apps, {chunk}
    CASE WHEN {observed} THEN {BUCKET} END AS bucket, {fine}
    bit_or(1::bigint << minute % {CHUNK_MINUTES}) AS minutes,
    count(*) AS reports, sum(connection_median_latency_ms) AS milliseconds,
    -- Sums of bigint are numeric, which takes longer; these are exact up to 9 PB.
    sum(greatest(rx_bytes, 0)::double precision) AS received,
    sum(greatest(tx_bytes, 0)::double precision) AS sent
  FROM (
    SELECT template_id, user_id, connection_median_latency_ms, rx_bytes, tx_bytes{usage},
      {_apps(shape)} AS apps,
      (floor(date_part('epoch', created_at) / 60) - {begin.timestamp() // 60:.0f})::int AS minute
    FROM workspace_agent_stats WHERE created_at >= {_moment(begin)}{until}
    -- Without this, what has a name here would be found out again at each mention.
    OFFSET 0
  ) AS report
  GROUP BY {parts}
) AS by_bucket
GROUP BY {keys}
"""  # noqa: S608 - nothing in it comes from outside.


def open_now(shape: Shape, since: datetime) -> str:
    """Return the query for the newest report of each agent since a moment, and for all that clients wrote.

    Its columns: template, the agent of what a client wrote, sessions as above but counted, connections,
    reports.
    """
    if shape.counts:
        counts = "session_counts"
    else:
        parts = ", ".join(f"coalesce({column}, 0)" for column in COLUMNS)
        counts = f"ARRAY[{parts}]::bigint[]"
    usage = "usage" if shape.usage else "false"
    return f"""
WITH recent AS MATERIALIZED (
  SELECT agent_id, template_id, created_at, connection_count, {counts} AS counts, {usage} AS by_client
  FROM workspace_agent_stats WHERE created_at >= {_moment(since)}
), newest AS (
  SELECT DISTINCT ON (agent_id) * FROM recent WHERE NOT by_client ORDER BY agent_id, created_at DESC
)
SELECT template_id, NULL, counts, sum(greatest(connection_count, 0)), count(*)
FROM newest GROUP BY template_id, counts
UNION ALL
SELECT template_id, agent_id::text, counts, 0, 1
FROM recent WHERE by_client GROUP BY template_id, agent_id, counts
"""  # noqa: S608 - nothing in it comes from outside.


def _apps(shape: Shape) -> str:
    if shape.counts:
        return "CASE WHEN jsonb_typeof(session_counts) = 'object' THEN nullif(session_counts, '{}') END"
    bits = [f"CASE WHEN {column} > 0 THEN {1 << place} ELSE 0 END" for place, column in enumerate(COLUMNS)]
    return " + ".join(bits)


def _moment(at: datetime) -> str:
    return f"'{at.isoformat()}'::timestamptz"
