"""What agents reported, as samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.rows import Crowd, Row, numbers, of_users, packed, packs
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.text import Fine, Samples
from insights_exporter.snapshot import AgentStats, Distribution, TemplateKey

__all__ = ["agent_stats"]

_Seen = tuple[tuple[str, ...], Distribution]


def agent_stats(part: AgentStats, values: LabelValues) -> Iterator[Samples]:
    """Yield the families of this part, in the catalogue's order."""
    since = part.since
    if not values.redaction.off:
        yield packs(
            catalogue.CONNECTION_LATENCY,
            _user_latency(part, values),
            values,
            since=since,
            fine=_user_fine(part, values) if part.exponential else None,
        )
    yield packed(
        catalogue.APP_CONNECTION_LATENCY,
        ((labels, (seen.lanes, seen.total + 0.0)) for labels, seen in _app_latency(part.app_latency, values)),
        since=since,
        fine=((labels, seen.fine) for labels, seen in _app_latency(part.app_latency, values))
        if part.exponential
        else None,
    )
    if not values.redaction.off:
        yield of_users(catalogue.USER_APP_SESSION, _sessions(part, values), values, since=since)
    open_sessions = (
        ((*values.template(TemplateKey(organization, template)), values["app"][app]), count)
        for (organization, template, app), count in part.sessions.items()
    )
    yield numbers(catalogue.SESSIONS, open_sessions)
    yield numbers(catalogue.CONNECTIONS, _by_template(part.connections, values))
    yield numbers(catalogue.RECEIVED_BYTES, _by_template(part.received_bytes, values), since=since)
    yield numbers(catalogue.TRANSMITTED_BYTES, _by_template(part.transmitted_bytes, values), since=since)


def _user_latency(
    part: AgentStats, values: LabelValues
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Distribution]]]:
    for (organization, template), latencies in part.latency.items():
        yield (*values.template(TemplateKey(organization, template)), ""), latencies


def _user_fine(part: AgentStats, values: LabelValues) -> Iterator[Fine]:
    users = values.users
    for (*template, _), latencies in _user_latency(part, values):
        for username, seen in latencies.items():
            if (user := users[username]) is not None:
                yield (*template, user), seen.fine


def _app_latency(
    latency: Mapping[tuple[str, str, str], Distribution], values: LabelValues
) -> Iterator[_Seen]:
    for (organization, template, app), seen in latency.items():
        labels = (*values.template(TemplateKey(organization, template)), values["app"][app])
        yield labels, seen


def _sessions(part: AgentStats, values: LabelValues) -> Iterator[Crowd]:
    for (organization, template, app), seconds in part.session_seconds.items():
        names = values.template(TemplateKey(organization, template))
        yield (*names, "", values["app"][app]), seconds


def _by_template(numbers_by_key: Mapping[tuple[str, str], float], values: LabelValues) -> Iterator[Row]:
    for (organization, template), number in numbers_by_key.items():
        yield values.template(TemplateKey(organization, template)), number
