"""Withhold what describes fewer people than ``privacy.min_group_size``, before anything is exported."""

from insights_exporter.small_groups.transform import SuppressedSnapshot, suppress_small_groups

__all__ = ["SuppressedSnapshot", "suppress_small_groups"]
