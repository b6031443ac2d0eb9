"""Check a release and write its notes, for .github/workflows/release.yml and docs/releasing.md."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["main", "problems", "release_notes"]

_ROOT: Final = Path(__file__).resolve().parents[1]
_CHART: Final = Path("deploy/helm/insights-exporter")
_VERSION: Final = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
_HEADING: Final = r"^## \[?{}\]?(?: .*)?$"
_DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}")
_FINAL: Final = re.compile(r"\d+\.\d+\.\d+")


def problems(root: Path, tag: str, repository: str) -> list[str]:
    """Return the reasons why a tag must not be released: versions, changelog or names that differ.

    ``repository`` is owner and name on GitHub; empty if unknown.
    """
    version = tag.removeprefix("v")
    chart = _yaml(root / _CHART / "Chart.yaml")
    image = _yaml(root / _CHART / "values.yaml")["image"]
    package = _VERSION.search((root / "src/insights_exporter/__init__.py").read_text(encoding="utf-8"))
    images = chart["annotations"]["artifacthub.io/images"]
    expected = {
        "tag": (tag, f"v{version}"),
        "insights_exporter.__version__": (package and package[1], version),
        f"{_CHART}/Chart.yaml version": (chart["version"], version),
        f"{_CHART}/Chart.yaml appVersion": (chart["appVersion"], version),
        f"{_CHART}/Chart.yaml artifacthub.io/images": (f":{version}" in images, True),
    }
    if repository:
        expected[f"{_CHART}/values.yaml image.repository"] = (image["repository"], repository.lower())
    found = [
        f"{place}: expected {wanted}, found {actual}"
        for place, (actual, wanted) in expected.items()
        if actual != wanted
    ]
    if not release_notes(root, version):
        found.append(f"CHANGELOG.md: expected entries below a heading `## {version}`")
    return found


def release_notes(root: Path, version: str) -> str:
    """Return the section of a version in CHANGELOG.md, or an empty text."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = re.search(_HEADING.format(re.escape(version)), text, re.MULTILINE)
    if heading is None:
        return ""
    following = re.search(r"^## ", text[heading.end() :], re.MULTILINE)
    end = heading.end() + following.start() if following else len(text)
    return text[heading.end() : end].strip()


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _pin_image(root: Path, digest: str) -> None:
    """Write the digest of the released image into values.yaml; raise ValueError for an invalid one."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"expected a digest such as sha256:…, found {digest!r}")
    path = root / _CHART / "values.yaml"
    text = path.read_text(encoding="utf-8")
    pinned, count = re.subn(r'^  digest: ""$', f'  digest: "{digest}"', text, count=1, flags=re.MULTILINE)
    if not count:
        raise ValueError(f"{path}: image.digest is set already")
    path.write_text(pinned, encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = _ROOT) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    check = commands.add_parser("check", help="compare tag, versions and changelog; print version and kind")
    check.add_argument("tag")
    check.add_argument("--repository", default="", help="owner and name on GitHub")
    commands.add_parser("notes", help="print the changelog of a version").add_argument("version")
    commands.add_parser("pin-image", help="write the image's digest into values.yaml").add_argument("digest")
    options = parser.parse_args(arguments)
    if options.command == "pin-image":
        _pin_image(root, options.digest)
        return 0
    if options.command == "notes":
        sys.stdout.write(f"{release_notes(root, options.version)}\n")
        return 0
    found = problems(root, options.tag, options.repository)
    sys.stderr.writelines(f"{one}\n" for one in found)
    version = options.tag.removeprefix("v")
    is_final = _FINAL.fullmatch(version) is not None
    sys.stdout.write(f"version={version}\nprerelease={'false' if is_final else 'true'}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
