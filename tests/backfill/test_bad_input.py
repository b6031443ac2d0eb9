"""What cannot be backfilled is one clear line; what was written stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from insights_exporter.backfill.blocks import BlockFolder, find_promtool, run_program
from insights_exporter.backfill.command import backfill
from insights_exporter.backfill.journal import BackfillError, FileRecord, Journal
from insights_exporter.backfill.options import BackfillOptions, OutputFormat
from insights_exporter.backfill.recording_rules import load_rules
from insights_exporter.backfill.samples import RangeSamples, SampleSteps
from insights_exporter.backfill.schedule import end_of_backfill
from insights_exporter.cli import main
from insights_exporter.coder.client import CoderClient
from insights_exporter.config.settings import InsightsSettings, Settings
from insights_exporter.errors import ConfigError
from insights_exporter.simulator.api.accounts import Account, Accounts
from insights_exporter.simulator.api.deployment import SimulatedDeployment
from insights_exporter.simulator.api.fault_injection import Status
from insights_exporter.simulator.demo_deployment import DEMO_TOKEN, demo_deployment
from insights_exporter.simulator.generated_world import Size
from insights_exporter.simulator.usage import UserDay, minute_mask
from tests.support.backfill import SampleRecorder, Samples, backfill_in_process
from tests.support.clock import FakeClock
from tests.support.in_process_exporter import CODER_SETTINGS
from tests.support.in_process_session import in_process_session
from tests.support.scripted_world import scripted_world, template

NOW = datetime(2026, 10, 4, 15, 20, tzinfo=UTC)
SETTINGS = Settings(
    coder=CODER_SETTINGS, insights=InsightsSettings(windows=("today", "yesterday", "7d"), weeks=1)
)
STEPS = SampleSteps(3600, 3600)


def scripted_deployment(first_use: date, *, created: datetime | None = None) -> SimulatedDeployment:
    """Return a deployment whose only user works an hour a day from ``first_use`` on."""
    world = scripted_world(replace(template(1, "go"), created_at=created) if created else template(1, "go"))
    hour = minute_mask(600, 660)
    for number in range(60):
        world.usage_by_day[first_use + timedelta(days=number)] = [UserDay(0, 0, {"vscode": hour}, {})]
    return SimulatedDeployment(world, Accounts([Account(token=DEMO_TOKEN)]), lambda: NOW)


@pytest.mark.parametrize(
    ("first_day", "last_day", "now", "message"),
    [
        (date(2026, 10, 5), None, NOW, r"--from: expected a day up to today, 2026-10-04, got 2026-10-05"),
        (date(2026, 9, 1), date(2026, 12, 1), NOW, r"--to: expected a day up to today, .* got 2026-12-01"),
        (date(2026, 9, 9), date(2026, 9, 8), NOW, r"--to: expected a day from --from, 2026-09-09, on"),
        (
            date(2026, 10, 1),
            date(2026, 10, 3),
            NOW.replace(hour=2),
            r"--to: expected a day that ended at least three hours ago, got 2026-10-03",
        ),
        (date(2026, 10, 4), None, NOW.replace(hour=3), r"--from: expected a day that began at least four"),
    ],
)
def test_impossible_ranges_are_rejected(
    first_day: date, last_day: date | None, now: datetime, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        end_of_backfill(first_day, last_day, now, 0)


@pytest.mark.parametrize(
    ("last_day", "now", "offset", "end"),
    [
        (None, NOW, 0, datetime(2026, 10, 4, 12, tzinfo=UTC)),
        (date(2026, 10, 4), NOW, 0, datetime(2026, 10, 4, 12, tzinfo=UTC)),
        (date(2026, 10, 2), NOW, 0, datetime(2026, 10, 3, tzinfo=UTC)),
        # Of yesterday, Coder accepts no part.
        (None, NOW.replace(hour=2), 0, datetime(2026, 10, 3, tzinfo=UTC)),
        (None, NOW.replace(hour=3), 0, datetime(2026, 10, 4, tzinfo=UTC)),
        (None, NOW.replace(hour=2), -5, datetime(2026, 10, 3, 23, tzinfo=UTC)),
    ],
)
def test_samples_end_at_least_three_hours_ago(
    last_day: date | None, now: datetime, offset: int, end: datetime
) -> None:
    assert end_of_backfill(date(2026, 9, 1), last_day, now, offset) == end


async def test_a_range_without_use_is_an_error(tmp_path: Path) -> None:
    deployment = scripted_deployment(date(2027, 1, 1))

    with pytest.raises(BackfillError, match=r"Coder has no usage since 2026-09-30\. 0 of 5 days are written"):
        await backfill_in_process(
            deployment, FakeClock(NOW), tmp_path, first_day=date(2026, 9, 30), settings=SETTINGS, steps=STEPS
        )


async def test_days_before_the_first_use_are_left_out(tmp_path: Path) -> None:
    recorder = SampleRecorder()

    summary, _ = await backfill_in_process(
        scripted_deployment(date(2026, 10, 2)),
        FakeClock(NOW),
        tmp_path,
        first_day=date(2026, 9, 20),
        settings=SETTINGS,
        to=recorder,
        steps=STEPS,
    )

    assert list(recorder.text_by_name) == ["2026-10-02", "2026-10-03", "2026-10-04"]
    assert summary.start == datetime(2026, 10, 2, tzinfo=UTC)


async def test_a_template_has_no_series_before_it_existed(tmp_path: Path) -> None:
    recorder = SampleRecorder()
    deployment = demo_deployment(Size(templates=2, users=4))
    newest = deployment.world.templates[1]
    created = datetime(2026, 10, 2, 9, tzinfo=UTC)
    deployment.world.templates = (deployment.world.templates[0], replace(newest, created_at=created))

    await backfill_in_process(
        deployment,
        FakeClock(NOW),
        tmp_path,
        first_day=date(2026, 9, 30),
        settings=SETTINGS,
        to=recorder,
        steps=STEPS,
    )

    labels = {("organization_name", newest.organization.name), ("template_name", newest.name)}
    of_newest = {key: values for key, values in recorder.samples.items() if labels <= key[1]}
    gauges = {key: values for key, values in of_newest.items() if not key[0].endswith("_total")}

    assert min(time for values in gauges.values() for time in values) > created.replace(hour=0).timestamp()


class RevokingOutput(SampleRecorder):
    """Takes the account's roles away after two days."""

    deployment: SimulatedDeployment

    async def write(self, name: str, samples: RangeSamples) -> FileRecord:
        """Store the samples."""
        if len(self.text_by_name) == 2:
            self.deployment.accounts = Accounts([Account(token=DEMO_TOKEN, roles=frozenset())])
        return await super().write(name, samples)


async def test_a_permission_lost_midway_keeps_the_written_days(tmp_path: Path) -> None:
    output = RevokingOutput()
    output.deployment = demo_deployment(Size(templates=2, users=4))

    with pytest.raises(BackfillError, match=r"2026-10-0\d: .*404.*\. [34] of 5 days are written; the same"):
        await backfill_in_process(
            output.deployment,
            FakeClock(NOW),
            tmp_path,
            first_day=date(2026, 9, 30),
            settings=SETTINGS,
            to=output,
            steps=STEPS,
        )

    assert Journal(tmp_path).written("2026-10-01") is not None


async def test_a_failed_request_for_a_template_ends_the_run_with_one_line(tmp_path: Path) -> None:
    deployment = demo_deployment(Size(templates=2, users=4))
    deployment.faults.inject("/insights/user-latency", Status(status=500))

    with pytest.raises(
        BackfillError, match=r"2026-\d\d-\d\d: /insights/user-latency: HTTP 500: .*\. 0 of 3 days"
    ):
        await backfill_in_process(
            deployment, FakeClock(NOW), tmp_path, first_day=date(2026, 10, 2), settings=SETTINGS, steps=STEPS
        )

    deployment.faults.clear()
    summary, _ = await backfill_in_process(
        deployment, FakeClock(NOW), tmp_path, first_day=date(2026, 10, 2), settings=SETTINGS, steps=STEPS
    )

    assert summary.days == 3


async def test_an_account_of_one_organization_gets_its_templates(tmp_path: Path) -> None:
    whole, part = SampleRecorder(), SampleRecorder()
    deployment = demo_deployment(Size(templates=4, users=6))
    organization = deployment.world.templates[0].organization.name
    for recorder, account in (
        (whole, Account(token=DEMO_TOKEN)),
        (
            part,
            Account(
                token=DEMO_TOKEN,
                roles=frozenset(),
                organization_roles={organization: frozenset({"organization-template-admin"})},
            ),
        ),
    ):
        deployment.accounts = Accounts([account])
        await backfill_in_process(
            deployment,
            FakeClock(NOW),
            tmp_path / str(len(account.roles)),
            first_day=date(2026, 10, 2),
            settings=SETTINGS,
            to=recorder,
            steps=STEPS,
        )

    def usage(recorder: SampleRecorder) -> Samples:
        return {
            key: values
            for key, values in recorder.samples.items()
            if "template_usage" in key[0] and ("organization_name", organization) in key[1]
        }

    assert usage(part)
    assert usage(part) == usage(whole)


def test_missing_promtool_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ConfigError, match="--format blocks: expected promtool in PATH, got none"):
        find_promtool()


async def test_a_failing_program_is_quoted() -> None:
    with pytest.raises(BackfillError, match="sh failed: no such thing"):
        await run_program(["sh", "-c", "echo first; echo no such thing; exit 3"])


async def test_blocks_of_an_interrupted_conversion_are_not_kept(tmp_path: Path) -> None:
    leftover = tmp_path / "blocks.tmp" / "blocks" / "01PARTIAL"
    leftover.mkdir(parents=True)
    output = BlockFolder(tmp_path, promtool="true")
    output.keep(FileRecord("2026-10-01", 1, 1, 1, ("01OTHER",)))

    assert not list(output.folder.iterdir())


async def test_recorded_blocks_are_moved_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "blocks.tmp" / "blocks" / "01COMPLETE").mkdir(parents=True)
    output = BlockFolder(tmp_path, promtool="true")
    output.keep(FileRecord("2026-10-01", 1, 1, 1, ("01COMPLETE",)))

    assert [path.name for path in output.folder.iterdir()] == ["01COMPLETE"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": SampleSteps(7, 3600)}, "--step: expected a duration that divides an hour, .* got 7s"),
        ({"steps": SampleSteps(300, 7200)}, "--user-step: expected"),
        ({"requests_per_minute": 0}, "--requests-per-minute: expected 1 to 100000, got 0"),
        ({"push_url": "example.com"}, r"--push: expected an http\(s\) URL"),
        (
            {"push_url": "http://vm:8428", "format": OutputFormat.BLOCKS},
            "--push: expected --format openmetrics",
        ),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BackfillOptions(first_day=date(2026, 9, 1), output=Path("x"), **options)  # type: ignore[arg-type] # Keywords.


@pytest.mark.parametrize("text", ["[", "groups: 1", "groups: [{rules: [{record: a}]}]"])
def test_a_rules_file_must_have_rules(text: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(text)

    with pytest.raises(ConfigError, match="--rules-file: expected rules of Prometheus"):
        load_rules(BackfillOptions(first_day=date(2026, 9, 1), output=tmp_path, rules_file=file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("")
    return path


async def test_an_unusable_output_is_a_configuration_error(file: Path) -> None:
    options = BackfillOptions(first_day=date(2026, 9, 30), output=file / "folder")
    deployment = demo_deployment(Size(templates=1, users=1), now=lambda: NOW)
    async with CoderClient(
        CODER_SETTINGS, clock=FakeClock(NOW), rng=Random(1), session=in_process_session(deployment)
    ) as client:
        with pytest.raises(ConfigError, match="--output: expected a writable folder"):
            await backfill(client, SETTINGS, options, clock=FakeClock(NOW), report=print)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--from", "tomorrow"], 2, 'expected a day such as "2026-10-01", got "tomorrow"'),
        (["--from", "2026-08-01", "--label", "x"], 2, "expected NAME=VALUE"),
        (["--from", "2026-08-01", "--step", "x"], 2, 'expected a duration such as "90d" or "5s", got "x"'),
        (["--from", "2026-08-01"], 1, "backfill stopped: /templates: no connection"),
    ],
)
def test_exit_codes_of_the_command(  # noqa: PLR0917 # Fixtures.
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CODER_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("CODER_SESSION_TOKEN", DEMO_TOKEN)
    monkeypatch.setenv("INSIGHTS_EXPORTER_CODER_RETRIES", "0")

    try:
        exit_code: object = main(["backfill", "--output", str(tmp_path), *arguments])
    except SystemExit as exited:
        exit_code = exited.code

    assert exit_code == code
    assert message in capsys.readouterr().err
