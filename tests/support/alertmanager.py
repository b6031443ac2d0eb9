"""A real Alertmanager on a free port, and somebody whom it notifies."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web

__all__ = ["Alertmanager", "WebhookReceiver", "webhook_receiver"]

START_TIMEOUT: Final = 30.0


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    address: str

    @classmethod
    @contextmanager
    def run(cls, folder: Path, config: str) -> Iterator[Alertmanager]:
        """Route alerts as the configuration says while the context lasts."""
        folder.mkdir()
        (folder / "alertmanager.yml").write_text(config)
        with socket.socket() as free_socket:
            free_socket.bind(("127.0.0.1", 0))
            alertmanager = cls(f"127.0.0.1:{free_socket.getsockname()[1]}")
        command = ["prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}"]
        command += [f"--storage.path={folder / 'data'}", f"--web.listen-address={alertmanager.address}"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([*command, "--cluster.listen-address="], stdout=log, stderr=log)
            try:
                alertmanager.wait_until_ready(process)
                yield alertmanager
            finally:
                process.terminate()
                process.wait()

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("Alertmanager did not start.")

    def states(self) -> dict[str, set[str]]:
        """Return the names of alerts by state: ``active``, or ``suppressed`` by another one."""
        with urllib.request.urlopen(f"http://{self.address}/api/v2/alerts", timeout=10) as response:
            alerts = json.load(response)
        names_by_state: dict[str, set[str]] = {"active": set(), "suppressed": set(), "unprocessed": set()}
        for alert in alerts:
            names_by_state[alert["status"]["state"]].add(alert["labels"]["alertname"])
        return names_by_state


@dataclass
class WebhookReceiver:
    """Whoever is notified: by receiver, what came."""

    url: str = ""
    notifications: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def firing(self) -> list[tuple[str, str]]:
        """Return receiver and alert of each notification that something fires, in the order they came."""
        return [
            (receiver, notification["commonLabels"]["alertname"])
            for receiver, notification in self.notifications
            if notification["status"] == "firing"
        ]

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Return the alerts of that name in what came first."""
        for _, notification in self.notifications:
            if notification["commonLabels"]["alertname"] == name:
                found: list[dict[str, Any]] = notification["alerts"]
                return found
        return []


@asynccontextmanager
async def webhook_receiver(static_dir: Path) -> AsyncIterator[WebhookReceiver]:
    """Listen to notifications, and serve a folder under ``/pages``."""
    webhook = WebhookReceiver()

    async def notified(request: web.Request) -> web.Response:
        webhook.notifications.append((request.match_info["receiver"], await request.json()))
        return web.Response()

    application = web.Application()
    application.router.add_post("/notify/{receiver}", notified)
    application.router.add_static("/pages", static_dir)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        webhook.url = "http://{}:{}".format(*runner.addresses[0][:2])
        yield webhook
    finally:
        await runner.cleanup()
