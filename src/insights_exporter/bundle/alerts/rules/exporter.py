"""Whether the exporter's numbers can be trusted."""

from __future__ import annotations

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RuleGroup, Severity
from insights_exporter.bundle.alerts.units import format_threshold
from insights_exporter.bundle.promql import MatcherValue, QueryBuilder, not_regex, regex
from insights_exporter.bundle.registry import EXPORTER_HEALTH
from insights_exporter.metrics import catalogue

__all__ = ["group"]

_NON_5XX_CODES = "[1-4].."
_REQUEST_RANGE = "20m"
_REQUIRED_RESOURCES = "template|user|workspace"
_CODER_FAMILIES = (catalogue.TEMPLATE_USAGE, catalogue.WORKSPACES, catalogue.USERS)


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on the exporter itself, the gravest first."""
    return RuleGroup(
        slug="exporter",
        title="Exporter",
        interval="1m",
        alerts=(
            _exporter_down(options),
            _coder_unreachable(options.query),
            _token_invalid(options.query),
            _token_expires(options, Severity.CRITICAL),
            _token_expires(options, Severity.WARNING),
            _data_missing(options),
            _data_stale(options),
            _collector_failing(options.query),
            _permission_missing(options.query),
            _collection_disabled(options.query),
            _rate_limited(options),
            _poll_too_long(options),
            _series_folded(options.query),
            _counters_corrected(options.query),
            _config_reload_failed(options.query),
        ),
    )


def _panel(title: str) -> PanelLink:
    return PanelLink(EXPORTER_HEALTH.slug, title)


def _exporter_down(options: InstallOptions) -> Alert:
    up = f"up{{{', '.join(options.matchers)}}}"
    return Alert(
        name="CoderInsightsExporterDown",
        expr=f"max by (job) ({up}) == 0\nor\nabsent({up})",
        for_="5m",
        severity=Severity.CRITICAL,
        summary="No replica of the exporter can be scraped.",
        description=(
            "Prometheus has reached no replica of job {{ $labels.job }} for five minutes; dashboards are"
            " empty and no other alert on Coder's insights can fire."
        ),
        rationale="Five minutes outlast a restart; one replica of several may be away.",
        panel=_panel("Replicas up"),
    )


def _recent_requests(query: QueryBuilder, code: MatcherValue) -> str:
    """Return how many requests of the last 20 minutes came back so.

    A code that came for the first time has no increase yet, so all of it counts; waiting for a second poll
    would let what only follows from it call first. Each replica asks for itself, so here a sum is right.
    """
    selector = query.selector(catalogue.API_REQUESTS, code=code)
    increased = f"sum by (job) (increase({selector}[{_REQUEST_RANGE}])) > 0"
    first_seen = (
        f"sum by (job) ({selector}) unless on (job) sum by (job) ({selector} offset {_REQUEST_RANGE})"
    )
    return f"(\n{increased}\nor\n{first_seen}\n)"


def _nothing_collected(query: QueryBuilder) -> str:
    # Agent reports have another source, so they say nothing about Coder's API.
    collectors = "|".join(sorted({family.collector for family in _CODER_FAMILIES}))
    return f"{query.latest(catalogue.COLLECTOR_SUCCESS, collector=regex(collectors)).max('job')} == 0"


def _coder_unreachable(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsCoderUnreachable",
        expr=f"{_recent_requests(query, not_regex(_NON_5XX_CODES))}\nand on (job)\n{_nothing_collected(query)}",
        for_="10m",
        severity=Severity.CRITICAL,
        summary="Coder does not answer the exporter.",
        description=(
            'About {{ printf "%.0f" $value }} requests to Coder within 20 minutes failed without an answer or'
            " with a server error, and nothing can be collected."
        ),
        rationale="Two polls with all their retries came to nothing; a restart of Coder takes less.",
        panel=_panel("Requests by code"),
    )


def _token_invalid(query: QueryBuilder) -> Alert:
    unauthorized = _recent_requests(query, "401")
    return Alert(
        name="CoderInsightsTokenInvalid",
        expr=f"{unauthorized}\nand on (job)\n{_nothing_collected(query)}",
        for_="10m",
        severity=Severity.CRITICAL,
        summary="Coder refuses the exporter's token.",
        description=(
            'Coder answered about {{ printf "%.0f" $value }} requests within 20 minutes with 401: the token'
            " was revoked, has expired, belongs to another deployment, or its account is suspended."
        ),
        rationale="A refused token does not heal by itself; ten minutes give a rotation time to finish.",
        panel=_panel("Requests by code"),
    )


def _token_expires(options: InstallOptions, severity: Severity) -> Alert:
    thresholds, query = options.thresholds, options.query
    critical = severity is Severity.CRITICAL
    seconds = thresholds.token_critical if critical else thresholds.token_warning
    expiry = query.latest(catalogue.TOKEN_EXPIRY)
    expiry_changes = query.over_time("changes", catalogue.TOKEN_EXPIRY, "6h")
    return Alert(
        name="CoderInsightsTokenExpires" + ("Soon" if critical else ""),
        expr=f"{expiry} - time() < {seconds:g}\nunless on (job)\n{expiry_changes} > 0",
        for_="2h",
        severity=severity,
        summary=f"The exporter's token expires within {format_threshold(seconds, 'seconds')}.",
        description=(
            "The exporter's token expires in {{ $value | humanizeDuration }}, and Coder does not extend it;"
            " after that nothing is collected."
        ),
        rationale=(
            "Coder extends a token while it is used, at most hourly; one that stays put for hours will end"
            + (" within a working day." if critical else ", and a week is time to act at leisure.")
        ),
        thresholds=("token_critical" if critical else "token_warning",),
        panel=_panel("Token expires in"),
    )


def _data_age(query: QueryBuilder) -> str:
    return f"time() - {query.latest(catalogue.LAST_SUCCESS)}"


def _data_missing(options: InstallOptions) -> Alert:
    return Alert(
        name="CoderInsightsDataMissing",
        expr=f"{_data_age(options.query)} > {options.thresholds.stale_seconds:g}",
        for_="5m",
        severity=Severity.CRITICAL,
        summary=f"The exporter's data is older than {format_threshold(options.thresholds.stale_seconds, 'seconds')}.",
        description=(
            "Collector {{ $labels.collector }} last succeeded {{ $value | humanizeDuration }} ago; what it"
            " knew is no longer served, and alerts on it are blind."
        ),
        rationale="An hour is a dozen polls at the default interval, and more than the data's time to live.",
        thresholds=("stale_seconds",),
        panel=_panel("Age of data"),
    )


def _data_stale(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsDataStale",
        expr=(
            f"{_data_age(query)}\n> on (job) group_left ()\n"
            f"{thresholds.stale_intervals:g} * {query.latest(catalogue.POLL_INTERVAL)}"
        ),
        for_="5m",
        severity=Severity.WARNING,
        summary=f"The exporter's data is older than {thresholds.stale_intervals:g} polls.",
        description=(
            "Collector {{ $labels.collector }} last succeeded {{ $value | humanizeDuration }} ago, more than"
            f" {thresholds.stale_intervals:g} times the interval at which it runs."
        ),
        rationale="One poll may fail and one may be late; five minutes more let the next one heal it.",
        thresholds=("stale_intervals",),
        panel=_panel("Age of data"),
    )


def _collector_failing(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsCollectorFailing",
        expr=f"{query.latest(catalogue.COLLECTOR_SUCCESS)} == 0",
        for_="15m",
        severity=Severity.WARNING,
        summary="A collector of the exporter keeps failing.",
        description="Collector {{ $labels.collector }} has failed in every poll of the last 15 minutes.",
        rationale="Three polls in a row at the default interval; retries have healed what heals.",
        panel=_panel("Collectors"),
    )


def _permission_missing(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsPermissionMissing",
        expr=f"{query.latest(catalogue.PERMISSION, resource=regex(_REQUIRED_RESOURCES))} == 0",
        for_="15m",
        severity=Severity.WARNING,
        summary="The exporter's account lacks a permission.",
        description=(
            "The exporter's account may not {{ $labels.action }} any {{ $labels.resource }} site-wide; what"
            " depends on it is missing or incomplete, without an error."
        ),
        rationale="Coder leaves out silently what an account may not see; roles do not change by the minute.",
        panel=_panel("Permissions"),
    )


def _collection_disabled(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsCollectionDisabled",
        expr=f"{query.latest(catalogue.COLLECTION_ENABLED)} == 0",
        for_="15m",
        severity=Severity.WARNING,
        summary="Coder's usage statistics are switched off.",
        description=(
            "Coder of job {{ $labels.job }} does not collect usage statistics, so zeros and gaps mean off and"
            " not idle."
        ),
        rationale="A switch is no accident, but dashboards mislead while it is off.",
        panel=_panel("Usage statistics"),
    )


def _rate_limited(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    waiting = query.rate(catalogue.RATE_LIMIT_WAIT, "15m")
    return Alert(
        name="CoderInsightsRateLimited",
        expr=f"{waiting} > {thresholds.rate_limit_share:g}",
        for_="15m",
        severity=Severity.WARNING,
        summary="Coder's rate limit slows the exporter down.",
        description=(
            "The exporter waits {{ $value | humanizePercentage }} of the time for Coder's rate limit; polls"
            " become longer and may not finish."
        ),
        rationale="Obeying the limit now and then is polite; a lasting wait costs fresh data.",
        thresholds=("rate_limit_share",),
        panel=_panel("Waiting for the rate limit"),
    )


def _poll_too_long(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    duration, interval = query.latest(catalogue.POLL_DURATION), query.latest(catalogue.POLL_INTERVAL)
    return Alert(
        name="CoderInsightsPollTooLong",
        expr=f"{duration} / {interval} > {thresholds.poll_share:g}",
        for_="15m",
        severity=Severity.WARNING,
        summary="A poll takes about as long as the time until the next one.",
        description="A poll takes {{ $value | humanizePercentage }} of the interval between two polls.",
        rationale="Beyond that the deadline cuts polls off; three in a row are no single slow answer.",
        thresholds=("poll_share",),
        panel=_panel("Duration of polls"),
    )


def _series_folded(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsSeriesFolded",
        expr=f"{query.latest(catalogue.SERIES_FOLDED)} > 0",
        for_="15m",
        severity=Severity.WARNING,
        summary="A family has more series than its limit admits.",
        description=(
            "{{ $value | humanize }} series of {{ $labels.family }} are folded into one or left out, as the"
            " limit of series per family is reached."
        ),
        rationale="Any folded series is detail that a dashboard lacks; three polls rule out a passing peak.",
        panel=_panel("Folded series"),
    )


def _counters_corrected(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsCountersCorrected",
        expr=f"{query.increase(catalogue.COUNTER_CORRECTIONS, '6h')} > 0",
        for_="15m",
        severity=Severity.INFO,
        summary="Totals fell in Coder and were held.",
        description=(
            'About {{ printf "%.0f" $value }} totals fell in Coder within six hours; their counters stand'
            " still until Coder has caught up."
        ),
        rationale="A single correction is harmless, but it explains a flat line that somebody may ask about.",
        panel=_panel("Counter corrections"),
    )


def _config_reload_failed(query: QueryBuilder) -> Alert:
    reload_successful = QueryBuilder(query.matchers, ("job", "instance")).latest(
        catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL
    )
    return Alert(
        name="CoderInsightsConfigReloadFailed",
        expr=f"{reload_successful} == 0",
        for_="5m",
        severity=Severity.WARNING,
        summary="The exporter could not read its changed configuration.",
        description=(
            "Replica {{ $labels.instance }} refused its new configuration and runs on with the last good"
            " one; a restart would fail."
        ),
        rationale="The state lasts until somebody acts; five minutes let a half-written file be finished.",
        panel=_panel("Configuration"),
    )
