"""Write the generated files of the chart, its plain manifests and the golden outputs, or compare them.

Manifests and goldens need Helm; without it they are left as they are, and a line says so.
"""

from __future__ import annotations

import argparse
import sys

from tools.chart.helm import find_helm
from tools.chart.manifests import golden_files, manifest_files
from tools.chart.outputs import chart_files
from tools.chart.paths import CHART, GOLDENS
from tools.generated_files import write_or_check


def main(arguments: list[str] | None = None) -> int:
    """Write all files, or with ``--check`` return 1 where one differs or is left over."""
    parser = argparse.ArgumentParser(prog="python -m tools.chart", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args(arguments).check
    failed = write_or_check(
        chart_files(), check=check, folder=CHART / "files", keep=("scrape.py", "store_token.py")
    )
    helm = find_helm()
    if helm is None:
        sys.stdout.write("helm is missing: plain manifests and goldens are not compared or written.\n")
        return failed
    manifests = manifest_files(helm)
    for folder in {path.parent for path in manifests}:
        files = {path: text for path, text in manifests.items() if path.parent == folder}
        failed |= write_or_check(files, check=check, folder=folder, keep=("kustomization.yaml",))
    return failed | write_or_check(golden_files(helm), check=check, folder=GOLDENS)


if __name__ == "__main__":
    sys.exit(main())
