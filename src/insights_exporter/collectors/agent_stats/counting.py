"""Lines of the database's answers, turned into counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from insights_exporter.collectors.agent_stats.apps import FAMILIES, families
from insights_exporter.collectors.agent_stats.ledger import OpenNow
from insights_exporter.collectors.agent_stats.people import People
from insights_exporter.collectors.agent_stats.shape import Shape
from insights_exporter.collectors.agent_stats.tally import Tally
from insights_exporter.filters import Filters
from insights_exporter.snapshot import TemplateKey

__all__ = ["Apps", "Counting", "Identities", "opened"]

_NULL = "\\N"
_REMEMBERED = 20_000
_TURN = 200
"""How many lines are counted at a time: about a millisecond's work."""


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

    def template_named(self, number: str, key: TemplateKey) -> bool:
        """Note a template's name and say whether it is exported."""
        admitted = self._filters.admits_template(key)
        self._templates[number] = key if admitted else None
        return admitted

    def user_named(self, number: str, username: str) -> None:
        """Note a user's name."""
        self._users[number] = self._people.shown(username)

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


class Counting:
    """Takes lines of ``queries.grouped`` and counts them; ``tally`` is whole after ``finish``."""

    def __init__(self, identities: Identities, apps: Apps) -> None:
        self.tally = Tally()
        self.rows = 0
        self.observed = 0
        self._identities = identities
        self._apps = apps
        self._minutes: dict[tuple[str, str, str, str, str], int] = {}

    async def take(self, lines: list[str]) -> None:
        """Count some lines, and let others have a turn now and then."""
        for begin in range(0, len(lines), _TURN):
            for line in lines[begin : begin + _TURN]:
                self._take(line.split("\t"))
            await asyncio.sleep(0)

    def _take(self, columns: list[str]) -> None:
        template_id, user_id, text, chunk, minutes, reports, received, sent, observed = columns
        self.rows += int(reports)
        template = self._identities.template(template_id)
        if template is None:
            return
        self.tally.traffic(template, received=_whole(received), transmitted=_whole(sent))
        apps = self._apps.of(text)
        if not apps:
            return
        user = self._identities.user(user_id)
        if observed != _NULL:
            counted = self.tally.counted(template, user, apps)
            for one in observed.split(" "):
                bucket, count, latency, *fine = one.split(",")
                index = int(fine[0]) if fine else None
                self.observed += int(count)
                for counts in counted:
                    counts.observe(int(bucket), int(count), float(latency) / 1000, index)
        if user is not None:
            mask = int(minutes)
            for app in apps:
                key = (*template, user, app, chunk)
                self._minutes[key] = self._minutes.get(key, 0) | mask

    def finish(self) -> Tally:
        """Count the minutes in which sessions were open, each once whatever told of it."""
        for (organization, template, user, app, _), mask in self._minutes.items():
            key = TemplateKey(organization, template)
            self.tally.session(key, user, app, seconds=60.0 * mask.bit_count())
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
