"""The command: select the output, run, evaluate recording rules, and say what to do with the result."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp

from insights_exporter.backfill.agent_history import STATE_FILE_NAME
from insights_exporter.backfill.blocks import BlockFolder, find_promtool
from insights_exporter.backfill.estimate import estimate
from insights_exporter.backfill.journal import AgentRecord, BackfillError, Journal
from insights_exporter.backfill.options import BackfillOptions, OutputFormat
from insights_exporter.backfill.outputs import OpenMetricsFiles, Output
from insights_exporter.backfill.push import VictoriaMetricsImport
from insights_exporter.backfill.recording_rules import Rule, RuleEvaluation, find_prometheus, load_rules
from insights_exporter.backfill.run import Backfill, Summary
from insights_exporter.clock import Clock
from insights_exporter.collectors.base import CoderApi
from insights_exporter.config.settings import Settings
from insights_exporter.errors import ConfigError

__all__ = ["backfill"]


async def backfill(
    api: CoderApi,
    settings: Settings,
    options: BackfillOptions,
    *,
    clock: Clock,
    report: Callable[[str], None],
) -> None:
    """Write the past of a deployment; ``report`` receives lines about the result.

    Raises ConfigError for options that cannot be used, and BackfillError if the run cannot continue.
    """
    if options.dry_run:
        report(await _dry_run(api, settings, options, clock))
        return
    rules = load_rules(options)
    async with _open_output(options, clock) as output:
        summary = await Backfill(api, settings, options, output=output, clock=clock).run()
        for line in _summary_lines(summary, options):
            report(line)
        if isinstance(output, BlockFolder):
            if options.with_rules:
                report(await _evaluate_rules(output, rules, summary, options))
            output.remove_temporary()
            report(
                f"Move the folders in {output.folder} to the data folder of Prometheus, which finds them "
                "within two minutes. See docs/install/backfill.md."
            )


async def _evaluate_rules(
    blocks: BlockFolder, rules: Sequence[Rule], summary: Summary, options: BackfillOptions
) -> str:
    prometheus = find_prometheus()
    if prometheus is None:
        return (
            "Recording rules were not evaluated, because prometheus is not in PATH. "
            "To evaluate them, install it and repeat the command before you move the blocks."
        )
    if summary.start is None or summary.end is None:
        raise ValueError("A finished run has written days.")
    evaluation = RuleEvaluation(
        blocks, Journal(options.output), prometheus=prometheus, step=options.steps.default
    )
    try:
        await evaluation.run(rules, summary.start, summary.end)
    except OSError as error:
        raise BackfillError(f"recording rules: {error}. The same command evaluates them again.") from error
    return f"{len(rules)} recording rules were evaluated."


async def _dry_run(api: CoderApi, settings: Settings, options: BackfillOptions, clock: Clock) -> str:
    open_output: Callable[[Path], Output] = OpenMetricsFiles
    if options.format is OutputFormat.BLOCKS:
        open_output = partial(BlockFolder, promtool=find_promtool())
    cost = await estimate(api, settings, options, open_output=open_output, clock=clock)
    return (
        f"{cost.days} days: about {cost.requests} requests in {cost.minutes:.0f} minutes or more, "
        f"{cost.samples} samples of {cost.series} series, {cost.bytes / 1e6:.0f} MB"
        f"{' of text' if options.format is OutputFormat.OPENMETRICS else ''}. Nothing was written."
    )


@asynccontextmanager
async def _open_output(options: BackfillOptions, clock: Clock) -> AsyncIterator[Output]:
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--output: expected a writable folder, got {options.output}: {error.strerror}"
        ) from None
    if options.push_url:
        async with aiohttp.ClientSession() as session:
            yield VictoriaMetricsImport(options.push_url, session=session, clock=clock)
    elif options.format is OutputFormat.BLOCKS:
        yield BlockFolder(options.output, promtool=find_promtool())
    else:
        yield OpenMetricsFiles(options.output)


def _summary_lines(summary: Summary, options: BackfillOptions) -> list[str]:
    megabytes = summary.bytes / 1e6
    verb = "are in" if summary.was_complete else "were written to"
    target = "VictoriaMetrics" if options.push_url else str(options.output)
    lines = [
        (
            f"{summary.days} days with {summary.samples} samples of up to {summary.series} series "
            f"({megabytes:.0f} MB) {verb} {target}; {summary.requests} requests were sent."
        )
    ]
    if summary.dropped_rows:
        lines.append(f"{summary.dropped_rows} invalid rows of Coder's responses were left out.")
    if summary.agents is not None:
        lines.append(_agent_line(summary.agents, options))
    return lines


def _agent_line(record: AgentRecord, options: BackfillOptions) -> str:
    if not record.days:
        return "Agent statistics were left out: Coder holds no agent reports of these days."
    return (
        f"Agent statistics from {record.since} to {record.until} are included. If "
        f"{options.output / STATE_FILE_NAME} is agent_stats.state_file at the first start of the exporter, "
        "its counters continue."
    )
