"""A simulated Coder in a process of its own.

Start it with ``python -m benchmarks.upstream WORLD TEMPLATES USERS ACTIVE MOMENT``. WORLD is ``usual``, where
people keep to a template or two, or ``crowded``, where everybody uses all. It writes its address as a line.
Each line that it then reads is a new moment; it answers with an empty line once it lives at it, and stops
where its input ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from benchmarks.crowd import crowd
from insights_exporter.simulator.api.application import serve
from insights_exporter.simulator.api.options import ApiOptions
from insights_exporter.simulator.generated import GeneratedWorld, Size, generate
from insights_exporter.simulator.stage import stage

__all__ = ["Upstream", "WorldName", "main", "running"]

WorldName: TypeAlias = Literal["usual", "crowded"]

_WORLDS: Final[Mapping[str, Callable[[Size], GeneratedWorld]]] = {"usual": generate, "crowded": crowd}


@dataclass(frozen=True, slots=True)
class Upstream:
    """A simulated Coder that runs elsewhere."""

    url: str
    process: subprocess.Popen[str]

    def move_to(self, moment: datetime) -> None:
        """Let it live at that moment."""
        if self.process.stdin is None or self.process.stdout is None:
            raise OSError("The simulator has no input or output.")
        self.process.stdin.write(f"{moment.isoformat()}\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "\n":
            raise OSError("The simulator does not answer.")


@contextmanager
def running(
    *, templates: int, users: int, active: int, moment: datetime, world: WorldName = "usual"
) -> Iterator[Upstream]:
    """Run one while the context lasts."""
    numbers = [str(number) for number in (templates, users, active)]
    command = [sys.executable, "-m", "benchmarks.upstream", world, *numbers, moment.isoformat()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own module.
        if process.stdout is None or process.stdin is None:
            raise OSError("The simulator has no input or output.")
        yield Upstream(process.stdout.readline().strip(), process)
        process.stdin.close()


async def _serve(world: GeneratedWorld, size: Size, moment: datetime) -> None:
    now = [moment]
    options = ApiOptions(rate_limit=0, user_limit=size.users)
    deployment = stage(size, now=lambda: now[0], options=options, world=world)
    async with serve(deployment) as address:
        _say(address)
        while line := await asyncio.to_thread(sys.stdin.readline):
            now[0] = datetime.fromisoformat(line.strip())
            _say("")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Serve what the command line names."""
    world, templates, users, active, moment = sys.argv[1:]
    size = Size(int(templates), int(users), int(active))
    asyncio.run(_serve(_WORLDS[world](size), size, datetime.fromisoformat(moment)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
