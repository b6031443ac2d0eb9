"""What a collector hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["CollectResult"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CollectResult(Generic[T]):
    """What was found; ``faults`` counts the parts that failed and for which older data stands, or nothing."""

    value: T
    error_count: int = 0
