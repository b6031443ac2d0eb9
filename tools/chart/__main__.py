"""Write the generated files of the chart, its plain manifests and the golden outputs, or compare them.

Manifests and goldens need Helm; without it they are left as they are, and a line says so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.chart.helm import find_helm
from tools.chart.manifests import golden_files, manifest_files
from tools.chart.outputs import chart_files
from tools.chart.paths import CHART, GOLDENS


def main(arguments: list[str] | None = None) -> int:
    """Write all files, or with ``--check`` return 1 where one differs or is left over."""
    parser = argparse.ArgumentParser(prog="python -m tools.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    files = chart_files()
    failed = _compare(files, CHART / "files", ("scrape.py", "store_token.py")) if check else _write(files)
    helm = find_helm()
    if helm is None:
        sys.stdout.write("helm is missing: plain manifests and goldens are not compared or written.\n")
        return failed
    rendered = manifest_files(helm)
    goldens = golden_files(helm)
    if not check:
        _write(rendered | goldens)
        return 0
    for folder in {path.parent for path in rendered}:
        failed |= _compare(rendered, folder, ("kustomization.yaml",))
    failed |= _compare(goldens, GOLDENS, ())
    return failed


def _write(files: dict[Path, str]) -> int:
    for path in _stale(files):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
        sys.stdout.write(f"written: {path}\n")
    return 0


def _compare(files: dict[Path, str], folder: Path, others: tuple[str, ...]) -> int:
    stale = _stale(files)
    left = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path not in files
        and path.name not in others
        and "__pycache__" not in path.parts
    )
    sys.stdout.writelines(f"stale: {path}\n" for path in stale)
    sys.stdout.writelines(f"left over: {path}\n" for path in left)
    return 1 if stale or left else 0


def _stale(files: dict[Path, str]) -> list[Path]:
    return [
        path for path, text in files.items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


if __name__ == "__main__":
    sys.exit(main())
