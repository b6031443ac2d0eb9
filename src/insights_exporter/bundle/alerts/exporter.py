"""Whether the exporter's numbers can be trusted."""

from __future__ import annotations

from insights_exporter.bundle.alerts.model import Alert, Group, Panel, Severity
from insights_exporter.bundle.alerts.site import Site
from insights_exporter.bundle.alerts.units import amount
from insights_exporter.bundle.boards import EXPORTER_HEALTH
from insights_exporter.bundle.queries import Labels, Scope, like, unlike
from insights_exporter.metrics import catalogue

__all__ = ["group"]

_ANSWERED = "[1-4].."
_LATELY = "20m"
_NEEDED = "template|user|workspace"
_ASKED = (catalogue.TEMPLATE_USAGE, catalogue.WORKSPACES, catalogue.USERS)


def group(site: Site) -> Group:
    """Return the rules on the exporter itself, the gravest first."""
    return Group(
        subject="exporter",
        title="Exporter",
        interval="1m",
        alerts=(
            _down(site),
            _unreachable(site.scope),
            _token_invalid(site.scope),
            _token_expiring(site, Severity.CRITICAL),
            _token_expiring(site, Severity.WARNING),
            _data_missing(site),
            _data_stale(site),
            _collector_failing(site.scope),
            _permission_missing(site.scope),
            _collection_disabled(site.scope),
            _rate_limited(site),
            _poll_slow(site),
            _series_folded(site.scope),
            _counters_corrected(site.scope),
            _reload_failed(site.scope),
        ),
    )


def _panel(title: str) -> Panel:
    return Panel(EXPORTER_HEALTH.slug, title)


def _down(site: Site) -> Alert:
    up = f"up{{{', '.join(site.matchers)}}}"
    return Alert(
        name="CoderInsightsExporterDown",
        expr=f"max by (job) ({up}) == 0\nor\nabsent({up})",
        wait="5m",
        severity=Severity.CRITICAL,
        summary="No replica of the exporter can be scraped.",
        description=(
            "Prometheus has reached no replica of job {{ $labels.job }} for five minutes; dashboards are"
            " empty and no other alert on Coder's insights can fire."
        ),
        because="Five minutes outlast a restart; one replica of several may be away.",
        panel=_panel("Replicas up"),
    )


def _requests(scope: Scope, code: Labels) -> str:
    """Return how many requests of the last 20 minutes came back so.

    A code that came for the first time has no increase yet, so all of it counts; waiting for a second poll
    would let what only follows from it call first. Each replica asks for itself, so here a sum is right.
    """
    counted = scope.select(catalogue.API_REQUESTS, code=code)
    risen = f"sum by (job) (increase({counted}[{_LATELY}])) > 0"
    new = f"sum by (job) ({counted}) unless on (job) sum by (job) ({counted} offset {_LATELY})"
    return f"(\n{risen}\nor\n{new}\n)"


def _nothing_collected(scope: Scope) -> str:
    # Agent reports have another source, so they say nothing about Coder's API.
    asking = "|".join(sorted({one.collector for one in _ASKED}))
    return f"{scope.latest(catalogue.COLLECTOR_SUCCESS, collector=like(asking)).max('job')} == 0"


def _unreachable(scope: Scope) -> Alert:
    return Alert(
        name="CoderInsightsCoderUnreachable",
        expr=f"{_requests(scope, unlike(_ANSWERED))}\nand on (job)\n{_nothing_collected(scope)}",
        wait="10m",
        severity=Severity.CRITICAL,
        summary="Coder does not answer the exporter.",
        description=(
            'About {{ printf "%.0f" $value }} requests to Coder within 20 minutes failed without an answer or'
            " with a server error, and nothing can be collected."
        ),
        because="Two polls with all their retries came to nothing; a restart of Coder takes less.",
        panel=_panel("Requests by code"),
    )


def _token_invalid(scope: Scope) -> Alert:
    refused = _requests(scope, "401")
    return Alert(
        name="CoderInsightsTokenInvalid",
        expr=f"{refused}\nand on (job)\n{_nothing_collected(scope)}",
        wait="10m",
        severity=Severity.CRITICAL,
        summary="Coder refuses the exporter's token.",
        description=(
            'Coder answered about {{ printf "%.0f" $value }} requests within 20 minutes with 401: the token'
            " was revoked, has expired, belongs to another deployment, or its account is suspended."
        ),
        because="A refused token does not heal by itself; ten minutes give a rotation time to finish.",
        panel=_panel("Requests by code"),
    )


def _token_expiring(site: Site, severity: Severity) -> Alert:
    limits, scope = site.thresholds, site.scope
    critical = severity is Severity.CRITICAL
    seconds = limits.token_critical if critical else limits.token_warning
    expiry = scope.latest(catalogue.TOKEN_EXPIRY)
    moved = scope.over("changes", catalogue.TOKEN_EXPIRY, "6h")
    return Alert(
        name="CoderInsightsTokenExpires" + ("Soon" if critical else ""),
        expr=f"{expiry} - time() < {seconds:g}\nunless on (job)\n{moved} > 0",
        wait="2h",
        severity=severity,
        summary=f"The exporter's token expires within {amount(seconds, 'seconds')}.",
        description=(
            "The exporter's token expires in {{ $value | humanizeDuration }}, and Coder does not extend it;"
            " after that nothing is collected."
        ),
        because=(
            "Coder extends a token while it is used, at most hourly; one that stays put for hours will end"
            + (" within a working day." if critical else ", and a week is time to act at leisure.")
        ),
        limits=("token_critical" if critical else "token_warning",),
        panel=_panel("Token expires in"),
    )


def _age(scope: Scope) -> str:
    return f"time() - {scope.latest(catalogue.LAST_SUCCESS)}"


def _data_missing(site: Site) -> Alert:
    return Alert(
        name="CoderInsightsDataMissing",
        expr=f"{_age(site.scope)} > {site.thresholds.stale_seconds:g}",
        wait="5m",
        severity=Severity.CRITICAL,
        summary=f"The exporter's data is older than {amount(site.thresholds.stale_seconds, 'seconds')}.",
        description=(
            "Collector {{ $labels.collector }} last succeeded {{ $value | humanizeDuration }} ago; what it"
            " knew is no longer served, and alerts on it are blind."
        ),
        because="An hour is a dozen polls at the default interval, and more than the data's time to live.",
        limits=("stale_seconds",),
        panel=_panel("Age of data"),
    )


def _data_stale(site: Site) -> Alert:
    limits, scope = site.thresholds, site.scope
    return Alert(
        name="CoderInsightsDataStale",
        expr=(
            f"{_age(scope)}\n> on (job) group_left ()\n"
            f"{limits.stale_intervals:g} * {scope.latest(catalogue.POLL_INTERVAL)}"
        ),
        wait="5m",
        severity=Severity.WARNING,
        summary=f"The exporter's data is older than {limits.stale_intervals:g} polls.",
        description=(
            "Collector {{ $labels.collector }} last succeeded {{ $value | humanizeDuration }} ago, more than"
            f" {limits.stale_intervals:g} times the interval at which it runs."
        ),
        because="One poll may fail and one may be late; five minutes more let the next one heal it.",
        limits=("stale_intervals",),
        panel=_panel("Age of data"),
    )


def _collector_failing(scope: Scope) -> Alert:
    return Alert(
        name="CoderInsightsCollectorFailing",
        expr=f"{scope.latest(catalogue.COLLECTOR_SUCCESS)} == 0",
        wait="15m",
        severity=Severity.WARNING,
        summary="A collector of the exporter keeps failing.",
        description="Collector {{ $labels.collector }} has failed in every poll of the last 15 minutes.",
        because="Three polls in a row at the default interval; retries have healed what heals.",
        panel=_panel("Collectors"),
    )


def _permission_missing(scope: Scope) -> Alert:
    return Alert(
        name="CoderInsightsPermissionMissing",
        expr=f"{scope.latest(catalogue.PERMISSION, resource=like(_NEEDED))} == 0",
        wait="15m",
        severity=Severity.WARNING,
        summary="The exporter's account lacks a permission.",
        description=(
            "The exporter's account may not {{ $labels.action }} any {{ $labels.resource }} site-wide; what"
            " depends on it is missing or incomplete, without an error."
        ),
        because="Coder leaves out silently what an account may not see; roles do not change by the minute.",
        panel=_panel("Permissions"),
    )


def _collection_disabled(scope: Scope) -> Alert:
    return Alert(
        name="CoderInsightsCollectionDisabled",
        expr=f"{scope.latest(catalogue.COLLECTION_ENABLED)} == 0",
        wait="15m",
        severity=Severity.WARNING,
        summary="Coder's usage statistics are switched off.",
        description=(
            "Coder of job {{ $labels.job }} does not collect usage statistics, so zeros and gaps mean off and"
            " not idle."
        ),
        because="A switch is no accident, but dashboards mislead while it is off.",
        panel=_panel("Usage statistics"),
    )


def _rate_limited(site: Site) -> Alert:
    limits, scope = site.thresholds, site.scope
    waiting = scope.rate(catalogue.RATE_LIMIT_WAIT, "15m")
    return Alert(
        name="CoderInsightsRateLimited",
        expr=f"{waiting} > {limits.rate_limit_share:g}",
        wait="15m",
        severity=Severity.WARNING,
        summary="Coder's rate limit slows the exporter down.",
        description=(
            "The exporter waits {{ $value | humanizePercentage }} of the time for Coder's rate limit; polls"
            " become longer and may not finish."
        ),
        because="Obeying the limit now and then is polite; a lasting wait costs fresh data.",
        limits=("rate_limit_share",),
        panel=_panel("Waiting for the rate limit"),
    )


def _poll_slow(site: Site) -> Alert:
    limits, scope = site.thresholds, site.scope
    took, interval = scope.latest(catalogue.POLL_DURATION), scope.latest(catalogue.POLL_INTERVAL)
    return Alert(
        name="CoderInsightsPollTooLong",
        expr=f"{took} / {interval} > {limits.poll_share:g}",
        wait="15m",
        severity=Severity.WARNING,
        summary="A poll takes about as long as the time until the next one.",
        description="A poll takes {{ $value | humanizePercentage }} of the interval between two polls.",
        because="Beyond that the deadline cuts polls off; three in a row are no single slow answer.",
        limits=("poll_share",),
        panel=_panel("Duration of polls"),
    )


def _series_folded(scope: Scope) -> Alert:
    return Alert(
        name="CoderInsightsSeriesFolded",
        expr=f"{scope.latest(catalogue.SERIES_FOLDED)} > 0",
        wait="15m",
        severity=Severity.WARNING,
        summary="A family has more series than its limit admits.",
        description=(
            "{{ $value | humanize }} series of {{ $labels.family }} are folded into one or left out, as the"
            " limit of series per family is reached."
        ),
        because="Any folded series is detail that a dashboard lacks; three polls rule out a passing peak.",
        panel=_panel("Folded series"),
    )


def _counters_corrected(scope: Scope) -> Alert:
    return Alert(
        name="CoderInsightsCountersCorrected",
        expr=f"{scope.increase(catalogue.COUNTER_CORRECTIONS, '6h')} > 0",
        wait="15m",
        severity=Severity.INFO,
        summary="Totals fell in Coder and were held.",
        description=(
            'About {{ printf "%.0f" $value }} totals fell in Coder within six hours; their counters stand'
            " still until Coder has caught up."
        ),
        because="A single correction is harmless, but it explains a flat line that somebody may ask about.",
        panel=_panel("Counter corrections"),
    )


def _reload_failed(scope: Scope) -> Alert:
    ok = Scope(scope.matchers, ("job", "instance")).latest(catalogue.CONFIG_LAST_RELOAD_SUCCESSFUL)
    return Alert(
        name="CoderInsightsConfigReloadFailed",
        expr=f"{ok} == 0",
        wait="5m",
        severity=Severity.WARNING,
        summary="The exporter could not read its changed configuration.",
        description=(
            "Replica {{ $labels.instance }} refused its new configuration and runs on with the last good"
            " one; a restart would fail."
        ),
        because="The state lasts until somebody acts; five minutes let a half-written file be finished.",
        panel=_panel("Configuration"),
    )
