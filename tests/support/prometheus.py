"""A real Prometheus on a free port, asked over HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

__all__ = ["Prometheus", "QueryError", "Series"]

PATIENCE: Final = 30.0
"""Seconds that it may take to start."""

Series = tuple[dict[str, str], list[tuple[float, float]]]
"""Labels, and numbers with their moments in Unix seconds."""


class QueryError(Exception):
    """Prometheus refuses a query; the text says why."""


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    @classmethod
    @contextmanager
    def serving(
        cls, data: Path, *, config: str = "global: {}\n", arguments: Sequence[str] = ()
    ) -> Iterator[Prometheus]:
        """Serve a database while the context lasts."""
        file = data.parent / f"{data.name}.yml"
        file.write_text(config)
        address = f"127.0.0.1:{_free_port()}"
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={data}"]
        command += [f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y"]
        with (data.parent / f"{data.name}.log").open("w") as log:
            process = subprocess.Popen([*command, "--log.level=error", *arguments], stdout=log, stderr=log)
            try:
                found = cls(f"http://{address}")
                found.wait(process)
                yield found
            finally:
                process.terminate()
                process.wait()

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return when queries are answered; raise RuntimeError where that never happens."""
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()  # noqa: S310 - our own.
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("Prometheus did not start.")

    def instant(self, query: str, at: datetime) -> list[Series]:
        """Return what a query finds at one moment."""
        found = self._ask("query", {"query": query, "time": repr(at.timestamp())})
        if found["resultType"] == "scalar":
            return [({}, [_point(found["result"])])]
        return [(one["metric"], [_point(one["value"])]) for one in found["result"]]

    def range(self, query: str, start: datetime, end: datetime, step: float) -> list[Series]:
        """Return what a query finds at each step of a range."""
        span = {"start": repr(start.timestamp()), "end": repr(end.timestamp()), "step": repr(step)}
        found = self._ask("query_range", {"query": query, **span})
        return [(one["metric"], [_point(value) for value in one["values"]]) for one in found["result"]]

    def values(self, label: str, selector: str, start: datetime, end: datetime) -> list[str]:
        """Return the values of a label in the series that a selector finds."""
        span = {"start": repr(start.timestamp()), "end": repr(end.timestamp())}
        matched = {"match[]": selector} if selector else {}
        found: list[str] = self._ask(f"label/{label}/values", {**matched, **span}, post=False)
        return found

    def kind(self, family: str) -> str:
        """Return of which type the newest scrapes say that a family is; nothing where none did."""
        found = self._ask("metadata", {"metric": family}, post=False)
        return str(found[family][0]["type"]) if family in found else ""

    def _ask(self, route: str, parameters: Mapping[str, str], *, post: bool = True) -> Any:
        url, data = f"{self.url}/api/v1/{route}", urllib.parse.urlencode(parameters)
        request = urllib.request.Request(url, data.encode()) if post else f"{url}?{data}"  # noqa: S310 - our own.
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above.
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{json.load(error).get('error')} in {parameters}") from None


def _point(value: list[Any]) -> tuple[float, float]:
    moment, number = value
    return float(moment), float(number)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
