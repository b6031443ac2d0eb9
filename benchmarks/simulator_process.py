"""A process with a simulated Coder.

Usage: ``python -m benchmarks.simulator_process WORLD TEMPLATES USERS ACTIVE TIME``. WORLD is ``usual`` (users
have one or two templates) or ``crowded`` (every user uses every template). It prints its address. Each input
line sets the current time and is acknowledged with an empty line. The process stops at the end of its input.
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

from benchmarks.dense_world import dense_world
from insights_exporter.simulator.api.http_server import serve
from insights_exporter.simulator.demo_deployment import demo_deployment
from insights_exporter.simulator.generated_world import GeneratedWorld, Size, generate_world
from insights_exporter.simulator.options import ApiOptions

__all__ = ["SimulatorProcess", "WorldName", "main", "run_simulator"]

WorldName: TypeAlias = Literal["usual", "crowded"]

_WORLD_FACTORIES: Final[Mapping[str, Callable[[Size], GeneratedWorld]]] = {
    "usual": generate_world,
    "crowded": dense_world,
}


@dataclass(frozen=True, slots=True)
class SimulatorProcess:
    """A simulated Coder in another process."""

    url: str
    process: subprocess.Popen[str]

    def set_time(self, time: datetime) -> None:
        """Set the current time of the simulator."""
        if self.process.stdin is None or self.process.stdout is None:
            raise OSError("The simulator has no input or output.")
        self.process.stdin.write(f"{time.isoformat()}\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "\n":
            raise OSError("The simulator does not answer.")


@contextmanager
def run_simulator(
    *, templates: int, users: int, active: int, moment: datetime, world: WorldName = "usual"
) -> Iterator[SimulatorProcess]:
    """Run a simulator within the context."""
    numbers = [str(number) for number in (templates, users, active)]
    command = [sys.executable, "-m", "benchmarks.simulator_process", world, *numbers, moment.isoformat()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 # A module of the benchmarks.
        if process.stdout is None or process.stdin is None:
            raise OSError("The simulator has no input or output.")
        yield SimulatorProcess(process.stdout.readline().strip(), process)
        process.stdin.close()


async def _serve(world: GeneratedWorld, size: Size, start: datetime) -> None:
    now = [start]
    options = ApiOptions(rate_limit=0, user_limit=size.users)
    deployment = demo_deployment(size, now=lambda: now[0], options=options, world=world)
    async with serve(deployment) as address:
        _write_line(address)
        while line := await asyncio.to_thread(sys.stdin.readline):
            now[0] = datetime.fromisoformat(line.strip())
            _write_line("")


def _write_line(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the simulator of the command line."""
    world, templates, users, active, start_text = sys.argv[1:]
    size = Size(int(templates), int(users), int(active))
    asyncio.run(_serve(_WORLD_FACTORIES[world](size), size, datetime.fromisoformat(start_text)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
