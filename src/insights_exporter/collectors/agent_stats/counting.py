"""Lines of the database's answers, turned into counts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from insights_exporter.collectors.agent_stats.apps import FAMILIES, families
from insights_exporter.collectors.agent_stats.ledger import OpenNow
from insights_exporter.collectors.agent_stats.people import People
from insights_exporter.collectors.agent_stats.shape import Shape
from insights_exporter.collectors.agent_stats.tally import PLACES, AppKey, Tally, counts_of
from insights_exporter.filters import Filters
from insights_exporter.interpreter import in_turns
from insights_exporter.lanes import LANE, split
from insights_exporter.snapshot import TemplateKey

__all__ = ["Apps", "Counting", "Groups", "Identities", "opened"]

_NULL = "\\N"
_REMEMBERED = 50_000
_TURN: Final = 40
"""How many lines are counted at a time: about half a millisecond's work, two beside a busy database."""

_REST: Final = 0.001
"""Seconds between two turns, which are free for scrapes; one needs the event loop several times."""


class Identities:
    """Names by id: of templates, None where one is left out, and of users as shown.

    What has no name goes by its id, so that nothing is lost that was reported.
    """

    def __init__(self, people: People, filters: Filters) -> None:
        self._people = people
        self._filters = filters
        self._templates: dict[str, TemplateKey | None] = {}
        self._users: dict[str, str | None] = {}
        self.strangers = False
        """Whether somebody was met whose name nobody told."""
        self.renamed = 0
        """How often something got another name than before."""

    def template_named(self, number: str, key: TemplateKey) -> bool:
        """Note a template's name and say whether it is exported."""
        admitted = self._filters.admits_template(key)
        found = key if admitted else None
        self.renamed += self._templates.get(number, found) != found
        self._templates[number] = found
        return admitted

    def user_named(self, number: str, username: str) -> None:
        """Note a user's name."""
        shown = self._people.shown(username)
        self.renamed += self._users.get(number, shown) != shown
        self._users[number] = shown

    def template(self, number: str) -> TemplateKey | None:
        """Return a template's identity."""
        if number not in self._templates:
            self.template_named(number, TemplateKey("", number))
        return self._templates[number]

    def user(self, number: str) -> str | None:
        """Return a user as shown."""
        if number == _NULL:
            return None
        if number not in self._users:
            self.strangers = True
            self.user_named(number, number)
        return self._users[number]


class Apps:
    """Open sessions as the table has them, by family; equal texts are read once."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._known: dict[str, Mapping[str, int]] = {}

    def of(self, text: str) -> Mapping[str, int]:
        """Return the families of the apps in a group of reports; their numbers are not told by bits."""
        found = self._known.get(text)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[text] = self._read(text)
        return found

    def _read(self, text: str) -> Mapping[str, int]:
        if text == _NULL:
            return {}
        if not self._shape.counts:
            bits = int(text)
            return {name: 1 for place, name in enumerate(FAMILIES) if bits >> place & 1}
        # COPY writes a backslash twice.
        counts = msgspec.json.decode(text.replace("\\\\", "\\"))
        return families((name, count) for name, count in counts.items() if isinstance(count, int))

    def counted(self, text: str) -> Mapping[str, int]:
        """Return the number of open sessions by family, of a row of ``open_now``."""
        if self._shape.counts:
            return self.of(text)
        numbers = [int(one) for one in text.strip("{}").split(",")]
        return {name: number for name, number in zip(FAMILIES, numbers, strict=True) if number > 0}


class _Group(NamedTuple):
    """What a group of reports belongs to, by the keys of a tally."""

    template: TemplateKey
    user: str | None
    apps: tuple[AppKey, ...]


class Groups:
    """Finds out what groups of reports belong to; the same ones come at each reading and are kept."""

    def __init__(self, identities: Identities, apps: Apps) -> None:
        self._identities = identities
        self._apps = apps
        self._known: dict[str, _Group | None] = {}
        self._renamed = identities.renamed
        self.observed = _Observed()

    def refresh(self) -> None:
        """Forget everything where something was renamed."""
        if self._renamed != self._identities.renamed:
            self._renamed = self._identities.renamed
            self._known.clear()

    def of(self, columns: str) -> _Group | None:
        """Return what a group belongs to, by its first three columns; None where its template is left out."""
        try:
            return self._known[columns]
        except KeyError:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[columns] = self._read(*columns.split("\t"))
            return found

    def _read(self, template_id: str, user_id: str, text: str) -> _Group | None:
        template = self._identities.template(template_id)
        if template is None:
            return None
        apps = self._apps.of(text)
        user = self._identities.user(user_id) if apps else None
        by_app = tuple([(*template, app) for app in apps])
        return _Group(template, user, by_app)


class _Observed(dict[str, tuple[int, dict[int, int]]]):
    """What the column of observations says, as lanes and by exponential bucket.

    It is short and most of it comes often, so each is read once.
    """

    def __missing__(self, text: str) -> tuple[int, dict[int, int]]:
        lanes = 0
        fine: dict[int, int] = {}
        for word in text.split(" "):
            bucket, reports, *exponential = map(int, word.split(","))
            lanes += reports << LANE * bucket
            for index in exponential:
                fine[index] = fine.get(index, 0) + reports
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = found = lanes, fine
        return found


class Counting:
    """Takes lines of ``queries.grouped`` and counts them; ``tally`` is whole after ``finish``."""

    def __init__(self, groups: Groups) -> None:
        self.tally = Tally()
        self.rows = 0
        groups.refresh()
        self._groups = groups
        self._lanes = 0
        self._traffic: defaultdict[TemplateKey, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._minutes: defaultdict[tuple[str, AppKey], dict[str, int]] = defaultdict(dict)

    @property
    def observed(self) -> int:
        """How many reports were observations."""
        return sum(split(self._lanes, PLACES))

    async def take(self, lines: list[str]) -> None:
        """Count some lines, and leave time for others now and then."""
        for begin in range(0, len(lines), _TURN):
            self._take(lines[begin : begin + _TURN])
            await asyncio.sleep(_REST)

    def _take(self, lines: Iterable[str]) -> None:
        of, traffic, minutes = self._groups.of, self._traffic, self._minutes
        for line in lines:
            columns, chunk, mask, reports, received, sent, latency, observations = line.rsplit("\t", 7)
            self.rows += int(reports)
            group = of(columns)
            if group is None:
                continue
            both = traffic[group.template]
            both[0] += float(received)
            both[1] += float(sent)
            if observations != _NULL:
                self._observe(group, observations, float(latency) / 1000)
            if (user := group.user) is not None:
                for app in group.apps:
                    masks = minutes[chunk, app]
                    masks[user] = masks.get(user, 0) | int(mask)

    def _observe(self, group: _Group, observations: str, seconds: float) -> None:
        lanes, fine = self._groups.observed[observations]
        self._lanes += lanes
        for app in group.apps:
            counts_of(self.tally.app_latency, app).observe(lanes, seconds, fine)
        if group.user is not None:
            users = self.tally.latency.setdefault(group.template, {})
            counts_of(users, group.user).observe(lanes, seconds, fine)

    def finish(self) -> Tally:
        """Count bytes, and the minutes in which sessions were open, each once whatever told of it."""
        for template, (received, sent) in self._traffic.items():
            self.tally.traffic(template, received=int(received), transmitted=int(sent))
        self._traffic.clear()
        for (_, app), masks in self._minutes.items():
            seconds = self.tally.session_seconds.setdefault(app, {})
            for user, mask in in_turns(masks.items()):
                seconds[user] = seconds.get(user, 0.0) + 60.0 * mask.bit_count()
        self._minutes.clear()
        return self.tally


def opened(lines: list[str], identities: Identities, apps: Apps) -> OpenNow:
    """Return what is open, from the lines of ``queries.open_now``.

    What a client wrote several times for an agent counts once, with its largest number.
    """
    now = OpenNow()
    written: dict[tuple[str, TemplateKey, str], int] = {}
    for line in lines:
        template_id, agent, text, connections, rows = line.split("\t")
        template = identities.template(template_id)
        if template is None:
            continue
        for app, count in apps.counted(text).items():
            if agent == _NULL:
                key = (*template, app)
                now.sessions[key] = now.sessions.get(key, 0) + count * int(rows)
            else:
                one = (agent, template, app)
                written[one] = max(written.get(one, 0), count)
        now.connections[template] = now.connections.get(template, 0) + _whole(connections)
    for (_, template, app), count in written.items():
        key = (*template, app)
        now.sessions[key] = now.sessions.get(key, 0) + count
    return now


def _whole(text: str) -> int:
    return 0 if text == _NULL else int(text)
