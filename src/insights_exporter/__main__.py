"""``python -m insights_exporter``."""

from __future__ import annotations

import sys

from insights_exporter.cli import main

sys.exit(main())
