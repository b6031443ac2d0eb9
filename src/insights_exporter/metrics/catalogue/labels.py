"""The label names that families share, and over which of them a sum means something."""

from __future__ import annotations

from typing import Final

__all__ = ["APP_LABELS", "OTHER", "SUM_OVER_TEMPLATES", "SUM_OVER_USERS", "TEMPLATE_LABELS", "USER_LABELS"]

TEMPLATE_LABELS: Final = ("organization_name", "template_name")
"""A template's identity; its name alone may occur in several organizations."""

APP_LABELS: Final = ("app", "app_type")
USER_LABELS: Final = ("username",)

SUM_OVER_TEMPLATES: Final = frozenset(TEMPLATE_LABELS)
SUM_OVER_USERS: Final = frozenset((*TEMPLATE_LABELS, *USER_LABELS))

OTHER: Final = "_other"
"""The label value that stands for all that a limit folded, where a sum is legal."""
