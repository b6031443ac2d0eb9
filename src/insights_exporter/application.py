"""Wires everything: settings, generations, the server, signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from random import Random

from insights_exporter.clock import Clock, SystemClock
from insights_exporter.config import masked
from insights_exporter.errors import ConfigError
from insights_exporter.generation import Environment, Generation
from insights_exporter.logs import Redactor, secrets_of
from insights_exporter.metrics.otlp import Own
from insights_exporter.server import Listening, Site, application
from insights_exporter.settings import ServerSettings, Settings
from insights_exporter.telling import TellingMetrics
from insights_exporter.web import Visitors, WebSource, middlewares, reloading_context

__all__ = ["Application"]

logger = logging.getLogger(__name__)


class Application:
    """The exporter. ``load`` reads the configuration anew; without it, it stays what it was.

    ``configured`` hears of settings that were read anew and hold from then on.
    ``run`` raises ConfigError where something cannot be used at the start. Later a configuration that
    cannot be used changes nothing.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        load: Callable[[], Settings] | None = None,
        configured: Callable[[Settings], None] = lambda _: None,
        serve: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self._load = load or (lambda: settings)
        self._configured = configured
        self._serve = serve
        self._clock = clock or SystemClock()
        self.telemetry = TellingMetrics(poll_interval=settings.poll.interval)
        self._environment = Environment(
            clock=self._clock,
            random=Random(),
            telemetry=self.telemetry,
            own=Own(self.telemetry.samples, self._clock.now()),
        )
        self._settings = settings
        self._web = self._web_source(settings)
        self._visitors = Visitors()
        self._site: Site | None = None
        self._generation: Generation | None = None
        self._reloading = asyncio.Lock()
        self._hang_ups: set[asyncio.Task[None]] = set()
        self._closed = False
        self._polling: asyncio.Task[None] | None = None
        self._replaced = asyncio.Event()
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll and serve until told to stop; raise what ended the polling if it was a fault."""
        self._refuse_silence(self._settings)
        async with AsyncExitStack() as stack:
            stack.callback(self.telemetry.shutdown)
            async with self._reloading:
                self._generation = await Generation(self._settings, self._environment).__aenter__()
                stack.push_async_callback(self._close)
                self._site = self._site_of(self._generation)
            self.telemetry.reloaded(success=True, at=self._clock.now())
            address = ""
            if self._serve:
                listening = await stack.enter_async_context(self._listening())
                address = listening.address
                logger.info("Listening.", extra={"address": address})
            self.address.set_result(address)
            self._follow(self._generation.poll())
            await self._watch(stop)
            logger.info("Stopping.")

    async def reload(self) -> None:
        """Read the configuration anew and replace all at once; raise ConfigError and change nothing."""
        async with self._reloading:
            try:
                await self._replace(await asyncio.to_thread(self._load))
            except ConfigError as error:
                self.telemetry.reloaded(success=False, at=self._clock.now())
                told = {"why": str(error)}
                logger.error("The configuration stays as it was.", extra=told)  # noqa: TRY400 - it says all.
                # What stands in a wrong place may be a secret, and the text is shown to who asked.
                raise ConfigError(Redactor(secrets_of(self._settings))(str(error))) from None
            self.telemetry.reloaded(success=True, at=self._clock.now())

    def listen_for_signals(self, stop: asyncio.Event) -> None:
        """Stop on SIGTERM and SIGINT, and read the configuration anew on SIGHUP."""
        loop = asyncio.get_running_loop()
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, stop.set)

        def hang_up() -> None:
            task = asyncio.ensure_future(self._reload_quietly())
            self._hang_ups.add(task)
            task.add_done_callback(self._hang_ups.discard)

        loop.add_signal_handler(signal.SIGHUP, hang_up)

    async def _reload_quietly(self) -> None:
        try:
            await self.reload()
        except ConfigError:
            return  # It is in the log already.

    async def _watch(self, stop: asyncio.Event) -> None:
        """Wait for the word to stop; a fault of the polling that nobody foresaw ends the process."""
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stopping.done():
                replaced = asyncio.create_task(self._replaced.wait())
                polling = {self._polling} if self._polling is not None else set()
                await asyncio.wait({stopping, replaced, *polling}, return_when=asyncio.FIRST_COMPLETED)
                replaced.cancel()
                self._replaced.clear()
                for ended in polling:
                    if ended.done() and ended is self._polling and not stopping.done():
                        ended.result()
        finally:
            stopping.cancel()

    async def _replace(self, settings: Settings) -> None:
        """Put a new generation in place of the old one, which serves until then."""
        old = self._generation
        if old is None or self._closed:
            raise ConfigError("The exporter does not run.")
        _refuse_what_needs_a_restart(self._settings.server, settings.server)
        self._refuse_silence(settings)
        web = self._web_source(settings)
        _refuse_change_of_tls(self._web, web)
        known = old.poller.state if _account(settings) == _account(old.settings) else None
        async with AsyncExitStack() as undo:
            new = await undo.enter_async_context(Generation(settings, self._environment, state=known))
            self._follow(None)
            await old.pause()
            undo.callback(lambda: self._follow(old.poll()))
            if old.snapshot is not None and _asked(settings) == _asked(old.settings):
                await new.publish(old.snapshot)
            else:
                await new.poller.poll_once()
            undo.pop_all()
        self._settings, self._web, self._generation = settings, web, new
        self._site = self._site_of(new)
        self.telemetry.configured(poll_interval=settings.poll.interval)
        self._configured(settings)
        self._follow(new.poll())
        await old.replaced()

    def _refuse_silence(self, settings: Settings) -> None:
        if not self._serve and not settings.otlp.enabled:
            raise ConfigError(
                "otlp.enabled: expected true, as --no-serve leaves nothing but pushes, found false."
            )

    def _follow(self, polling: asyncio.Task[None] | None) -> None:
        """Watch this task from now on."""
        self._polling = polling
        self._replaced.set()

    def _web_source(self, settings: Settings) -> WebSource | None:
        path = settings.server.web_config_file
        if path is None:
            return None
        return WebSource(path, telemetry=self.telemetry, clock=self._clock)

    def _listening(self) -> Listening:
        server = self._settings.server
        return Listening(application(self._current_site), host=server.host, port=server.port, tls=self._tls())

    def _tls(self) -> ssl.SSLContext | None:
        if self._web is None or not self._web.encrypted:
            return None
        return reloading_context(self._current_context)

    def _current_context(self) -> ssl.SSLContext:
        if self._web is None:
            raise ConfigError("server.web_config_file: expected TLS, found none.")
        return self._web.context()

    def _current_site(self) -> Site:
        if self._site is None:
            raise RuntimeError("Nothing is served before the first generation.")
        return self._site

    def _site_of(self, generation: Generation) -> Site:
        server = generation.settings.server
        shown = masked(generation.settings)
        return Site(
            pages=generation.exposition,
            tail=self.telemetry,
            telemetry=self.telemetry,
            unready=generation.unready,
            landing=generation.landing,
            config=lambda: shown,
            reload=self.reload if server.enable_reload else None,
            middlewares=middlewares(server, source=self._web, clock=self._clock, visitors=self._visitors),
        )

    async def _close(self) -> None:
        """Give up a reading that is under way, then stop polling."""
        for task in self._hang_ups:
            task.cancel()
        async with self._reloading:
            self._closed = True
            if self._generation is not None:
                await self._generation.__aexit__(None, None, None)


def _refuse_what_needs_a_restart(before: ServerSettings, after: ServerSettings) -> None:
    if (before.host, before.port) != (after.host, after.port):
        raise ConfigError("server.host, server.port: expected as they were, found others; restart for them.")


def _refuse_change_of_tls(before: WebSource | None, after: WebSource | None) -> None:
    if (before is not None and before.encrypted) != (after is not None and after.encrypted):
        raise ConfigError("server.web_config_file: expected TLS as it was, found a change; restart for it.")


def _account(settings: Settings) -> object:
    """Return what tells one deployment's numbers from another's, as this account may see them."""
    return settings.coder.url, settings.coder.token, settings.filters


def _asked(settings: Settings) -> object:
    """Return all that a snapshot's contents hang on."""
    manners = replace(settings.coder, concurrency=1, retries=0)
    return manners, settings.filters, settings.insights, settings.agent_stats
