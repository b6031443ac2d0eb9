"""The label names that families share, and over which of them a sum means something."""

from __future__ import annotations

from typing import Final

__all__ = ["ANY_TEMPLATE", "ANY_USER", "APP", "OTHER", "TEMPLATE", "USER"]

TEMPLATE: Final = ("organization_name", "template_name")
"""A template's identity; its name alone may occur in several organizations."""

APP: Final = ("app", "app_type")
USER: Final = ("username",)

ANY_TEMPLATE: Final = frozenset(TEMPLATE)
ANY_USER: Final = frozenset((*TEMPLATE, *USER))

OTHER: Final = "_other"
"""The label value that stands for all that a limit folded, where a sum is legal."""
