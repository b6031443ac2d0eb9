"""Samples of the agent statistics families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import ExponentialBuckets, FamilySamples
from insights_exporter.metrics.families.rows import (
    OptionalFloatSample,
    UserValues,
    float_series,
    histogram_series,
    to_histogram,
    user_latency_histograms,
    user_series,
)
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.snapshot import AgentStats, LatencyHistogram, TemplateKey

__all__ = ["agent_stats_families"]

_LabelledHistogram = tuple[tuple[str, ...], LatencyHistogram]


def agent_stats_families(stats: AgentStats, values: LabelValues) -> Iterator[FamilySamples]:
    """Yield the agent statistics families in the order of the catalogue.

    Users of agent statistics are pseudonymized where they are counted, so their names are not hashed again.
    """
    since = stats.since
    if not values.username_policy.hides_users:
        yield histogram_series(
            catalogue.CONNECTION_LATENCY,
            user_latency_histograms(_user_latency(stats, values), values["username"]),
            since=since,
            exponential_buckets=_user_exponential_buckets(stats, values) if stats.exponential else None,
        )
    yield histogram_series(
        catalogue.APP_CONNECTION_LATENCY,
        ((labels, to_histogram(histogram)) for labels, histogram in _app_latency(stats.app_latency, values)),
        since=since,
        exponential_buckets=(
            (labels, histogram.exponential_buckets)
            for labels, histogram in _app_latency(stats.app_latency, values)
        )
        if stats.exponential
        else None,
    )
    if not values.username_policy.hides_users:
        yield user_series(
            catalogue.USER_APP_SESSION,
            _user_values(stats.session_seconds, values, "app"),
            values,
            since=since,
            username_labels=values["username"],
        )
    open_sessions = (
        ((*values.template(TemplateKey(organization, template)), values["app"][app]), count)
        for (organization, template, app), count in stats.sessions.items()
    )
    yield float_series(catalogue.SESSIONS, open_sessions)
    yield float_series(catalogue.CONNECTIONS, _by_template(stats.connections, values))
    peers = (
        ((*values.template(TemplateKey(organization, template)), values["connection_type"][one]), count)
        for (organization, template, one), count in stats.peer_connections.items()
    )
    yield float_series(catalogue.PEER_CONNECTIONS, peers)
    if not values.username_policy.hides_users:
        yield user_series(
            catalogue.USER_PEER_CONNECTIONS,
            _user_values(stats.user_peer_connections, values, "connection_type"),
            values,
            username_labels=values["username"],
        )
    yield float_series(catalogue.RECEIVED_BYTES, _by_template(stats.received_bytes, values), since=since)
    yield float_series(
        catalogue.TRANSMITTED_BYTES, _by_template(stats.transmitted_bytes, values), since=since
    )


def _user_latency(
    stats: AgentStats, values: LabelValues
) -> Iterator[tuple[tuple[str, ...], Mapping[str, LatencyHistogram]]]:
    for (organization, template), latencies in stats.latency.items():
        yield (*values.template(TemplateKey(organization, template)), ""), latencies


def _user_exponential_buckets(stats: AgentStats, values: LabelValues) -> Iterator[ExponentialBuckets]:
    users = values["username"]
    for (*template, _), latencies in _user_latency(stats, values):
        for display_name, histogram in latencies.items():
            yield (*template, users[display_name]), histogram.exponential_buckets


def _app_latency(
    latency: Mapping[tuple[str, str, str], LatencyHistogram], values: LabelValues
) -> Iterator[_LabelledHistogram]:
    for (organization, template, app), histogram in latency.items():
        labels = (*values.template(TemplateKey(organization, template)), values["app"][app])
        yield labels, histogram


def _user_values(
    values_by_key: Mapping[tuple[str, str, str], Mapping[str, float]], values: LabelValues, label: str
) -> Iterator[UserValues]:
    """Yield the values by user of each template and value of ``label``."""
    for (organization, template, text), values_by_user in values_by_key.items():
        names = values.template(TemplateKey(organization, template))
        yield (*names, "", values[label][text]), values_by_user


def _by_template(
    values_by_template: Mapping[tuple[str, str], float], values: LabelValues
) -> Iterator[OptionalFloatSample]:
    for (organization, template), number in values_by_template.items():
        yield values.template(TemplateKey(organization, template)), number
