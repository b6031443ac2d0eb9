"""A real Prometheus on a free port, queried over HTTP."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.network import free_port
from tests.support.waiting import wait_until_ready

__all__ = ["Prometheus", "QueryError", "Series", "prometheus_otlp_arguments"]

Series = tuple[dict[str, str], list[tuple[float, float]]]
"""Labels, and (Unix time in seconds, value) pairs."""


class QueryError(Exception):
    """Prometheus rejected a query; the text contains its reason."""


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    @classmethod
    @contextmanager
    def run(
        cls, data: Path, *, config: str = "global: {}\n", arguments: Sequence[str] = ()
    ) -> Iterator[Prometheus]:
        """Serve a database within the context."""
        file = data.parent / f"{data.name}.yml"
        file.write_text(config)
        address = f"127.0.0.1:{free_port()}"
        command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={data}"]
        command += [f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y"]
        with (data.parent / f"{data.name}.log").open("w") as log:
            process = subprocess.Popen([*command, "--log.level=error", *arguments], stdout=log, stderr=log)
            try:
                server = cls(f"http://{address}")
                wait_until_ready(f"{server.url}/-/ready", process)
                yield server
            finally:
                process.terminate()
                process.wait()

    def query(self, promql: str, time: datetime) -> list[Series]:
        """Return the result of an instant query."""
        data = self._request("query", {"query": promql, "time": repr(time.timestamp())})
        if data["resultType"] == "scalar":
            return [({}, [_point(data["result"])])]
        return [(item["metric"], [_point(item["value"])]) for item in data["result"]]

    def query_range(self, promql: str, start: datetime, end: datetime, step: float) -> list[Series]:
        """Return the result of a range query."""
        time_params = {"start": repr(start.timestamp()), "end": repr(end.timestamp()), "step": repr(step)}
        data = self._request("query_range", {"query": promql, **time_params})
        return [(item["metric"], [_point(value) for value in item["values"]]) for item in data["result"]]

    def label_values(self, label: str, selector: str, start: datetime, end: datetime) -> list[str]:
        """Return the values of a label in the selected series."""
        time_params = {"start": repr(start.timestamp()), "end": repr(end.timestamp())}
        match_params = {"match[]": selector} if selector else {}
        values: list[str] = self._request(
            f"label/{label}/values", {**match_params, **time_params}, post=False
        )
        return values

    def metric_type(self, family: str) -> str:
        """Return the type of a family in the newest scrape; empty for an unknown family."""
        metadata = self._request("metadata", {"metric": family}, post=False)
        return str(metadata[family][0]["type"]) if family in metadata else ""

    def _request(self, route: str, parameters: Mapping[str, str], *, post: bool = True) -> Any:
        url, data = f"{self.url}/api/v1/{route}", urllib.parse.urlencode(parameters)
        request = urllib.request.Request(url, data.encode()) if post else f"{url}?{data}"  # noqa: S310 # A local URL.
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 # As above.
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise QueryError(f"{json.load(error).get('error')} in {parameters}") from None


def _point(value: list[Any]) -> tuple[float, float]:
    timestamp, sample_value = value
    return float(timestamp), float(sample_value)


def prometheus_otlp_arguments() -> list[str]:
    """Return the arguments that enable the OTLP receiver; skip the test for a Prometheus without one."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed.")
    completed = subprocess.run(["prometheus", "--help"], capture_output=True, text=True, check=False)
    help_text = completed.stdout + completed.stderr
    if "web.enable-otlp-receiver" in help_text:
        return ["--web.enable-otlp-receiver"]
    if "otlp-write-receiver" in help_text:
        return ["--enable-feature=otlp-write-receiver"]
    pytest.skip("This Prometheus has no OTLP receiver, which came with 2.47.")
