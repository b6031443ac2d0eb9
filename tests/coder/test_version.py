from __future__ import annotations

import pytest

from insights_exporter.coder.version import OLDEST, Feature, ServerVersion


def version(text: str) -> ServerVersion:
    parsed = ServerVersion.parse(text)
    assert parsed is not None
    return parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v2.26.1+0a1b2c3", ServerVersion(2, 26, 1, "", "0a1b2c3")),
        ("2.12.0", ServerVersion(2, 12, 0)),
        ("v2.27.0-devel+0a1b2c3", ServerVersion(2, 27, 0, "devel", "0a1b2c3")),
        ("v2.30.0-rc.1", ServerVersion(2, 30, 0, "rc.1")),
        (" v2.30.0 ", ServerVersion(2, 30, 0)),
    ],
)
def test_versions_are_read(text: str, expected: ServerVersion) -> None:
    assert ServerVersion.parse(text) == expected


@pytest.mark.parametrize("text", ["", "v2", "v2.26", "two", "v2.26.1.4", "v-1.0.0", "v9999999999.0.0"])
def test_what_is_no_version_is_none(text: str) -> None:
    assert ServerVersion.parse(text) is None


def test_what_comes_before_a_release_is_older_than_it() -> None:
    texts = ["v2.9.9", "v2.10.0-devel", "v2.10.0-rc.2", "v2.10.0-rc.10", "v2.10.0", "v2.10.1", "v3.0.0"]
    ordered = sorted(version(text) for text in reversed(texts))

    assert [str(one) for one in ordered] == texts


@pytest.mark.parametrize("text", ["v2.26.1+0a1b2c3", "v2.27.0-devel+0a1b2c3", "v2.12.0"])
def test_a_version_is_written_as_it_was_read(text: str) -> None:
    assert str(version(text)) == text


@pytest.mark.parametrize("feature", list(Feature))
def test_a_feature_comes_with_its_release_and_stays(feature: Feature) -> None:
    major, minor, patch = feature.since
    before = ServerVersion(major, minor - 1, 99) if minor else ServerVersion(major - 1, 99, 0)

    assert not before.supports(feature)
    assert ServerVersion(major, minor, patch).supports(feature)
    assert ServerVersion(major + 1, 0, 0).supports(feature)


def test_the_oldest_server_has_what_every_collector_needs() -> None:
    needed = {
        Feature.USER_LATENCY,
        Feature.USER_ACTIVITY,
        Feature.SECTIONS,
        Feature.HALF_HOUR_ROLLUP,
        Feature.TIMES_USED,
    }

    assert {feature for feature in Feature if OLDEST.supports(feature)} == needed
