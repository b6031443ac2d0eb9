"""Rules on the exporter itself: availability, access to Coder, and freshness of data."""

from __future__ import annotations

from typing import Final

from insights_exporter.bundle.alerts.install_options import InstallOptions
from insights_exporter.bundle.alerts.model import Alert, PanelLink, RuleGroup, Severity
from insights_exporter.bundle.alerts.thresholds import format_threshold
from insights_exporter.bundle.promql import MatcherValue, QueryBuilder, not_regex, regex
from insights_exporter.bundle.registry import EXPORTER_HEALTH
from insights_exporter.metrics import catalogue

__all__ = ["group"]

_RESPONSES_BELOW_500: Final = "[1-4].."
_REQUEST_RANGE: Final = "20m"
_REQUIRED_RESOURCES: Final = "template|user|workspace"
_CODER_FAMILIES: Final = (catalogue.TEMPLATE_USAGE, catalogue.WORKSPACES, catalogue.USERS)


def group(options: InstallOptions) -> RuleGroup:
    """Return the rules on the exporter, most severe first."""
    return RuleGroup(
        slug="exporter",
        title="Exporter",
        interval="1m",
        alerts=(
            _exporter_down(options),
            _coder_unreachable(options),
            _token_invalid(options),
            _token_expires(options, Severity.CRITICAL),
            _token_expires(options, Severity.WARNING),
            _data_missing(options),
            _data_stale(options),
            _buckets_missing(options),
            _collector_failing(options.query),
            _permission_missing(options.query),
            _collection_disabled(options.query),
            _rate_limited(options),
            _poll_too_long(options),
            _api_time_high(options),
            _series_folded(options.query),
            _counters_corrected(options.query),
            _config_reload_failed(options),
        ),
    )


def _panel(title: str) -> PanelLink:
    return PanelLink(EXPORTER_HEALTH.slug, title)


def _exporter_down(options: InstallOptions) -> Alert:
    """Return the alert on missing samples.

    ``up`` exists for scraped targets only, and is 0 although data arrives where only the scrape of a pushing
    exporter fails. The exporter's own series are fresh in both cases.
    """
    targets = ", ".join(options.target_labels)
    build_info = options.query.selector(catalogue.BUILD_INFO)
    known = (
        f"max by ({targets}) (max_over_time({build_info}[1d]))\n"
        f"or\nmax by ({targets}) (up{{{', '.join(options.matchers)}}})"
    )
    return Alert(
        name="CoderInsightsExporterDown",
        expr=(
            f"(\n{known}\n)\nunless\nmax by ({targets}) ({build_info})\n"
            # Without any history only the selector itself shows what is missing.
            f"or on (job)\nmax by ({targets}) (absent({build_info})) == 1"
        ),
        for_="5m",
        severity=Severity.CRITICAL,
        summary="Prometheus receives no samples from the exporter.",
        description=(
            "Job {{ $labels.job }}: no replica of the exporter was scraped or has pushed for five minutes."
            " Dashboards are empty, and no other alert on this data can fire."
        ),
        rationale="Five minutes are longer than a restart; one of several replicas is enough.",
        panel=_panel("Exporter"),
    )


def _recent_requests(options: InstallOptions, code: MatcherValue) -> str:
    """Return the number of requests of the last 20 minutes with a status or reason.

    The first sample of a new code has no increase, so its whole value counts. Otherwise an alert about a
    consequence could fire before this. Each replica sends requests of its own, so the sum is correct.
    """
    selector, by = options.query.selector(catalogue.API_REQUESTS, code=code), ", ".join(options.target_labels)
    increased = f"sum by ({by}) (increase({selector}[{_REQUEST_RANGE}])) > 0"
    first_seen = (
        f"sum by ({by}) ({selector}) unless {options.on_target}"
        f" sum by ({by}) ({selector} offset {_REQUEST_RANGE})"
    )
    return f"(\n{increased}\nor\n{first_seen}\n)"


def _nothing_collected(options: InstallOptions) -> str:
    # Agent statistics have another source, so their collector says nothing about Coder's API.
    collectors = "|".join(sorted({family.collector for family in _CODER_FAMILIES}))
    success = options.query.latest(catalogue.COLLECTOR_SUCCESS, collector=regex(collectors))
    return f"{success.max(*options.target_labels)} == 0"


def _coder_unreachable(options: InstallOptions) -> Alert:
    failed = _recent_requests(options, not_regex(_RESPONSES_BELOW_500))
    return Alert(
        name="CoderInsightsCoderUnreachable",
        expr=f"{failed}\nand {options.on_target}\n{_nothing_collected(options)}",
        for_="10m",
        severity=Severity.CRITICAL,
        summary="Coder does not answer the exporter.",
        description=(
            '{{ printf "%.0f" $value }} requests to Coder within 20 minutes had no response or a server'
            " error, and every collector fails."
        ),
        rationale="Two polls with all retries failed; a restart of Coder is shorter.",
        panel=_panel("Requests by code"),
    )


def _token_invalid(options: InstallOptions) -> Alert:
    unauthorized = _recent_requests(options, "401")
    return Alert(
        name="CoderInsightsTokenInvalid",
        expr=f"{unauthorized}\nand {options.on_target}\n{_nothing_collected(options)}",
        for_="10m",
        severity=Severity.CRITICAL,
        summary="Coder rejects the exporter's token.",
        description=(
            'Coder answered {{ printf "%.0f" $value }} requests within 20 minutes with 401: the token is'
            " revoked, expired or of another deployment, or its account is suspended."
        ),
        rationale="A rejected token stays rejected; ten minutes allow for a rotation.",
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
        expr=f"{expiry} - time() < {seconds:g}\nunless {options.on_target}\n{expiry_changes} > 0",
        for_="2h",
        severity=severity,
        summary=f"The exporter's token expires within {format_threshold(seconds, 'seconds')}.",
        description=(
            "The exporter's token expires in {{ $value | humanizeDuration }}, and Coder does not extend it."
            " After that, no data is collected."
        ),
        rationale=(
            "Older Coder servers extend a token hourly while it is used; an unchanged expiry is final"
            + (", and a day is one working day." if critical else ", and a week is enough to plan.")
        ),
        thresholds=("token_critical" if critical else "token_warning",),
        panel=_panel("Access to Coder"),
    )


def _data_age(query: QueryBuilder) -> str:
    return f"time() - {query.latest(catalogue.LAST_SUCCESS)}"


def _data_missing(options: InstallOptions) -> Alert:
    seconds = options.thresholds.stale_seconds
    return Alert(
        name="CoderInsightsDataMissing",
        expr=f"{_data_age(options.query)} > {seconds:g}",
        for_="5m",
        severity=Severity.CRITICAL,
        summary=f"The exporter's data is older than {format_threshold(seconds, 'seconds')}.",
        description=(
            "Collector {{ $labels.collector }} last succeeded {{ $value | humanizeDuration }} ago. Its data"
            " is dropped, and alerts on it cannot fire."
        ),
        rationale="An hour is a dozen polls at the default interval, and longer than `poll.max_staleness`.",
        thresholds=("stale_seconds",),
        panel=_panel("Age of data"),
    )


def _data_stale(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    return Alert(
        name="CoderInsightsDataStale",
        expr=(
            f"{_data_age(query)}\n> {options.on_target} group_left ()\n"
            f"{thresholds.stale_intervals:g} * {query.latest(catalogue.POLL_INTERVAL)}"
        ),
        for_="5m",
        severity=Severity.WARNING,
        summary=f"The exporter's data is older than {thresholds.stale_intervals:g} poll intervals.",
        description=(
            "Collector {{ $labels.collector }} last succeeded {{ $value | humanizeDuration }} ago, more than"
            f" {thresholds.stale_intervals:g} poll intervals."
        ),
        rationale="One poll can fail and the next can be late; five more minutes allow for another poll.",
        thresholds=("stale_intervals",),
        panel=_panel("Age of data"),
    )


def _buckets_missing(options: InstallOptions) -> Alert:
    """Return the alert on histograms that Prometheus stores without classic buckets."""
    query, targets = options.query, ", ".join(options.target_labels)
    # Each request has a duration, so the buckets exist as soon as the counter does.
    requests = query.selector(catalogue.API_REQUESTS)
    buckets = query.buckets(catalogue.API_REQUEST_DURATION, "", le="+Inf").max(*options.target_labels)
    return Alert(
        name="CoderInsightsBucketsMissing",
        expr=f"max by ({targets}) ({requests}) > 0\nunless {options.on_target}\n{buckets}",
        for_="15m",
        severity=Severity.WARNING,
        summary="Prometheus stores the exporter's histograms without classic buckets.",
        description=(
            "Job {{ $labels.job }}: Prometheus has the exporter's counters, but no _bucket series of its"
            " histograms. Panels and alerts on agent reports have no data."
        ),
        rationale="The exporter serves buckets in every scrape; 15 minutes exclude a new installation.",
        panel=_panel("Exporter"),
    )


def _collector_failing(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsCollectorFailing",
        expr=f"{query.latest(catalogue.COLLECTOR_SUCCESS)} == 0",
        for_="15m",
        severity=Severity.WARNING,
        summary="A collector of the exporter keeps failing.",
        description="Collector {{ $labels.collector }} has failed in every poll of the last 15 minutes.",
        rationale="Three consecutive polls at the default interval failed after all retries.",
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
            "The exporter's account lacks the site-wide permission {{ $labels.action }} on"
            " {{ $labels.resource }}. Coder leaves out the affected rows without an error."
        ),
        rationale="Roles change rarely; 15 minutes exclude a failed check of the permission.",
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
            "Coder of job {{ $labels.job }} does not collect usage statistics. Zeros and gaps mean off, not"
            " idle."
        ),
        rationale="The setting is deliberate, but dashboards are misleading while it is off.",
        panel=_panel("Access to Coder"),
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
            "The exporter waits {{ $value | humanizePercentage }} of the time for Coder's rate limit. Polls"
            " become longer and may exceed their deadline."
        ),
        rationale="A short wait is harmless; a lasting one makes data stale.",
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
        summary="A poll takes almost as long as the poll interval.",
        description="A poll takes {{ $value | humanizePercentage }} of the poll interval.",
        rationale="Beyond that the deadline stops polls; three consecutive polls exclude one slow response.",
        thresholds=("poll_share",),
        panel=_panel("Duration of polls"),
    )


def _api_time_high(options: InstallOptions) -> Alert:
    thresholds, query = options.thresholds, options.query
    spent, limit = query.over_time("avg_over_time", catalogue.API_TIME_RATIO, "1h"), catalogue.API_TIME_LIMIT
    return Alert(
        name="CoderInsightsApiTimeHigh",
        expr=f"{spent} > {options.on_target} {thresholds.api_time_excess:g} * {query.latest(limit)}",
        for_="3h",
        severity=Severity.WARNING,
        summary="Coder spends more time on the exporter's requests than allowed.",
        description=(
            "Coder spends {{ $value | humanizePercentage }} of the time on the exporter's requests, although"
            " all data that can wait is refreshed less often."
        ),
        rationale="A start may exceed the limit for an hour; a lasting excess needs a decision.",
        thresholds=("api_time_excess",),
        panel=_panel("Time of Coder"),
    )


def _series_folded(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsSeriesFolded",
        expr=f"{query.latest(catalogue.SERIES_FOLDED)} > 0",
        for_="15m",
        severity=Severity.WARNING,
        summary="A metric family exceeds its series limit.",
        description=(
            "{{ $value | humanize }} series of {{ $labels.family }} exceed the limit. They are folded into"
            " one series or dropped."
        ),
        rationale="Each folded series is detail that dashboards lack; three polls exclude a short peak.",
        panel=_panel("Folded series"),
    )


def _counters_corrected(query: QueryBuilder) -> Alert:
    return Alert(
        name="CoderInsightsCountersCorrected",
        expr=f"{query.increase(catalogue.COUNTER_CORRECTIONS, '6h')} > 0",
        for_="15m",
        severity=Severity.INFO,
        summary="Totals decreased in Coder; the exporter held its counters.",
        description=(
            '{{ printf "%.0f" $value }} totals decreased in Coder within six hours. Their counters stay'
            " constant until Coder's total exceeds them."
        ),
        rationale="A single correction is harmless, but it explains a flat line on a dashboard.",
        panel=_panel("Counter corrections"),
    )


def _config_reload_failed(options: InstallOptions) -> Alert:
    query = QueryBuilder(options.matchers, (*options.target_labels, "instance"))
    return Alert(
        name="CoderInsightsConfigReloadFailed",
        expr=f"{query.latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)} == 0",
        for_="5m",
        severity=Severity.WARNING,
        summary="The exporter rejected its changed configuration.",
        description=(
            "Replica {{ $labels.instance }} rejected its new configuration and uses the last valid one. A"
            " restart would fail."
        ),
        rationale="The state lasts until a reload succeeds; five minutes exclude a partly written file.",
        panel=_panel("Exporter"),
    )
