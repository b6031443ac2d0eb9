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

START_TIMEOUT: Final = 30.0
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
    def run(
        cls, data: Path, *, config: str = "global: {}\n", arguments: Sequence[str] = ()
    ) -> Iterator[Prometheus]:
        """Serve a database while the context lasts."""
        file = data.parent / f"{data.name}.yml"
        file.write_text(config)
        address = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={data}"]
        command += [f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y"]
        with (data.parent / f"{data.name}.log").open("w") as log:
            process = subprocess.Popen([*command, "--log.level=error", *arguments], stdout=log, stderr=log)
            try:
                server = cls(f"http://{address}")
                server.wait_until_ready(process)
                yield server
            finally:
                process.terminate()
                process.wait()

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Return when queries are answered; raise RuntimeError where that never happens."""
        deadline = time.monotonic() + START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("Prometheus did not start.")

    def query(self, promql: str, time: datetime) -> list[Series]:
        """Return what a query finds at one moment."""
        data = self._request("query", {"query": promql, "time": repr(time.timestamp())})
        if data["resultType"] == "scalar":
            return [({}, [_point(data["result"])])]
        return [(item["metric"], [_point(item["value"])]) for item in data["result"]]

    def query_range(self, promql: str, start: datetime, end: datetime, step: float) -> list[Series]:
        """Return what a query finds at each step of a range."""
        time_params = {"start": repr(start.timestamp()), "end": repr(end.timestamp()), "step": repr(step)}
        data = self._request("query_range", {"query": promql, **time_params})
        return [(item["metric"], [_point(value) for value in item["values"]]) for item in data["result"]]

    def label_values(self, label: str, selector: str, start: datetime, end: datetime) -> list[str]:
        """Return the values of a label in the series that a selector finds."""
        time_params = {"start": repr(start.timestamp()), "end": repr(end.timestamp())}
        match_params = {"match[]": selector} if selector else {}
        values: list[str] = self._request(
            f"label/{label}/values", {**match_params, **time_params}, post=False
        )
        return values

    def metric_type(self, family: str) -> str:
        """Return of which type the newest scrapes say that a family is; nothing where none did."""
        metadata = self._request("metadata", {"metric": family}, post=False)
        return str(metadata[family][0]["type"]) if family in metadata else ""

    def _request(self, route: str, parameters: Mapping[str, str], *, post: bool = True) -> Any:
        url, data = f"{self.url}/api/v1/{route}", urllib.parse.urlencode(parameters)
        request = urllib.request.Request(url, data.encode()) if post else f"{url}?{data}"
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{json.load(error).get('error')} in {parameters}") from None


def _point(value: list[Any]) -> tuple[float, float]:
    timestamp, sample_value = value
    return float(timestamp), float(sample_value)


def free_port() -> int:
    with socket.socket() as bound_socket:
        bound_socket.bind(("127.0.0.1", 0))
        port: int = bound_socket.getsockname()[1]
        return port
