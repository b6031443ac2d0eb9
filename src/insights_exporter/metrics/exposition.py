"""The exposition that scrapes get: rendered and compressed once per poll, in a worker thread.

It is held compressed, which takes about a tenth of the plain size. A client without gzip support gets the
decompressed bytes, which are then prepared at each poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from insights_exporter.config.settings import LimitSettings
from insights_exporter.interpreter_tuning import release_gil
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.metrics.derivation_cache import DerivationCache
from insights_exporter.metrics.encoder import EOF, EncodedBody, Encoder, FamilySamples, Format
from insights_exporter.metrics.families import iter_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import Telemetry

__all__ = ["COLLECTORS", "Exposition"]

COLLECTORS: Final = frozenset(family.collector for family in catalogue.FAMILIES)
"""Values of the scrape parameter ``collect[]``; ``exporter`` selects the self metrics."""

_SELF_COLLECTOR: Final = "exporter"
_SIZE_WARNING_BYTES: Final = 15 * 2**20

logger = structlog.stdlib.get_logger(__name__)


class Exposition:
    """Renders snapshots and holds the last rendered one; before the first, only self metrics are served.

    ``on_families`` gets the families of each rendered snapshot, for OTLP.
    """

    def __init__(  # noqa: PLR0913 - keyword only.
        self,
        *,
        username_policy: UsernamePolicy,
        limits: LimitSettings,
        free_text: bool = False,
        telemetry: Telemetry | None = None,
        sticky_selection: StickySelection | None = None,
        after_block: Callable[[], None] = release_gil,
        on_families: Callable[[Snapshot, Sequence[FamilySamples]], None] | None = None,
    ) -> None:
        self._username_policy = username_policy
        self._limits = limits
        self._free_text = free_text
        self._telemetry = telemetry or Telemetry()
        self._on_families = on_families
        self._sticky_selection = sticky_selection if sticky_selection is not None else StickySelection()
        self._publish_lock = asyncio.Lock()
        self._rendered = _RenderedSnapshot()
        self._derivations = DerivationCache()
        self._encoder = Encoder(after_block=after_block)

    async def publish(self, snapshot: Snapshot) -> None:
        """Render a snapshot in a worker thread, then serve it instead of the last one."""
        async with self._publish_lock:
            previous, self._rendered = (
                self._rendered,
                await asyncio.to_thread(self._render_and_prepare, snapshot),
            )
        rendered = self._rendered
        families, rendered.families = rendered.families, []
        sizes = {exposition_format: rendered.select(exposition_format).size for exposition_format in Format}
        self._telemetry.exposition_rendered(
            rendered.series,
            rendered.folded,
            {exposition_format.name.lower(): size for exposition_format, size in sizes.items()},
        )
        if self._on_families is not None:
            self._on_families(snapshot, families)
        if (
            max(sizes.values())
            >= _SIZE_WARNING_BYTES
            > max(previous.select(exposition_format).size for exposition_format in Format)
        ):
            logger.warning(
                "exposition approached scrape size limit",
                bytes=max(sizes.values()),
                victoriametrics_limit_bytes=16 * 2**20,
                remedy="lower limits.series_per_family or set families to 0 in limits.families",
            )

    def body(
        self,
        exposition_format: Format,
        *,
        gzip: bool,
        collectors: frozenset[str] = frozenset(),
        self_metrics: bytes = b"",
    ) -> bytes:
        """Return the body of a scrape in one piece; see ``chunks``."""
        return b"".join(
            self.chunks(exposition_format, gzip=gzip, collectors=collectors, self_metrics=self_metrics)
        )

    def chunks(
        self,
        exposition_format: Format,
        *,
        gzip: bool,
        collectors: frozenset[str] = frozenset(),
        self_metrics: bytes = b"",
    ) -> list[bytes]:
        """Return the body of a scrape in chunks: families of the collectors (or all), then self metrics.

        ``self_metrics`` is text in the same format, without ``EOF``.
        """
        selected_collectors = collectors or COLLECTORS
        trailer = self_metrics if _SELF_COLLECTOR in selected_collectors else b""
        trailer += EOF if exposition_format is Format.OPENMETRICS else b""
        if gzip:
            return self._rendered.select(exposition_format, selected_collectors).gzip(trailer)
        if collectors:
            return [self._rendered.select(exposition_format, collectors).plain(), trailer]
        return [self._rendered.plain(exposition_format), trailer]

    def _render_and_prepare(self, snapshot: Snapshot) -> _RenderedSnapshot:
        """Render, and prepare the bodies that scrapes asked for since the last poll."""
        rendered = self._render(snapshot)
        for exposition_format in Format:
            rendered.select(exposition_format)
        for exposition_format in self._rendered.plain_formats:
            rendered.prepare_plain(exposition_format)
        return rendered

    def _render(self, snapshot: Snapshot) -> _RenderedSnapshot:
        rendered = _RenderedSnapshot()
        self._derivations.rotate()
        for limited_family in iter_families(
            snapshot,
            username_policy=self._username_policy,
            limits=self._limits,
            free_text=self._free_text,
            sticky_selection=self._sticky_selection,
            derivations=self._derivations,
        ):
            samples = limited_family.samples
            name = samples.family.name
            rendered.series[name], rendered.folded[name] = limited_family.series, limited_family.folded
            if self._on_families is not None:
                rendered.families.append(samples)
            for exposition_format in Format:
                encoded = self._encoder.encode(samples, exposition_format)
                rendered.parts[exposition_format].append((samples.family.collector, encoded))
        self._encoder.finish_snapshot()
        return rendered


@dataclass(slots=True)
class _RenderedSnapshot:
    """The encoded families of a snapshot by collector, and the bodies made of them."""

    parts: dict[Format, list[tuple[str, EncodedBody]]] = field(
        default_factory=lambda: {exposition_format: [] for exposition_format in Format}
    )
    series: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    families: list[FamilySamples] = field(default_factory=list)
    """The samples, only if ``on_families`` takes them."""
    plain_formats: set[Format] = field(default_factory=set)
    """Formats that scrapes asked for without gzip."""
    _bodies: dict[tuple[Format, frozenset[str]], EncodedBody] = field(default_factory=dict)
    _plain: dict[Format, bytes] = field(default_factory=dict)

    def select(self, exposition_format: Format, collectors: frozenset[str] = COLLECTORS) -> EncodedBody:
        """Return the families of collectors as one body."""
        key = exposition_format, collectors & COLLECTORS
        if key not in self._bodies:
            self._bodies[key] = EncodedBody.join(
                part for collector, part in self.parts[exposition_format] if collector in key[1]
            ).compact()
        return self._bodies[key]

    def plain(self, exposition_format: Format) -> bytes:
        """Return all families without compression, and prepare them at each poll from now on."""
        self.plain_formats.add(exposition_format)
        self.prepare_plain(exposition_format)
        return self._plain[exposition_format]

    def prepare_plain(self, exposition_format: Format) -> None:
        """Decompress all families."""
        if exposition_format not in self._plain:
            self._plain[exposition_format] = self.select(exposition_format).plain()
