"""The exporter as a process whose clock its parent controls.

The first argument is the configuration file, the second the start time. The process reads times from its
standard input, one a line: it advances its clock, lets everything run that is due, and then writes ``idle``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from insights_exporter.app.application import Application
from insights_exporter.commands import configure_logging, load_settings, print_line

BACKGROUND_LOOPS = 2
"""The poller and the agent statistics, both of which sleep while the process is idle."""

SHORT_SLEEP = 15.0
"""Seconds up to which a sleep, such as the delay before a retry, ends without a command."""


@dataclass
class SteppedClock:
    """A clock that advances by commands of the parent only."""

    current_time: datetime
    elapsed: float = 0.0
    _sleepers: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def now(self) -> datetime:
        """Return the time of the last command."""
        return self.current_time

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        if seconds <= SHORT_SLEEP:
            self.advance_to(self.current_time + timedelta(seconds=seconds))
            await asyncio.sleep(0)
            return
        sleeper = self.elapsed + seconds, asyncio.get_running_loop().create_future()
        self._sleepers.append(sleeper)
        self._changed.set()
        try:
            await sleeper[1]
        finally:
            self._sleepers.remove(sleeper)

    def advance_to(self, time: datetime) -> None:
        """Set the time and wake what is due."""
        time = max(time, self.current_time)
        self.elapsed += (time - self.current_time).total_seconds()
        self.current_time = time
        for due_at, future in self._sleepers:
            if due_at <= self.elapsed and not future.done():
                future.set_result(None)

    async def wait_until_idle(self) -> None:
        """Return when every background loop sleeps."""
        while len([future for _, future in self._sleepers if not future.done()]) < BACKGROUND_LOOPS:
            self._changed.clear()
            await self._changed.wait()


async def run(config: Path, start: datetime) -> None:
    """Run the exporter until the standard input ends."""
    settings = load_settings(config, os.environ)
    configure_logging(settings)
    clock = SteppedClock(start)
    application = Application(settings, clock=clock)
    stop = asyncio.Event()
    application_task = asyncio.create_task(application.run(stop))
    commands_task = asyncio.create_task(follow_commands(application, clock))
    await asyncio.wait((application_task, commands_task), return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await application_task
    await commands_task


async def follow_commands(application: Application, clock: SteppedClock) -> None:
    """Advance the clock by the commands of the standard input."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    print_line(f"address {await application.address}")
    await clock.wait_until_idle()
    print_line("idle")
    async for line in reader:
        clock.advance_to(datetime.fromisoformat(line.decode().strip()))
        await clock.wait_until_idle()
        print_line("idle")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2])))
