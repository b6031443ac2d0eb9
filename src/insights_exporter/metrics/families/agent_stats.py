"""What agents reported, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.families.rows import Row, numbers, packed
from insights_exporter.metrics.family import Family
from insights_exporter.metrics.label_values import LabelValues
from insights_exporter.metrics.text import Samples
from insights_exporter.snapshot import AgentStats, Distribution, TemplateKey

__all__ = ["agent_stats"]

_Seen = tuple[tuple[str, ...], Distribution]


def agent_stats(part: AgentStats, values: LabelValues) -> Iterator[Samples]:
    """Yield the families of this part, in the catalogue's order."""
    since = part.since
    if not values.redaction.off:
        yield _latency(catalogue.CONNECTION_LATENCY, part, lambda: _user_latency(part, values))
    yield _latency(catalogue.APP_CONNECTION_LATENCY, part, lambda: _app_latency(part.app_latency, values))
    if not values.redaction.off:
        yield numbers(catalogue.USER_APP_SESSION, _sessions(part, values), since=since)
    open_sessions = (
        ((*values.template(TemplateKey(organization, template)), values["app"][app]), count)
        for (organization, template, app), count in part.sessions.items()
    )
    yield numbers(catalogue.SESSIONS, open_sessions)
    yield numbers(catalogue.CONNECTIONS, _by_template(part.connections, values))
    yield numbers(catalogue.RECEIVED_BYTES, _by_template(part.received_bytes, values), since=since)
    yield numbers(catalogue.TRANSMITTED_BYTES, _by_template(part.transmitted_bytes, values), since=since)


def _latency(family: Family, part: AgentStats, rows: Callable[[], Iterable[_Seen]]) -> Samples:
    return packed(
        family,
        ((labels, (seen.lanes, seen.total + 0.0)) for labels, seen in rows()),
        since=part.since,
        fine=((labels, seen.fine) for labels, seen in rows()) if part.exponential else None,
    )


class _Templates(dict[tuple[str, ...], tuple[str, str]]):
    """The label values of templates by their names; most rows are one of many of the same template."""

    def __init__(self, values: LabelValues) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, names: tuple[str, ...]) -> tuple[str, str]:
        self[names] = labels = self._values.template(TemplateKey(*names))
        return labels


def _user_latency(part: AgentStats, values: LabelValues) -> Iterator[_Seen]:
    templates, users = _Templates(values), values.users
    for key, seen in part.latency.items():
        if (user := users[key[2]]) is not None:
            yield (*templates[key[:2]], user), seen


def _app_latency(
    latency: Mapping[tuple[str, str, str], Distribution], values: LabelValues
) -> Iterator[_Seen]:
    for (organization, template, app), seen in latency.items():
        labels = (*values.template(TemplateKey(organization, template)), values["app"][app])
        yield labels, seen


def _sessions(part: AgentStats, values: LabelValues) -> Iterator[Row]:
    templates, users, apps = _Templates(values), values.users, values["app"]
    for key, seconds in part.session_seconds.items():
        if (user := users[key[2]]) is not None:
            yield (*templates[key[:2]], user, apps[key[3]]), seconds


def _by_template(numbers_by_key: Mapping[tuple[str, str], float], values: LabelValues) -> Iterator[Row]:
    for (organization, template), number in numbers_by_key.items():
        yield values.template(TemplateKey(organization, template)), number
