"""Comments for pint, the rule linter: series that a healthy installation does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from insights_exporter.metrics import catalogue
from insights_exporter.metrics.family import PREFIX

__all__ = ["add_pint_comments"]

_RULE: Final = re.compile(r"^( *)- (?:alert|record): .*\n((?:\1  .*\n|\n)*)", re.MULTILINE)
_SERIES: Final = re.compile(rf"(?<![\w:]){PREFIX}\w+(?![\w:])")
_HISTOGRAM_SUFFIX: Final = re.compile(r"_(?:bucket|sum|count)$")

_ABSENT_SERIES: Final = {
    catalogue.API_REQUESTS: "Codes of failed requests exist only after such a failure.",
    catalogue.APP_HEALTH: "It exists only with apps that have a health check.",
    catalogue.AGENT_RELAY_LATENCY: "It exists only while agents are connected.",
    catalogue.AGENTS: "A status exists only while an agent has it.",
    catalogue.COUNTER_CORRECTIONS: "It exists only after a total fell in Coder.",
    catalogue.LICENSE_FEATURE_LIMIT: "It exists only with a license that has limits.",
    catalogue.LICENSE_FEATURE_USED: "It exists only with a license.",
    catalogue.RATE_LIMIT_WAIT: "It exists only after the exporter waited for the rate limit.",
    catalogue.SERIES_FOLDED: "It exists only while a family exceeds its limit.",
    catalogue.TEMPLATE_PARAMETER_WORKSPACES: "It exists only for templates with parameters.",
    catalogue.TOKEN_EXPIRY: "It exists only for tokens with a known expiry.",
    catalogue.USER_LAST_SEEN: "It is absent with privacy.users: off.",
    catalogue.USER_LATENCY_P50: "It is absent with privacy.users: off and without connections.",
    catalogue.USER_LATENCY_P95: "It is absent with privacy.users: off and without connections.",
    catalogue.WORKSPACES: "A status exists only while a workspace has it.",
}


def add_pint_comments(rule_file: str) -> str:
    """Return a YAML rule file with a comment in each rule that selects series which may be absent.

    Without it, ``promql/series`` of pint reports a missing metric in every healthy installation.
    """
    return _RULE.sub(_with_comments, rule_file)


def _with_comments(match: re.Match[str]) -> str:
    head, newline, body = match[0].partition("\n")
    indent = f"{match[1]}  "
    return head + newline + "".join(f"{indent}# {line}\n" for line in _comments(match[2])) + body


def _comments(rule: str) -> Iterator[str]:
    expr = rule.partition("annotations:")[0]
    for name in sorted(set(_SERIES.findall(expr))):
        family = catalogue.get_family(_HISTOGRAM_SUFFIX.sub("", name))
        reason = _ABSENT_SERIES.get(family, "")
        if not reason and family.required_setting:
            reason = f"It exists only with {family.required_setting}."
        if reason:
            yield reason
            yield f"pint disable promql/series({name})"
