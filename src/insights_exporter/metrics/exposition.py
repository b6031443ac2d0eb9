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

from insights_exporter.interpreter import give_way
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.deflated import Piece, deflate, gunzipped, gzipped, joined
from insights_exporter.metrics.families import each_family
from insights_exporter.metrics.limits import Standing
from insights_exporter.metrics.portion_text import PortionText
from insights_exporter.metrics.portions import Derived, Memory, Portion, Portions
from insights_exporter.metrics.text import END, Format, Fragments, Samples, blocks, head, is_common
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings
from insights_exporter.snapshot import Snapshot
from insights_exporter.telemetry import SilentTelemetry, Telemetry

__all__ = ["COLLECTORS", "Exposition"]

COLLECTORS: Final = frozenset(family.collector for family in catalogue.FAMILIES)
"""The names that a scrape can select by; ``exporter`` stands for the live tail."""

_SELF: Final = "exporter"
_LARGE: Final = 15 * 2**20

_Written = tuple[str, float | None, Format, tuple[Portion, ...]]
"""What the text of some portions goes by."""

logger = logging.getLogger(__name__)


class Exposition:
    """Keeps the page of the last published snapshot; before the first, a page has nothing but its tail.

    ``pass_on`` gets the families that a page was made of, to write them in another form.
    """

    def __init__(  # noqa: PLR0913 - everything from outside is a parameter.
        self,
        *,
        redaction: Redaction,
        limits: LimitSettings,
        free_text: bool = False,
        telemetry: Telemetry | None = None,
        standing: Standing | None = None,
        pause: Callable[[], None] = give_way,
        pass_on: Callable[[Snapshot, Sequence[Samples]], None] | None = None,
    ) -> None:
        self._redaction = redaction
        self._limits = limits
        self._free_text = free_text
        self._telemetry = telemetry or SilentTelemetry()
        self._pause = pause
        self._pass_on = pass_on
        self._standing = standing if standing is not None else Standing()
        self._publishing = asyncio.Lock()
        self._rendered = _Rendered()
        self._derived = Derived()
        self._written: Memory[_Written, Piece] = Memory()

    async def publish(self, snapshot: Snapshot) -> None:
        """Render a snapshot in another thread, then serve it in place of the one before."""
        async with self._publishing:
            before, self._rendered = self._rendered, await asyncio.to_thread(self._prepared, snapshot)
        rendered = self._rendered
        families, rendered.families = rendered.families, []
        sizes = {form: rendered.selected(form).length for form in Format}
        self._telemetry.rendered(
            rendered.series, rendered.folded, {form.name.lower(): size for form, size in sizes.items()}
        )
        if self._pass_on is not None:
            self._pass_on(snapshot, families)
        if max(sizes.values()) >= _LARGE > max(before.selected(form).length for form in Format):
            logger.warning(
                "The page nears the size that some scrapers refuse; lower limits or leave families out.",
                extra={"bytes": max(sizes.values()), "refused_by_victoriametrics": 16 * 2**20},
            )

    def page(
        self, form: Format, *, gzip: bool, collectors: frozenset[str] = frozenset(), tail: bytes = b""
    ) -> bytes:
        """Return what a scrape gets as one."""
        return b"".join(self.parts(form, gzip=gzip, collectors=collectors, tail=tail))

    def parts(
        self, form: Format, *, gzip: bool, collectors: frozenset[str] = frozenset(), tail: bytes = b""
    ) -> list[bytes]:
        """Return what a scrape gets: the families of the named collectors, or all, then ``tail``.

        ``tail`` is text in the same format without its end mark, and belongs to the collector ``exporter``.
        """
        wanted = collectors or COLLECTORS
        live = tail if _SELF in wanted else b""
        live += END if form is Format.OPENMETRICS else b""
        if gzip:
            return gzipped(self._rendered.selected(form, wanted), deflate([live]))
        if collectors:
            return [gunzipped(self._rendered.selected(form, collectors)), live]
        return [self._rendered.plain(form), live]

    def _prepared(self, snapshot: Snapshot) -> _Rendered:
        """Render, and join and inflate now what scrapes have asked for of late."""
        rendered = self._render(snapshot)
        for form in Format:
            rendered.selected(form)
        for form in self._rendered.asked_plain:
            rendered.prepare_plain(form)
        return rendered

    def _render(self, snapshot: Snapshot) -> _Rendered:
        rendered, fragments = _Rendered(), Fragments()
        self._derived.turn()
        self._written.turn()
        for family in each_family(
            snapshot,
            redaction=self._redaction,
            limits=self._limits,
            free_text=self._free_text,
            standing=self._standing,
            derived=self._derived,
        ):
            name = family.samples.family.name
            rendered.series[name], rendered.folded[name] = family.series, family.folded
            if self._pass_on is not None:
                rendered.families.append(family.samples)
            for form, bodies in self._bodies(family.samples, fragments).items():
                pieces = [deflate([head(family.samples.family, form)]), *bodies]
                rendered.pieces[form].append((family.samples.family.collector, pieces))
        return rendered

    def _bodies(self, samples: Samples, fragments: Fragments) -> dict[Format, list[Piece]]:
        """Return the series of a family in pieces by format, the same ones where they look the same."""
        text = self._body(samples, Format.TEXT, fragments)
        openmetrics = text if is_common(samples) else self._body(samples, Format.OPENMETRICS, fragments)
        return {Format.TEXT: text, Format.OPENMETRICS: openmetrics}

    def _body(self, samples: Samples, form: Format, fragments: Fragments) -> list[Piece]:
        rows = samples.numbers
        if isinstance(rows, Portions):
            created = samples.created if form is Format.OPENMETRICS else None
            text = PortionText(samples.family, rows, created)
            pieces = [self._portion(samples, chunk, text, form) for chunk in rows.chunks()]
            if not rows.others:
                return pieces
            return [*pieces, *self._body(replace(samples, numbers=rows.others), form, fragments)]
        return [deflate(blocks(samples, form, fragments), pause=self._pause)]

    def _portion(
        self, samples: Samples, chunk: tuple[Portion, ...], text: PortionText, form: Format
    ) -> Piece:
        """Return some portions as they were written before, where nothing in them has changed."""
        key = samples.family.name, samples.created, form, chunk
        known = self._written.recall(key)
        return known or self._written.keep(key, deflate(text.blocks(chunk), pause=self._pause))


@dataclass(slots=True)
class _Rendered:
    """One snapshot's families in pieces, each with its collector, and whole pages made of them."""

    pieces: dict[Format, list[tuple[str, Sequence[Piece]]]] = field(
        default_factory=lambda: {form: [] for form in Format}
    )
    series: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)
    families: list[Samples] = field(default_factory=list)
    """What the page was made of, held only where somebody takes it."""
    asked_plain: set[Format] = field(default_factory=set)
    _selected: dict[tuple[Format, frozenset[str]], Piece] = field(default_factory=dict)
    _plain: dict[Format, bytes] = field(default_factory=dict)

    def selected(self, form: Format, collectors: frozenset[str] = COLLECTORS) -> Piece:
        """Return the families of the collectors as one piece."""
        collectors &= COLLECTORS
        if (form, collectors) not in self._selected:
            self._selected[form, collectors] = joined(
                piece
                for collector, pieces in self.pieces[form]
                if collector in collectors
                for piece in pieces
            )
        return self._selected[form, collectors]

    def plain(self, form: Format) -> bytes:
        """Return all families uncompressed, and note that somebody wants them so."""
        self.asked_plain.add(form)
        self.prepare_plain(form)
        return self._plain[form]

    def prepare_plain(self, form: Format) -> None:
        """Inflate the page ahead of who asks for it."""
        if form not in self._plain:
            self._plain[form] = gunzipped(self.selected(form))
