"""A straightforward exporter: all requests at each poll, dictionaries, prometheus_client.

It avoids obvious waste: one session, two concurrent requests, one rendering per poll.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nlargest
from operator import attrgetter
from typing import Any, Final

import aiohttp
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.registry import Collector
from yarl import URL

from insights_exporter.coder import time_ranges
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN

__all__ = ["BaselineExporter", "InsightsQuery", "build_queries"]

_ENDPOINTS: Final = ("templates", "user-activity", "user-latency")
_HEADERS: Final = {"Coder-Session-Token": DEMO_TOKEN}


@dataclass(frozen=True, slots=True)
class InsightsQuery:
    """A request with the labels of its response."""

    endpoint: str
    template: str
    window: str
    url: URL


def build_queries(
    base: str, templates: Mapping[str, str], names: Sequence[str], now: datetime
) -> list[InsightsQuery]:
    """Return a request for each template, endpoint and window; ``templates`` maps ids to names."""
    queries = []
    for template_id, template in templates.items():
        for name in names:
            window = time_ranges.parse_window(name, now)
            query = {
                "start_time": time_ranges.format_time(window.start),
                "end_time": time_ranges.format_time(window.end),
                "template_ids": template_id,
            }
            queries += [
                InsightsQuery(
                    endpoint, template, name, URL(f"{base}/api/v2/insights/{endpoint}").with_query(query)
                )
                for endpoint in _ENDPOINTS
            ]
    return queries


@dataclass(slots=True)
class BaselineExporter(Collector):
    """Fetches responses as dictionaries and renders them; a family has at most ``limit`` series."""

    session: aiohttp.ClientSession
    limit: int | None = None
    responses: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    page: bytes = b""

    async def poll(self, queries: Sequence[InsightsQuery]) -> None:
        """Fetch all responses and render the exposition."""
        pending = iter(queries)
        await asyncio.gather(*(self._fetch_all(pending) for _ in range(2)))
        body = await asyncio.to_thread(generate_latest, self)
        self.page = await asyncio.to_thread(gzip.compress, body, 1)

    async def _fetch_all(self, pending: Iterator[InsightsQuery]) -> None:
        for query in pending:
            async with self.session.get(query.url, headers=_HEADERS) as response:
                response.raise_for_status()
                key = query.endpoint, query.template, query.window
                self.responses[key] = (await response.json())["report"]

    def collect(self) -> Iterable[Metric]:
        """Return the families of the responses."""
        template, user = ["template_name", "window"], ["template_name", "username", "window"]
        active = GaugeMetricFamily("plain_active_users", "Users.", labels=template)
        apps = GaugeMetricFamily(
            "plain_app_seconds", "Time in an app.", labels=[*template, "app", "app_type"]
        )
        opens = GaugeMetricFamily("plain_app_opens", "Opens.", labels=[*template, "app", "app_type"])
        parameter_counts = GaugeMetricFamily(
            "plain_parameters", "Workspaces.", labels=[*template, "name", "value"]
        )
        user_seconds = GaugeMetricFamily("plain_user_seconds", "Time of a user.", labels=user)
        p50 = GaugeMetricFamily("plain_user_p50_seconds", "Median.", labels=user)
        p95 = GaugeMetricFamily("plain_user_p95_seconds", "95th percentile.", labels=user)
        for (endpoint, name, window), report in self.responses.items():
            if endpoint == "templates":
                active.add_metric([name, window], report["active_users"])
                for app in report["apps_usage"]:
                    labels = [name, window, app["slug"], app["type"]]
                    apps.add_metric(labels, app["seconds"])
                    opens.add_metric(labels, app["times_used"])
                for parameter in report["parameters_usage"]:
                    for value in parameter["values"]:
                        parameter_counts.add_metric(
                            [name, window, parameter["name"], value["value"]], value["count"]
                        )
            elif endpoint == "user-activity":
                for row in report["users"]:
                    user_seconds.add_metric([name, row["username"], window], row["seconds"])
            else:
                for row in report["users"]:
                    for family, statistic in ((p50, "p50"), (p95, "p95")):
                        if row["latency_ms"][statistic] > 0:
                            family.add_metric(
                                [name, row["username"], window], row["latency_ms"][statistic] / 1000
                            )
        return [
            self._limit_series(row) for row in (active, apps, opens, parameter_counts, user_seconds, p50, p95)
        ]

    def _limit_series(self, family: Metric) -> Metric:
        if self.limit is not None and len(family.samples) > self.limit:
            family.samples = nlargest(self.limit, family.samples, key=attrgetter("value"))
        return family
