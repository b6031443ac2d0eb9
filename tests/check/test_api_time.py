"""The estimate of the time that Coder spends on regular polls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from insights_exporter.check import Finding, Level
from insights_exporter.check.api_time import ApiTimeCheck
from insights_exporter.config.settings import CoderSettings, InsightsSettings, PollSettings, Settings
from insights_exporter.errors import ServerError
from insights_exporter.secrets import LiteralSecret, Secret
from tests.support.clock import FakeClock
from tests.support.scripted_coder import ApiCall, ScriptedCoder, UsageEvent

NOW = datetime(2026, 11, 24, 14, 5, 20, tzinfo=UTC)
TODAY = NOW.replace(hour=0, minute=0, second=0)
SECONDS = {"report": 1.0, "activity": 0.1, "latency": 0.2}


class SlowCoder(ScriptedCoder):
    """A Coder whose requests take a known time."""

    def __init__(self, templates: int) -> None:
        super().__init__(FakeClock(NOW))
        self.error_for = self._take_time
        for number in range(templates):
            self.add_usage(UsageEvent(f"t{number}", "ada", TODAY))

    def _take_time(self, call: ApiCall) -> None:
        self.clock.elapsed += SECONDS[call.endpoint]


async def estimate(
    coder: ScriptedCoder, *, ratio: float = 0.1, windows: tuple[str, ...] = ("today", "7d")
) -> Finding:
    settings = Settings(
        coder=CoderSettings(url="https://coder.example.com", token=LiteralSecret(Secret("token"))),
        poll=PollSettings(max_api_time_ratio=ratio),
        insights=InsightsSettings(windows=windows),
    )
    return await ApiTimeCheck(coder, settings, coder.clock).run(workspaces_seconds=6.0)


async def test_estimate_adds_up_all_kinds_of_requests() -> None:
    """Reports of today at each poll, data of 7 days hourly, and every third list of workspaces."""
    finding = await estimate(SlowCoder(templates=20))

    assert finding.level is Level.OK
    assert finding.text == (
        "With 20 templates used today, a poll takes about 25 s of Coder's time, 8.4% of the interval: "
        "templates today 20 s, long windows 2 s, workspaces 2 s, deployment 1.3 s. The limit is 10%."
    )


async def test_estimate_above_the_limit_is_a_warning() -> None:
    finding = await estimate(SlowCoder(templates=40))

    assert finding.level is Level.WARNING
    assert "15.8% of the interval" in finding.text
    assert "refreshed less often" in finding.advice


async def test_windows_of_a_month_count_a_quarter() -> None:
    finding = await estimate(SlowCoder(templates=20), windows=("today", "30d"))

    assert "long windows 0.5 s" in finding.text


async def test_estimate_without_use_has_the_fixed_part() -> None:
    finding = await estimate(SlowCoder(templates=0))

    assert finding.level is Level.OK
    assert "With 0 templates used today, a poll takes about 3.3 s" in finding.text


@pytest.mark.parametrize("endpoint", SECONDS)
async def test_failed_request_is_a_problem(endpoint: str) -> None:
    coder = SlowCoder(templates=3)
    error = ServerError("it broke", endpoint=endpoint, status=500)
    coder.error_for = lambda call: error if call.endpoint == endpoint else None
    finding = await estimate(coder)

    assert (finding.level, finding.subject) == (Level.PROBLEM, "time of Coder")


async def test_estimate_requests_one_template_only() -> None:
    """The template with the median number of users stands for all."""
    coder = SlowCoder(templates=3)
    for number in range(5):
        coder.add_usage(UsageEvent("t1", f"user-{number}", TODAY + timedelta(hours=1)))
        coder.add_usage(UsageEvent("t2", f"user-{number}", TODAY), UsageEvent("t2", f"other-{number}", TODAY))
    await estimate(coder)

    assert {call.template for call in coder.calls} == {"", "t1"}
