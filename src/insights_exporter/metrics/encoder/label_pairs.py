"""Text of labels, escaped once per exposition."""

from __future__ import annotations

from typing import Final

from insights_exporter.metrics.encoder.number_format import escape_label_value

__all__ = ["BLOCK_ROWS", "LabelPairCache"]

BLOCK_ROWS: Final = 500
"""Rows per block of text; a block bounds memory, and the GIL is released after each."""


class LabelPairCache(dict[str, "_LabelPairs"]):
    """The text ``label="value"`` by label and value, escaped once for all families of an exposition."""

    def __missing__(self, label: str) -> _LabelPairs:
        self[label] = pairs = _LabelPairs(label)
        return pairs


class _LabelPairs(dict[str, str]):
    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def __missing__(self, value: str) -> str:
        self[value] = text = f'{self._label}="{escape_label_value(value)}"'
        return text
