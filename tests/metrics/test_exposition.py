"""The exposition: rendered once per poll, in both formats, plain and compressed."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from insights_exporter.config.settings import LimitSettings, UsernameMode
from insights_exporter.metrics import catalogue
from insights_exporter.metrics.encoder import Format
from insights_exporter.metrics.encoder.text import BLOCK_ROWS
from insights_exporter.metrics.exposition import COLLECTORS, Exposition
from insights_exporter.metrics.families import build_families
from insights_exporter.privacy import UsernamePolicy
from insights_exporter.snapshot import Snapshot, Timestamped
from insights_exporter.telemetry import Telemetry
from tests.support.exposition_parsing import parse_families
from tests.support.exposition_text import encode_exposition
from tests.support.snapshots import NOW, rich_snapshot

USERNAME_POLICY = UsernamePolicy(UsernameMode.NAMED)
GOLDENS = Path(__file__).parent / "goldens"
DEFAULT = LimitSettings()
LIMITS = LimitSettings(series_per_family=1_000_000)
SELF_METRICS = b"# HELP up Lives.\n# TYPE up gauge\nup 1.0\n"


def exposition(telemetry: Telemetry | None = None, limit: int = 10_000) -> Exposition:
    """Return an exposition without a snapshot."""
    return Exposition(
        username_policy=USERNAME_POLICY, limits=LimitSettings(series_per_family=limit), telemetry=telemetry
    )


def expected(snapshot: Snapshot, exposition_format: Format, limits: LimitSettings = DEFAULT) -> bytes:
    """Return the text of a snapshot, encoded without groups and without reuse."""
    snapshot_families = build_families(snapshot, username_policy=USERNAME_POLICY, limits=limits)
    return bytes(
        encode_exposition(
            [replace(samples, rows=list(samples), groups=()) for samples in snapshot_families.samples],
            exposition_format,
        )
    )


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("compressed", [True, False])
async def test_a_scrape_gets_the_last_published_snapshot(form: Format, compressed: bool) -> None:  # noqa: FBT001 - a test parameter.
    served = exposition()
    for templates in (2, 6):
        await served.publish(rich_snapshot(templates=templates))
    body = served.body(form, gzip=compressed)

    assert (gzip.decompress(body) if compressed else body) == expected(rich_snapshot(), form)


@pytest.mark.parametrize("form", Format)
async def test_self_metrics_come_last_and_exposition_is_valid(form: Format) -> None:
    served = exposition()
    await served.publish(rich_snapshot())
    body = served.body(form, gzip=False, self_metrics=SELF_METRICS)

    assert gzip.decompress(served.body(form, gzip=True, self_metrics=SELF_METRICS)) == body
    assert parse_families(body, form)[-1].name == "up"
    assert body.endswith(b"up 1.0\n# EOF\n" if form is Format.OPENMETRICS else b"up 1.0\n")


async def test_gzip_body_has_a_single_member() -> None:
    served = exposition()
    await served.publish(rich_snapshot())
    body = served.body(Format.TEXT, gzip=True, self_metrics=SELF_METRICS)

    assert body.count(b"\x1f\x8b\x08\x00\x00\x00\x00\x00") == 1
    assert int.from_bytes(body[-4:], "little") == len(gzip.decompress(body))


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("compressed", [True, False])
def test_only_self_metrics_before_the_first_poll(form: Format, compressed: bool) -> None:  # noqa: FBT001 - a test parameter.
    body = exposition().body(form, gzip=compressed, self_metrics=SELF_METRICS)
    plain = gzip.decompress(body) if compressed else body

    assert [family.name for family in parse_families(plain, form)] == ["up"]


@pytest.mark.parametrize("collector", sorted(COLLECTORS - {"exporter"}))
@pytest.mark.parametrize("compressed", [True, False])
async def test_a_scrape_may_select_collectors(collector: str, compressed: bool) -> None:  # noqa: FBT001 - a test parameter.
    served = exposition()
    await served.publish(rich_snapshot())
    body = served.body(
        Format.OPENMETRICS, gzip=compressed, collectors=frozenset((collector,)), self_metrics=SELF_METRICS
    )
    plain = gzip.decompress(body) if compressed else body

    assert [family.name for family in parse_families(plain, Format.OPENMETRICS)] == [
        family.base_name for family in catalogue.CODER_FAMILIES if family.collector == collector
    ]


async def test_exporter_is_selectable_and_unknown_collectors_are_empty() -> None:
    served = exposition()
    await served.publish(rich_snapshot())

    assert (
        served.body(Format.TEXT, gzip=False, collectors=frozenset(("exporter",)), self_metrics=SELF_METRICS)
        == SELF_METRICS
    )
    assert (
        served.body(Format.TEXT, gzip=False, collectors=frozenset(("nonsense",)), self_metrics=SELF_METRICS)
        == b""
    )


async def test_rendering_happens_in_another_thread() -> None:
    threads: set[int] = set()
    served = Exposition(
        username_policy=USERNAME_POLICY,
        limits=LimitSettings(),
        after_block=lambda: threads.add(threading.get_ident()),
    )
    await served.publish(rich_snapshot())

    assert threads
    assert threading.get_ident() not in threads


async def test_unchanged_user_series_are_not_encoded_again() -> None:
    blocks: list[None] = []
    served = Exposition(
        username_policy=USERNAME_POLICY, limits=LIMITS, after_block=lambda: blocks.append(None)
    )
    snapshot = rich_snapshot(templates=3, users=1500)
    await served.publish(snapshot)
    first = len(blocks)
    blocks.clear()
    await served.publish(snapshot)
    # Two templates are used, in four windows; so is the deployment. Activity and two percentiles per window,
    # and totals per format, are in groups of 1,500 users. Sessions are one block per format, and connections
    # of users one block.
    cached_blocks = -(-1500 // BLOCK_ROWS) * (2 * 4 * (1 + 1 + 1) + 2 * 2 + 4) + 3

    assert first - len(blocks) == cached_blocks
    assert gzip.decompress(served.body(Format.TEXT, gzip=True)) == expected(snapshot, Format.TEXT, LIMITS)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("users", [3, 1500])
async def test_changed_series_are_served_beside_cached_ones(form: Format, users: int) -> None:
    served = Exposition(username_policy=USERNAME_POLICY, limits=LIMITS, after_block=lambda: None)
    snapshot = rich_snapshot(templates=3, users=users)
    newer = _with_first_window_doubled(snapshot)
    for published in (snapshot, newer):
        await served.publish(published)

    assert gzip.decompress(served.body(form, gzip=True)) == expected(newer, form, LIMITS)
    assert expected(newer, form, LIMITS) != expected(snapshot, form, LIMITS)


def _with_first_window_doubled(snapshot: Snapshot) -> Snapshot:
    """Return the same snapshot with another object for the activity of one template in one window."""
    if snapshot.insights is None:
        raise AssertionError("Expected insights, found none.")
    insights = snapshot.insights.value
    first, *other_templates = insights.templates
    window, *windows = first.windows
    doubled = {name: 2 * seconds for name, seconds in window.activity.items()}
    changed = replace(first, windows=(replace(window, activity=doubled), *windows))
    return replace(
        snapshot,
        insights=Timestamped(replace(insights, templates=(changed, *other_templates)), snapshot.insights.at),
    )


async def test_scrapes_are_atomic_during_publish() -> None:
    served = exposition()
    snapshots = [rich_snapshot(templates=1), rich_snapshot(templates=4)]
    valid = {expected(snapshot, Format.TEXT) for snapshot in snapshots} | {b""}
    done = asyncio.gather(*[served.publish(snapshot) for snapshot in snapshots * 3])
    seen = set()
    while not done.done():
        seen.add(gzip.decompress(served.body(Format.TEXT, gzip=True)))
        await asyncio.sleep(0)
    await done

    assert seen <= valid
    assert len(seen) > 1
    assert gzip.decompress(served.body(Format.TEXT, gzip=True)) == expected(snapshots[-1], Format.TEXT)


class RecordingTelemetry(Telemetry):
    """Records the last rendered exposition."""

    def exposition_rendered(
        self, series: Mapping[str, int], folded: Mapping[str, int], sizes: Mapping[str, int]
    ) -> None:
        """Record the event."""
        self.series, self.folded, self.sizes = series, folded, sizes


async def test_series_folded_series_and_sizes_are_reported() -> None:
    telemetry = RecordingTelemetry()
    served = exposition(telemetry, limit=100)
    await served.publish(rich_snapshot())
    name = catalogue.USER_ACTIVITY_WINDOW.name

    assert (telemetry.series[name], telemetry.folded[name] > 0) == (100, True)
    assert max(telemetry.series.values()) <= 100
    assert telemetry.sizes == {
        "text": len(served.body(Format.TEXT, gzip=False)),
        "openmetrics": len(served.body(Format.OPENMETRICS, gzip=False)) - len(b"# EOF\n"),
    }


async def test_limited_counters_keep_their_label_sets_across_polls() -> None:
    """The selection of a limited counter is sticky, so that no counter decreases when users change rank."""
    served, family = exposition(limit=30), catalogue.USER_ACTIVITY
    label_sets = []
    for seed in (1, 2):
        await served.publish(rich_snapshot(seed=seed))
        samples = parse_families(served.body(Format.TEXT, gzip=False), Format.TEXT)
        label_sets.append(
            {
                tuple(sample.labels.values())
                for metric in samples
                if metric.name == family.base_name
                for sample in metric.samples
            }
        )

    assert label_sets[0] == label_sets[1]
    assert len(label_sets[0]) == 30


async def test_oversized_exposition_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    served = exposition(limit=1_000_000)
    large_snapshot = rich_snapshot(templates=40, users=300)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            await served.publish(large_snapshot)

    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("form", "name"), [(Format.TEXT, "exposition.txt"), (Format.OPENMETRICS, "exposition.openmetrics.txt")]
)
async def test_exposition_matches_golden_file(form: Format, name: str) -> None:
    """To change the golden file, delete it, run the test twice and read the difference."""
    served = exposition()
    await served.publish(rich_snapshot(templates=1, users=2, at=NOW))
    body, golden = served.body(form, gzip=False), GOLDENS / name
    if not golden.exists():
        golden.write_bytes(body)
        pytest.fail(f"Wrote {golden.name}; read it before committing.")

    assert golden.read_bytes().decode() == body.decode()
