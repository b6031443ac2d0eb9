"""A site whose pages are made up."""

from __future__ import annotations

import gzip as compression
from dataclasses import dataclass, field

from insights_exporter.metrics.encoder.text import Format
from insights_exporter.server import AppContext, HtmlPage
from insights_exporter.telemetry import NullTelemetry


@dataclass
class FakeMetricsBody:
    """Shows what it was asked for."""

    requested_collectors: list[frozenset[str]] = field(default_factory=list)
    body: bytes = b""

    def chunks(
        self,
        exposition_format: Format,
        *,
        collectors: frozenset[str] = frozenset(),
        gzip: bool,
        self_metrics: bytes,
    ) -> list[bytes]:
        """Return a page that names the form."""
        self.requested_collectors.append(collectors)
        content = f"head of {exposition_format.name}\n".encode() + self.body + self_metrics
        content = compression.compress(content) if gzip else content
        return [content[:5], content[5:]]


class FakeSelfMetrics:
    """The exporter's own metrics."""

    def encode(self, exposition_format: Format) -> bytes:
        """Return a line."""
        return b"tail\n"


class ScrapeRecorder(NullTelemetry):
    """Remembers scrapes."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def scrape_finished(self, code: int, seconds: float) -> None:
        """Note a scrape."""
        assert seconds >= 0
        self.codes.append(code)


async def landing_page() -> HtmlPage:
    return HtmlPage(b"<!doctype html><title>Hello</title>", "default-src 'none'; style-src 'sha256-x'")


def fake_context(metrics_body: FakeMetricsBody, scrape_recorder: ScrapeRecorder) -> AppContext:
    """Return a site of these pages that is ready."""
    return AppContext(
        metrics_body=metrics_body,
        self_metrics=FakeSelfMetrics(),
        telemetry=scrape_recorder,
        not_ready_reason=lambda: "",
        landing_page=landing_page,
        config=lambda: "coder:\n  url: https://coder.example.com\n",
    )
