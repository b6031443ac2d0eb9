"""A site whose pages are made up."""

from __future__ import annotations

import gzip as compression
from dataclasses import dataclass, field

from insights_exporter.metrics.text import Format
from insights_exporter.server import Page, Site
from insights_exporter.telemetry import SilentTelemetry


@dataclass
class FakePages:
    """Shows what it was asked for."""

    asked: list[frozenset[str]] = field(default_factory=list)
    body: bytes = b""

    def parts(
        self, form: Format, *, collectors: frozenset[str] = frozenset(), gzip: bool, tail: bytes
    ) -> list[bytes]:
        """Return a page that names the form."""
        self.asked.append(collectors)
        page = f"head of {form.name}\n".encode() + self.body + tail
        page = compression.compress(page) if gzip else page
        return [page[:5], page[5:]]


class FakeTail:
    """The exporter's own metrics."""

    def text(self, form: Format) -> bytes:  # noqa: ARG002 - the same for every form.
        """Return a line."""
        return b"tail\n"


class Scrapes(SilentTelemetry):
    """Remembers scrapes."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    def scraped(self, code: int, seconds: float) -> None:
        """Note a scrape."""
        assert seconds >= 0
        self.codes.append(code)


async def landing() -> Page:
    return Page(b"<!doctype html><title>Hello</title>", "default-src 'none'; style-src 'sha256-x'")


def site_of(pages: FakePages, scrapes: Scrapes) -> Site:
    """Return a site of these pages that is ready."""
    return Site(
        pages=pages,
        tail=FakeTail(),
        telemetry=scrapes,
        unready=lambda: "",
        landing=landing,
        config=lambda: "coder:\n  url: https://coder.example.com\n",
    )
