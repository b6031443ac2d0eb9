"""The page is rendered once per poll, in both formats, plain and compressed."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.exposition import COLLECTORS, Exposition
from insights_exporter.metrics.families import families
from insights_exporter.metrics.notation import BLOCK_ROWS
from insights_exporter.metrics.text import Format, render
from insights_exporter.redaction import Redaction
from insights_exporter.settings import LimitSettings, UserNames
from insights_exporter.snapshot import Reading, Snapshot
from insights_exporter.telemetry import SilentTelemetry
from tests.support.expositions import parsed
from tests.support.snapshots import NOW, rich_snapshot

REDACTION = Redaction(UserNames.NAMED)
GOLDENS = Path(__file__).parent / "goldens"
DEFAULT = LimitSettings()
LIMITS = LimitSettings(series_per_family=1_000_000)
TAIL = b"# HELP up Lives.\n# TYPE up gauge\nup 1.0\n"


def exposition(telemetry: SilentTelemetry | None = None, limit: int = 10_000) -> Exposition:
    """Return a page that nothing was published to."""
    return Exposition(redaction=REDACTION, limits=LimitSettings(series_per_family=limit), telemetry=telemetry)


def expected(snapshot: Snapshot, form: Format, limits: LimitSettings = DEFAULT) -> bytes:
    """Return the page as the renderer writes it in one go, row by row."""
    found = families(snapshot, redaction=REDACTION, limits=limits)
    return bytes(render([replace(one, numbers=list(one.numbers)) for one in found.samples], form))


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("compressed", [True, False])
async def test_a_scrape_gets_the_last_published_snapshot(form: Format, compressed: bool) -> None:  # noqa: FBT001 - parametrised.
    page = exposition()
    for templates in (2, 6):
        await page.publish(rich_snapshot(templates=templates))
    body = page.page(form, gzip=compressed)

    assert (gzip.decompress(body) if compressed else body) == expected(rich_snapshot(), form)


@pytest.mark.parametrize("form", Format)
async def test_the_tail_comes_last_and_the_whole_is_one_valid_page(form: Format) -> None:
    page = exposition()
    await page.publish(rich_snapshot())
    body = page.page(form, gzip=False, tail=TAIL)

    assert gzip.decompress(page.page(form, gzip=True, tail=TAIL)) == body
    assert parsed(body, form)[-1].name == "up"
    assert body.endswith(b"up 1.0\n# EOF\n" if form is Format.OPENMETRICS else b"up 1.0\n")


async def test_the_compressed_page_is_a_single_member_as_browsers_want_it() -> None:
    page = exposition()
    await page.publish(rich_snapshot())
    body = page.page(Format.TEXT, gzip=True, tail=TAIL)

    assert body.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") == 1
    assert int.from_bytes(body[-4:], "little") == len(gzip.decompress(body))


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("compressed", [True, False])
def test_before_the_first_poll_there_is_the_tail_alone(form: Format, compressed: bool) -> None:  # noqa: FBT001 - parametrised.
    body = exposition().page(form, gzip=compressed, tail=TAIL)
    plain = gzip.decompress(body) if compressed else body

    assert [family.name for family in parsed(plain, form)] == ["up"]


@pytest.mark.parametrize("collector", sorted(COLLECTORS - {"exporter"}))
@pytest.mark.parametrize("compressed", [True, False])
async def test_a_scrape_may_select_collectors(collector: str, compressed: bool) -> None:  # noqa: FBT001 - parametrised.
    page = exposition()
    await page.publish(rich_snapshot())
    body = page.page(Format.OPENMETRICS, gzip=compressed, collectors=frozenset((collector,)), tail=TAIL)
    plain = gzip.decompress(body) if compressed else body

    assert [family.name for family in parsed(plain, Format.OPENMETRICS)] == [
        family.stem for family in catalogue.CODER_FAMILIES if family.collector == collector
    ]


async def test_the_exporter_itself_is_a_collector_and_strangers_are_none() -> None:
    page = exposition()
    await page.publish(rich_snapshot())

    assert page.page(Format.TEXT, gzip=False, collectors=frozenset(("exporter",)), tail=TAIL) == TAIL
    assert page.page(Format.TEXT, gzip=False, collectors=frozenset(("nonsense",)), tail=TAIL) == b""


async def test_rendering_happens_in_another_thread() -> None:
    threads: set[int] = set()
    page = Exposition(
        redaction=REDACTION, limits=LimitSettings(), pause=lambda: threads.add(threading.get_ident())
    )
    await page.publish(rich_snapshot())

    assert threads
    assert threading.get_ident() not in threads


async def test_users_whose_numbers_did_not_change_are_not_written_again() -> None:
    blocks: list[None] = []
    page = Exposition(redaction=REDACTION, limits=LIMITS, pause=lambda: blocks.append(None))
    snapshot = rich_snapshot(templates=3, users=1500)
    await page.publish(snapshot)
    first = len(blocks)
    blocks.clear()
    await page.publish(snapshot)
    # Two templates are in use, in four windows, and the deployment as well. Time, percentiles, and totals in
    # each format take so many blocks; the few sessions take one in each format.
    spared = -(-1500 // BLOCK_ROWS) * (2 * 4 * (1 + 1 + 1) + 2 * 2 + 4) + 2

    assert first - len(blocks) == spared
    assert gzip.decompress(page.page(Format.TEXT, gzip=True)) == expected(snapshot, Format.TEXT, LIMITS)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("users", [3, 1500])
async def test_what_changed_is_served_beside_what_did_not(form: Format, users: int) -> None:
    page = Exposition(redaction=REDACTION, limits=LIMITS, pause=lambda: None)
    snapshot = rich_snapshot(templates=3, users=users)
    newer = _with_first_window_doubled(snapshot)
    for one in (snapshot, newer):
        await page.publish(one)

    assert gzip.decompress(page.page(form, gzip=True)) == expected(newer, form, LIMITS)
    assert expected(newer, form, LIMITS) != expected(snapshot, form, LIMITS)


def _with_first_window_doubled(snapshot: Snapshot) -> Snapshot:
    """Return the same objects but for one template's time in its first window."""
    if snapshot.insights is None:
        raise AssertionError("Expected insights, found none.")
    used = snapshot.insights.value
    first, *others = used.templates
    window, *windows = first.windows
    doubled = {name: 2 * seconds for name, seconds in window.activity.items()}
    changed = replace(first, windows=(replace(window, activity=doubled), *windows))
    return replace(
        snapshot,
        insights=Reading(replace(used, templates=(changed, *others)), snapshot.insights.at),
    )


async def test_scrapes_see_one_snapshot_or_the_other_and_never_half_of_one() -> None:
    page = exposition()
    snapshots = [rich_snapshot(templates=1), rich_snapshot(templates=4)]
    valid = {expected(snapshot, Format.TEXT) for snapshot in snapshots} | {b""}
    done = asyncio.gather(*[page.publish(snapshot) for snapshot in snapshots * 3])
    seen = set()
    while not done.done():
        seen.add(gzip.decompress(page.page(Format.TEXT, gzip=True)))
        await asyncio.sleep(0)
    await done

    assert seen <= valid
    assert len(seen) > 1


class Rendered(SilentTelemetry):
    """Remembers what was rendered."""

    def rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Keep the last."""
        self.series, self.folded, self.sizes = series, folded, sizes


async def test_series_folds_and_sizes_are_told() -> None:
    told = Rendered()
    page = exposition(told, limit=100)
    await page.publish(rich_snapshot())
    name = catalogue.USER_ACTIVITY_WINDOW.name

    assert (told.series[name], told.folded[name] > 0) == (100, True)
    assert max(told.series.values()) <= 100
    assert told.sizes == {
        "text": len(page.page(Format.TEXT, gzip=False)),
        "openmetrics": len(page.page(Format.OPENMETRICS, gzip=False)) - len(b"# EOF\n"),
    }


async def test_counters_keep_their_names_from_poll_to_poll() -> None:
    """The page remembers whom a limit named, so that no counter falls when somebody overtakes."""
    page, family = exposition(limit=30), catalogue.USER_ACTIVITY
    named = []
    for seed in (1, 2):
        await page.publish(rich_snapshot(seed=seed))
        samples = parsed(page.page(Format.TEXT, gzip=False), Format.TEXT)
        named.append(
            {
                tuple(sample.labels.values())
                for metric in samples
                if metric.name == family.stem
                for sample in metric.samples
            }
        )

    assert named[0] == named[1]
    assert len(named[0]) == 30


async def test_a_page_that_scrapers_may_refuse_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    page = exposition(limit=1_000_000)
    big = rich_snapshot(templates=40, users=300)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await page.publish(big)

    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("form", "name"), [(Format.TEXT, "page.txt"), (Format.OPENMETRICS, "page.openmetrics.txt")]
)
async def test_the_page_is_the_golden_one(form: Format, name: str) -> None:
    """Whoever changes a page on purpose deletes the golden one, runs this twice and reads the difference."""
    page = exposition()
    await page.publish(rich_snapshot(templates=1, users=2, at=NOW))
    body, golden = page.page(form, gzip=False), GOLDENS / name
    if not golden.exists():
        golden.write_bytes(body)
        pytest.fail(f"Wrote {golden.name}; read it before committing.")

    assert golden.read_bytes().decode() == body.decode()
