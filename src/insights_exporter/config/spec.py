"""Every key of the configuration, once; the defaults are those of the settings' classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from insights_exporter.coder.settings import CoderSettings
from insights_exporter.config import settings
from insights_exporter.config.kind import (
    Address,
    Choice,
    CoderAddress,
    Day,
    File,
    Flag,
    Items,
    Kind,
    Known,
    Pairs,
    Seconds,
    SecretText,
    Text,
    Whole,
    WindowName,
)
from insights_exporter.metrics import catalogue

__all__ = ["PREFIX", "REQUIRED", "SECTIONS", "Key", "Section", "keys"]

PREFIX: Final = "INSIGHTS_EXPORTER_"
"""What the variables of the environment begin with."""

REQUIRED: Final = dataclasses.MISSING
"""The default of a key that has none."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section: what it may hold and what it means."""

    name: str
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """The keys of one class of settings."""

    path: str
    target: type[Any]
    text: str
    keys: tuple[Key, ...]

    def default(self, key: Key) -> Any:
        """Return the value that holds where nothing is said; REQUIRED where something must be."""
        field = next(field for field in dataclasses.fields(self.target) if field.name == key.name)
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        return field.default


def _patterns(path: str, text: str) -> Section:
    return Section(
        path,
        settings.NameFilter,
        text,
        (
            Key("allow", Items(Text("a shell pattern")), "Patterns of what is exported; empty admits all."),
            Key("deny", Items(Text("a shell pattern")), "Patterns of what is left out; it wins."),
        ),
    )


SECTIONS: Final = (
    Section(
        "coder",
        CoderSettings,
        "The deployment that is asked.",
        (
            Key("url", CoderAddress(), "The deployment's address. `CODER_URL` serves where nothing is said."),
            Key(
                "token",
                SecretText("a session token"),
                "The session token, read anew when its file changes. `CODER_SESSION_TOKEN` serves where "
                "nothing is said.",
            ),
            Key("ca_file", File(), "Certificates of an authority to trust beside the system's."),
            Key("cert_file", File(), "A client certificate, where a proxy before Coder wants one."),
            Key("key_file", File(), "The client certificate's key, unencrypted."),
            Key("total_timeout", Seconds(), "How long one request may take."),
            Key("connect_timeout", Seconds(), "How long connecting may take."),
            Key("read_timeout", Seconds(), "How long a silence within an answer may last."),
            Key("concurrency", Whole(1, 64), "How many requests run at once; Coder's database pool has 10."),
            Key("retries", Whole(0, 20), "How often a request is tried again, where that can help."),
            Key("max_response_bytes", Whole(1024), "The largest answer that is read."),
            Key("workspace_page_size", Whole(1, 10_000), "How many workspaces are asked for at once."),
        ),
    ),
    Section(
        "poll",
        settings.PollSettings,
        "When Coder is asked.",
        (
            Key("interval", Seconds(), "The time between polls; Coder's own numbers move every 5 minutes."),
            Key(
                "offset",
                Seconds(zero=True),
                "How long after each multiple of the interval a poll begins, to follow Coder's rollup.",
            ),
            Key("jitter", Seconds(zero=True), "Up to how much later, at random, so that exporters spread."),
            Key("deadline", Seconds(), "How long one poll may take."),
            Key(
                "refresh_interval",
                Seconds(),
                "How often slow things are asked for anew: closed windows, details of templates.",
            ),
            Key("max_staleness", Seconds(), "How long the last good numbers are served while Coder fails."),
        ),
    ),
    Section(
        "insights",
        settings.InsightsSettings,
        "Which numbers are asked for.",
        (
            Key("windows", Items(WindowName(), empty=False), "The windows that series carry as a label."),
            Key(
                "utc_offset",
                Whole(-12, 14),
                "Where days begin, in whole hours east of UTC; fixed, so that no day is longer than another.",
            ),
            Key(
                "anchor",
                Day(),
                "Since when counters count. Replicas share it. Without it, the first day of the quarter.",
            ),
            Key("days", Whole(1, 60), "How many days of active users are served."),
            Key("weeks", Whole(1, 52), "How many weeks of active users are served."),
        ),
    ),
    _patterns("filters.organizations", "Which organizations are exported, by name."),
    _patterns(
        "filters.templates",
        "Which templates are exported, by `name`, or by `organization/name` where a pattern has a slash.",
    ),
    _patterns("filters.users", "Which users are exported, by username."),
    Section(
        "privacy",
        settings.PrivacySettings,
        "What is told of people.",
        (
            Key(
                "users",
                Choice(settings.UsernameMode),
                "How users appear in series, on the page, in logs and pushes.",
            ),
            Key(
                "hash_key",
                SecretText("a key of at least 16 characters"),
                "The key of hashed names; replicas share it.",
            ),
            Key(
                "parameter_free_text",
                Flag(),
                "Serve parameter values that no option declares; they may hold anything that users type.",
            ),
        ),
    ),
    Section(
        "limits",
        settings.LimitSettings,
        "How large a scrape may become.",
        (
            Key("series_per_family", Whole(1), "How many series a family keeps; the rest is folded."),
            Key(
                "families",
                Pairs(
                    Whole(0),
                    Known(
                        lambda: (one.name for one in catalogue.CODER_FAMILIES), "the full name of a family"
                    ),
                ),
                "Limits of single families; 0 leaves a family out.",
            ),
            Key("label_value_length", Whole(16, 2048), "Where label values are cut, in characters."),
        ),
    ),
    Section(
        "agent_stats",
        settings.AgentStatsSettings,
        "Where agent reports are read; they feed the latency histograms and sessions.",
        (
            Key("source", Choice(settings.AgentStatsSource), "Where reports are read."),
            Key("interval", Seconds(), "The time between readings."),
            Key("dsn", SecretText("a Postgres address"), "The address of Coder's database."),
            Key("password", SecretText("a password"), "The database password, where the address has none."),
            Key("statement_timeout", Seconds(), "How long one query may take."),
            Key(
                "overlap",
                Seconds(zero=True),
                "How late a report may come to be counted: how far each reading looks back.",
            ),
            Key(
                "batch_rows",
                Whole(1, 100_000_000),
                "How many reports of a backlog one query adds up, in whole minutes.",
            ),
            Key(
                "metrics_url",
                Address(),
                "The address of coderd's own metrics; without it the API's debug route is asked, which "
                "needs the owner's role.",
            ),
            Key("state_file", File(exists=False), "Where counts are kept across restarts."),
        ),
    ),
    Section(
        "server",
        settings.ServerSettings,
        "Where the exporter listens.",
        (
            Key("host", Text("a name or an address to listen at"), "The address to listen at."),
            Key("port", Whole(0, 65535), "The port; 0 lets the system choose."),
            Key("web_config_file", File(), "TLS and logins, in the form of Prometheus' exporter-toolkit."),
            Key(
                "bearer_token",
                SecretText("a token of at least 16 characters"),
                "A token that scrapes may bring in place of a password.",
            ),
            Key("open_metrics", Flag(), "Serve `/metrics` without a login even where logins are configured."),
            Key("open_page", Flag(), "Serve the landing page without a login, too."),
            Key("enable_reload", Flag(), "Let `POST /-/reload` read the configuration anew."),
        ),
    ),
    Section(
        "otlp",
        settings.OtlpSettings,
        "Where numbers are pushed; the standard `OTEL_EXPORTER_OTLP_*` variables fill what is not said.",
        (
            Key("enabled", Flag(), "Push after each poll."),
            Key(
                "endpoint",
                Address(),
                "The receiver's address; over HTTP, `/v1/metrics` is appended where it is missing.",
            ),
            Key(
                "protocol",
                Choice(settings.OtlpProtocol),
                "How pushes travel; `http/protobuf` where nothing is said.",
            ),
            Key("headers", SecretText("pairs such as name=value"), "Headers that go with pushes."),
            Key(
                "timeout",
                Seconds(),
                "How long one request of a push may take with its retries; 10 where nothing is said.",
            ),
            Key(
                "exponential_histograms",
                Flag(),
                "Push agent latency as exponential histograms; the dashboards do not know these.",
            ),
            Key("resource_attributes", Pairs(Text()), "Attributes that describe this exporter."),
        ),
    ),
    Section(
        "log",
        settings.LogSettings,
        "What is written to standard error.",
        (
            Key("level", Choice(("debug", "info", "warning", "error")), "The least important level."),
            Key("format", Choice(settings.LogFormat), "The form of lines."),
        ),
    ),
)
"""All sections, in the order in which the documentation has them."""


def keys() -> Iterator[tuple[str, Section, Key]]:
    """Yield each key with its section and its path, such as ``poll.interval``."""
    for section in SECTIONS:
        for key in section.keys:
            yield f"{section.path}.{key.name}", section, key
