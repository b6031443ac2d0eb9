"""A real Alertmanager on a free port, and a receiver of its notifications."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.network import free_port
from tests.support.waiting import wait_until_ready

__all__ = ["Alertmanager", "WebhookReceiver", "webhook_receiver"]


@dataclass(frozen=True)
class Alertmanager:
    """A running Alertmanager."""

    address: str

    @classmethod
    @contextmanager
    def run(cls, folder: Path, config: str) -> Iterator[Alertmanager]:
        """Run with the configuration within the context."""
        folder.mkdir()
        (folder / "alertmanager.yml").write_text(config)
        alertmanager = cls(f"127.0.0.1:{free_port()}")
        command = ["prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}"]
        command += [f"--storage.path={folder / 'data'}", f"--web.listen-address={alertmanager.address}"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([*command, "--cluster.listen-address="], stdout=log, stderr=log)
            try:
                wait_until_ready(f"http://{alertmanager.address}/-/ready", process)
                yield alertmanager
            finally:
                process.terminate()
                process.wait()

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
    """Receives notifications of Alertmanager as (receiver, body) pairs."""

    url: str = ""
    notifications: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def firing(self) -> list[tuple[str, str]]:
        """Return (receiver, alert name) of each firing notification, in order of arrival."""
        return [
            (receiver, notification["commonLabels"]["alertname"])
            for receiver, notification in self.notifications
            if notification["status"] == "firing"
        ]

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Return the alerts of the first notification about an alert of that name."""
        for _, notification in self.notifications:
            if notification["commonLabels"]["alertname"] == name:
                found: list[dict[str, Any]] = notification["alerts"]
                return found
        raise AssertionError(f"There is no notification about {name}.")


@asynccontextmanager
async def webhook_receiver(static_dir: Path) -> AsyncIterator[WebhookReceiver]:
    """Receive notifications, and serve a folder under ``/pages``."""
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
