"""The page that a scrape gets: rendered and compressed once per poll, off the event loop.

Families are kept compressed, in pieces, so that a page costs about a tenth of its plain size in memory. What
looks the same in both formats is rendered and compressed once. Users of a template whose numbers are the same
objects as at the last poll are not written again. A client that takes no gzip gets the pieces inflated, and
from then on finds them ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from insights_exporter.config.settings import LimitSettings
from insights_exporter.interpreter_tuning import release_gil
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.cardinality import StickySelection
from insights_exporter.metrics.encoder.gzip_blocks import (
    CompressedBlock,
    compress,
    concat,
    decompress,
    to_gzip,
)
from insights_exporter.metrics.encoder.text import (
    EOF,
    FamilySamples,
    Format,
    LabelPairCache,
    encode_blocks,
    header,
    same_in_both_formats,
)
from insights_exporter.metrics.encoder.user_series import (
    DerivationCache,
    SeriesGroup,
    TwoGenerationCache,
    UserSeries,
)
from insights_exporter.metrics.encoder.user_series_encoder import UserSeriesEncoder
from insights_exporter.metrics.families import iter_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import NullTelemetry, Telemetry

__all__ = ["COLLECTORS", "Exposition"]

COLLECTORS: Final = frozenset(family.collector for family in catalogue.FAMILIES)
"""The names that a scrape can select by; ``exporter`` stands for the live tail."""

_SELF_COLLECTOR: Final = "exporter"
_SIZE_WARNING_BYTES: Final = 15 * 2**20

_CacheKey = tuple[str, float | None, Format, tuple[SeriesGroup, ...]]
"""What the text of some portions goes by."""

logger = logging.getLogger(__name__)


class Exposition:
    """Keeps the page of the last published snapshot; before the first, a page has nothing but its tail.

    ``pass_on`` gets the families that a page was made of, to write them in another form.
    """

    def __init__(
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
        self._telemetry = telemetry or NullTelemetry()
        self._after_block = after_block
        self._on_families = on_families
        self._sticky_selection = sticky_selection if sticky_selection is not None else StickySelection()
        self._publish_lock = asyncio.Lock()
        self._rendered = _RenderedSnapshot()
        self._derivations = DerivationCache()
        self._compressed_blocks: TwoGenerationCache[_CacheKey, CompressedBlock] = TwoGenerationCache()

    async def publish(self, snapshot: Snapshot) -> None:
        """Render a snapshot in another thread, then serve it in place of the one before."""
        async with self._publish_lock:
            previous, self._rendered = (
                self._rendered,
                await asyncio.to_thread(self._render_and_prepare, snapshot),
            )
        rendered = self._rendered
        families, rendered.families = rendered.families, []
        sizes = {
            exposition_format: rendered.select_block(exposition_format).length for exposition_format in Format
        }
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
            > max(previous.select_block(exposition_format).length for exposition_format in Format)
        ):
            logger.warning(
                "The page nears the size that some scrapers refuse; lower limits or leave families out.",
                extra={"bytes": max(sizes.values()), "refused_by_victoriametrics": 16 * 2**20},
            )

    def body(
        self,
        exposition_format: Format,
        *,
        gzip: bool,
        collectors: frozenset[str] = frozenset(),
        self_metrics: bytes = b"",
    ) -> bytes:
        """Return what a scrape gets as one."""
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
        """Return what a scrape gets: the families of the named collectors, or all, then ``tail``.

        ``tail`` is text in the same format without its end mark, and belongs to the collector ``exporter``.
        """
        selected_collectors = collectors or COLLECTORS
        trailer = self_metrics if _SELF_COLLECTOR in selected_collectors else b""
        trailer += EOF if exposition_format is Format.OPENMETRICS else b""
        if gzip:
            return to_gzip(
                self._rendered.select_block(exposition_format, selected_collectors), compress([trailer])
            )
        if collectors:
            return [decompress(self._rendered.select_block(exposition_format, collectors)), trailer]
        return [self._rendered.uncompressed(exposition_format), trailer]

    def _render_and_prepare(self, snapshot: Snapshot) -> _RenderedSnapshot:
        """Render, and join and inflate now what scrapes have asked for of late."""
        rendered = self._render(snapshot)
        for exposition_format in Format:
            rendered.select_block(exposition_format)
        for exposition_format in self._rendered.uncompressed_formats:
            rendered.prepare_uncompressed(exposition_format)
        return rendered

    def _render(self, snapshot: Snapshot) -> _RenderedSnapshot:
        rendered, label_pairs = _RenderedSnapshot(), LabelPairCache()
        self._derivations.rotate()
        self._compressed_blocks.rotate()
        for limited_family in iter_families(
            snapshot,
            username_policy=self._username_policy,
            limits=self._limits,
            free_text=self._free_text,
            sticky_selection=self._sticky_selection,
            derivations=self._derivations,
        ):
            name = limited_family.samples.family.name
            rendered.series[name], rendered.folded[name] = limited_family.series, limited_family.folded
            if self._on_families is not None:
                rendered.families.append(limited_family.samples)
            for exposition_format, encoded in self._encode_formats(
                limited_family.samples, label_pairs
            ).items():
                blocks = [compress([header(limited_family.samples.family, exposition_format)]), *encoded]
                rendered.blocks[exposition_format].append((limited_family.samples.family.collector, blocks))
        return rendered

    def _encode_formats(
        self, samples: FamilySamples, label_pairs: LabelPairCache
    ) -> dict[Format, list[CompressedBlock]]:
        """Return the series of a family in pieces by format, the same ones where they look the same."""
        text = self._encode_family(samples, Format.TEXT, label_pairs)
        openmetrics = (
            text
            if same_in_both_formats(samples)
            else self._encode_family(samples, Format.OPENMETRICS, label_pairs)
        )
        return {Format.TEXT: text, Format.OPENMETRICS: openmetrics}

    def _encode_family(
        self, samples: FamilySamples, exposition_format: Format, label_pairs: LabelPairCache
    ) -> list[CompressedBlock]:
        floats = samples.floats
        if isinstance(floats, UserSeries):
            created = samples.created if exposition_format is Format.OPENMETRICS else None
            user_encoder = UserSeriesEncoder(samples.family, floats, created)
            blocks_of_users = [
                self._encode_chunk(samples, chunk, user_encoder, exposition_format)
                for chunk in floats.chunks()
            ]
            if not floats.other_samples:
                return blocks_of_users
            return [
                *blocks_of_users,
                *self._encode_family(
                    replace(samples, floats=floats.other_samples), exposition_format, label_pairs
                ),
            ]
        return [
            compress(encode_blocks(samples, exposition_format, label_pairs), after_block=self._after_block)
        ]

    def _encode_chunk(
        self,
        samples: FamilySamples,
        chunk: tuple[SeriesGroup, ...],
        user_encoder: UserSeriesEncoder,
        exposition_format: Format,
    ) -> CompressedBlock:
        """Return some portions as they were written before, where nothing in them has changed."""
        key = samples.family.name, samples.created, exposition_format, chunk
        cached = self._compressed_blocks.get(key)
        return cached or self._compressed_blocks.put(
            key, compress(user_encoder.encode_blocks(chunk), after_block=self._after_block)
        )


@dataclass(slots=True)
class _RenderedSnapshot:
    """One snapshot's families in pieces, each with its collector, and whole pages made of them."""

    blocks: dict[Format, list[tuple[str, Sequence[CompressedBlock]]]] = field(
        default_factory=lambda: {form: [] for form in Format}
    )
    series: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    families: list[FamilySamples] = field(default_factory=list)
    """What the page was made of, held only where somebody takes it."""
    uncompressed_formats: set[Format] = field(default_factory=set)
    _blocks_by_selection: dict[tuple[Format, frozenset[str]], CompressedBlock] = field(default_factory=dict)
    _uncompressed: dict[Format, bytes] = field(default_factory=dict)

    def select_block(
        self, exposition_format: Format, collectors: frozenset[str] = COLLECTORS
    ) -> CompressedBlock:
        """Return the families of the collectors as one piece."""
        collectors &= COLLECTORS
        if (exposition_format, collectors) not in self._blocks_by_selection:
            self._blocks_by_selection[exposition_format, collectors] = concat(
                block
                for collector, blocks in self.blocks[exposition_format]
                if collector in collectors
                for block in blocks
            )
        return self._blocks_by_selection[exposition_format, collectors]

    def uncompressed(self, exposition_format: Format) -> bytes:
        """Return all families uncompressed, and note that somebody wants them so."""
        self.uncompressed_formats.add(exposition_format)
        self.prepare_uncompressed(exposition_format)
        return self._uncompressed[exposition_format]

    def prepare_uncompressed(self, exposition_format: Format) -> None:
        """Inflate the page ahead of who asks for it."""
        if exposition_format not in self._uncompressed:
            self._uncompressed[exposition_format] = decompress(self.select_block(exposition_format))
