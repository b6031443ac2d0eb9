"""What must hold between keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from insights_exporter.config.settings import AgentStatsSource, UsernameMode
from insights_exporter.errors import SecretError
from insights_exporter.secrets import SecretSource

__all__ = ["RULES", "Rule"]

MIN_SECRET_LENGTH = 16
"""Characters of a key or a token, below which all could be tried."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that holds between keys; ``broken`` turns their values into what was found, or nothing."""

    keys: tuple[str, ...]
    expected: str
    broken: Callable[..., str]


def _short(key: SecretSource | None) -> str:
    try:
        length = MIN_SECRET_LENGTH if key is None else len(key.read().reveal())
    except SecretError:
        return ""
    return "" if length >= MIN_SECRET_LENGTH else "a shorter one"


def _unless(holds: Callable[..., bool], found: str | Callable[..., str]) -> Callable[..., str]:
    def broken(*values: Any) -> str:
        if holds(*values):
            return ""
        return found if isinstance(found, str) else found(*values)

    return broken


def _seconds(value: float, *_: float) -> str:
    return f"{value:g} seconds"


RULES: Final = (
    Rule(
        ("coder.key_file", "coder.cert_file"),
        "cert_file beside it",
        _unless(lambda key, cert: key is None or cert is not None, "none"),
    ),
    Rule(
        ("poll.deadline", "poll.interval"),
        "at most the interval, so that polls do not overlap",
        _unless(lambda deadline, interval: deadline <= interval, _seconds),
    ),
    Rule(
        ("poll.offset", "poll.jitter", "poll.interval"),
        "offset and jitter together below the interval",
        _unless(
            lambda offset, jitter, interval: offset + jitter < interval,
            lambda offset, jitter, _: f"{offset + jitter:g} seconds",
        ),
    ),
    Rule(
        ("poll.max_staleness", "poll.interval"),
        "at least the interval, or nothing would be served between polls",
        _unless(lambda staleness, interval: staleness >= interval, _seconds),
    ),
    Rule(
        ("privacy.hash_key", "privacy.users"),
        "a key (hash_key_file, hash_key_env or hash_key) where users are hashed",
        _unless(lambda key, users: users is not UsernameMode.HASHED or key is not None, "nothing"),
    ),
    Rule(("privacy.hash_key",), f"at least {MIN_SECRET_LENGTH} characters", _short),
    Rule(("server.bearer_token",), f"at least {MIN_SECRET_LENGTH} characters", _short),
    Rule(
        ("agent_stats.dsn", "agent_stats.source"),
        "a database address (dsn_file, dsn_env or dsn) where the source is postgres",
        _unless(lambda dsn, source: source is not AgentStatsSource.POSTGRES or dsn is not None, "nothing"),
    ),
)
"""All rules; the first key of each is the one to blame."""
