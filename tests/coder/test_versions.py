from __future__ import annotations

import pytest

from insights_exporter.coder.versions import MIN_SUPPORTED_VERSION, Feature, ServerVersion


def parse_version(text: str) -> ServerVersion:
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
def test_version_is_parsed(text: str, expected: ServerVersion) -> None:
    assert ServerVersion.parse(text) == expected


@pytest.mark.parametrize("text", ["", "v2", "v2.26", "two", "v2.26.1.4", "v-1.0.0", "v9999999999.0.0"])
def test_invalid_version_is_none(text: str) -> None:
    assert ServerVersion.parse(text) is None


def test_prerelease_sorts_before_release() -> None:
    texts = ["v2.9.9", "v2.10.0-devel", "v2.10.0-rc.2", "v2.10.0-rc.10", "v2.10.0", "v2.10.1", "v3.0.0"]
    ordered = sorted(parse_version(text) for text in reversed(texts))

    assert [str(one) for one in ordered] == texts


@pytest.mark.parametrize("text", ["v2.26.1+0a1b2c3", "v2.27.0-devel+0a1b2c3", "v2.12.0"])
def test_version_round_trips(text: str) -> None:
    assert str(parse_version(text)) == text


@pytest.mark.parametrize("feature", list(Feature))
def test_feature_is_supported_since_its_release(feature: Feature) -> None:
    major, minor, patch = feature.since
    before = ServerVersion(major, minor - 1, 99) if minor else ServerVersion(major - 1, 99, 0)

    assert not before.supports(feature)
    assert ServerVersion(major, minor, patch).supports(feature)
    assert ServerVersion(major + 1, 0, 0).supports(feature)


def test_minimum_version_supports_required_features() -> None:
    assert {feature for feature in Feature if MIN_SUPPORTED_VERSION.supports(feature)} == {Feature.TIMES_USED}
