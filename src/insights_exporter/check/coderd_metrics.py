"""Agent statistics from coderd's own metrics: reachable, switched on, fresh, and joined to templates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random

from insights_exporter.check.access import blocked
from insights_exporter.check.finding import Finding, Level
from insights_exporter.clock import Clock
from insights_exporter.coder import responses
from insights_exporter.coder.client import CoderClient
from insights_exporter.coder.metrics import MetricsClient
from insights_exporter.coder.observer import SilentObserver
from insights_exporter.collectors.agent_stats import TICK, Page, Roster, SourceError, parse, through_api
from insights_exporter.errors import SecretError, UpstreamError
from insights_exporter.settings import Settings
from insights_exporter.snapshot import TemplateKey

__all__ = ["CoderdMetrics"]

_SUBJECT = "agent metrics"
_WANTED = {
    "connection_median_latency_seconds": "latency",
    "connection_count": "connections",
    "rx_bytes": "bytes received",
    "tx_bytes": "bytes sent",
}


@dataclass(frozen=True, slots=True)
class CoderdMetrics:
    """Looks at one page as the exporter would."""

    client: CoderClient
    settings: Settings
    clock: Clock

    async def findings(self) -> AsyncIterator[Finding]:
        """Yield what is found."""
        began = self.clock.monotonic()
        try:
            text = await self._text()
        except SourceError as error:
            yield _problem(error)
            return
        except (UpstreamError, SecretError) as error:
            yield self._unreachable(error)
            return
        took = self.clock.monotonic() - began
        where = self.settings.agent_stats.metrics_url or "the API's debug route"
        size = f"{len(text) / 1024:.0f} KiB in {took * 1000:.0f} ms"
        yield Finding(Level.OK, _SUBJECT, f"{where} answers with {size}.")
        try:
            page = parse(text)
        except SourceError as error:
            yield _problem(error)
            return
        yield self._beat(page)
        yield _families(page)
        if page.rows:
            async for finding in self._agents(page):
                yield finding

    async def _text(self) -> str:
        stats = self.settings.agent_stats
        async with AsyncExitStack() as stack:
            if stats.metrics_url is None:
                return await through_api(self.client.within(stats.interval))
            random, silent = Random(), SilentObserver()
            made = MetricsClient(
                self.settings.coder, stats.metrics_url, clock=self.clock, observer=silent, random=random
            )
            metrics = await stack.enter_async_context(made)
            return await metrics.page(within=stats.interval)

    def _unreachable(self, error: UpstreamError | SecretError) -> Finding:
        if self.settings.agent_stats.metrics_url is None:
            return blocked(_SUBJECT, error)
        return Finding(
            Level.PROBLEM,
            _SUBJECT,
            str(error),
            "Start coderd with CODER_PROMETHEUS_ENABLE=true and a CODER_PROMETHEUS_ADDRESS that can be "
            "reached from here, such as 0.0.0.0:2112; by default it listens to its own machine alone.",
        )

    def _beat(self, page: Page) -> Finding:
        """Compare how often coderd looks at its reports with how often it is asked."""
        subject, interval = f"{_SUBJECT}: samples", self.settings.agent_stats.interval
        ours = 60 / interval
        if page.ticks is None:
            text = f"The page does not tell how often coderd looks at agents; {ours:.3g} samples a minute."
            return Finding(Level.OK, subject, text)
        theirs = 60 / TICK
        if page.started is not None and (age := self.clock.now().timestamp() - page.started) > TICK:
            theirs = page.ticks / age * 60
        text = f"coderd looks at agents {theirs:.2g} times a minute and is sampled {ours:.3g} times."
        if ours < 0.9 * theirs:
            advice = f"Set agent_stats.interval to {TICK:.0f} or less; what is not sampled is not counted."
            return Finding(Level.WARNING, subject, text, advice)
        return Finding(Level.OK, subject, text)

    async def _agents(self, page: Page) -> AsyncIterator[Finding]:
        try:
            found = await self.client.workspaces()
        except (UpstreamError, SecretError) as error:
            yield blocked(f"{_SUBJECT}: templates", error)
            return
        yield _joined(page, found)
        yield _fresh(page, found, standing=await self._nobody_measured())

    async def _nobody_measured(self) -> bool:
        """Say whether Coder knows of no measured connection in the last quarter of an hour."""
        try:
            stats = await self.client.deployment_stats()
        except (UpstreamError, SecretError):
            return False
        return stats.workspaces.p50_seconds is None


def _problem(error: SourceError) -> Finding:
    """Return the finding of an error, whose last sentence says what to do."""
    text, _, advice = str(error).rpartition(". ")
    return Finding(Level.PROBLEM, _SUBJECT, f"{text}.", advice)


def _families(page: Page) -> Finding:
    subject = f"{_SUBJECT}: agents"
    if not page.rows:
        return Finding(
            Level.WARNING,
            subject,
            "Statistics are switched on, and no agent is on the page.",
            "Connect to a workspace and look again after two minutes; idle agents are not on it.",
        )
    missing = [what for name, what in _WANTED.items() if f"coderd_agentstats_{name}" not in page.families]
    sessions = sorted(one for one in page.families if one.startswith("coderd_agentstats_session_count"))
    if missing or not sessions or page.broken:
        lacks = ", ".join([*missing, *([] if sessions else ["sessions"])]) or "nothing"
        return Finding(
            Level.WARNING,
            subject,
            f"{len(page.rows)} agents are told of; {lacks} is missing and {page.broken} values are none.",
            "Look whether a proxy before the metrics address leaves families out.",
        )
    form = "by client" if "coderd_agentstats_session_count" in sessions else "by family of apps"
    return Finding(
        Level.OK,
        subject,
        f"{len(page.rows)} agents are told of with latency, connections, bytes and sessions {form}.",
    )


def _joined(page: Page, workspaces: Sequence[responses.Workspace]) -> Finding:
    roster = Roster.of(
        (one.owner_name, one.name, TemplateKey(one.organization_name, one.template_name))
        for one in workspaces
    )
    lost = [agent for agent in page.rows if roster.template(agent[0], agent[1]) is None]
    text = f"{len(page.rows) - len(lost)} of {len(page.rows)} agents belong to a workspace that is visible."
    if not lost:
        return Finding(Level.OK, f"{_SUBJECT}: templates", text)
    return Finding(
        Level.PROBLEM if len(lost) == len(page.rows) else Level.WARNING,
        f"{_SUBJECT}: templates",
        text,
        "Give the account the role template-admin, so that it sees the workspaces of others; "
        "the rest is not counted.",
    )


def _fresh(page: Page, workspaces: Sequence[responses.Workspace], *, standing: bool) -> Finding:
    """Say whether agents on the page still speak; where none does, the page shows what was."""
    subject = f"{_SUBJECT}: freshness"
    alive = set(_connected(workspaces))
    held = [agent for agent in page.rows if agent in alive]
    text = f"{len(held)} of {len(page.rows)} agents on the page are connected to Coder now."
    if held and not standing:
        return Finding(Level.OK, subject, text)
    return Finding(
        Level.WARNING,
        subject,
        f"{text} Nobody uses one, so the values stand still since somebody last did.",
        "Connect to a workspace to see them move. Until then they are not counted again, and are taken for "
        "nobody after 150 seconds.",
    )


def _connected(workspaces: Sequence[responses.Workspace]) -> Iterator[tuple[str, str, str]]:
    for one in workspaces:
        for agent in one.agents:
            if one.latest_build.status == "running" and agent.status == "connected":
                yield one.owner_name, one.name, agent.name
