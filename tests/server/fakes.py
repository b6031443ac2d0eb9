"""A fake application context: small bodies that show what was requested."""

from __future__ import annotations

import gzip as compression

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.exposition import Exposition
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.server import AppContext, HtmlPage
from tests.support.recording_telemetry import RecordingTelemetry


class FakeExposition(Exposition):
    """Records the requested collectors; the body names the format."""

    def __init__(self, body: bytes = b"") -> None:
        super().__init__(username_policy=UsernamePolicy(UsernameMode.NAMED), limits=LimitSettings())
        self.fake_body = body
        self.requested_collectors: list[frozenset[str]] = []

    def chunks(
        self,
        exposition_format: Format,
        *,
        collectors: frozenset[str] = frozenset(),
        gzip: bool,
        self_metrics: bytes = b"",
    ) -> list[bytes]:
        """Return a body in two chunks."""
        self.requested_collectors.append(collectors)
        content = f"head of {exposition_format.name}\n".encode() + self.fake_body + self_metrics
        content = compression.compress(content) if gzip else content
        return [content[:5], content[5:]]


async def landing_page() -> HtmlPage:
    return HtmlPage(b"<!doctype html><title>Hello</title>", "default-src 'none'; style-src 'sha256-x'")


def fake_context(exposition: FakeExposition, telemetry: RecordingTelemetry) -> AppContext:
    """Return the context of an exporter that is ready."""
    return AppContext(
        exposition=exposition,
        self_metrics=lambda _: b"tail\n",
        telemetry=telemetry,
        not_ready_reason=lambda: "",
        landing_page=landing_page,
        config=lambda: "coder:\n  url: https://coder.example.com\n",
    )
