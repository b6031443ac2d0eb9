"""The page's style, and the policy that admits this style and nothing else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Final

__all__ = ["CONTENT_SECURITY_POLICY", "STYLESHEET"]

STYLESHEET: Final = files(__package__).joinpath("style.css").read_text(encoding="utf-8")

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLESHEET.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of the page."""
