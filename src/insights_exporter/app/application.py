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

from insights_exporter.app.logging_telemetry import LoggingTelemetry
from insights_exporter.app.runtime import Dependencies, Runtime
from insights_exporter.clock import Clock, SystemClock
from insights_exporter.config import redacted_dump
from insights_exporter.config.settings import ServerSettings, Settings
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor, secret_sources
from insights_exporter.otlp import SelfMetricsSource
from insights_exporter.server import AppContext, HttpServer, create_app
from insights_exporter.server.auth import AuthState, WebConfigReloader, create_middlewares, reloading_context

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
        on_reload: Callable[[Settings], None] = lambda _: None,
        serve_http: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self._load = load or (lambda: settings)
        self._on_reload = on_reload
        self._serve_http = serve_http
        self._clock = clock or SystemClock()
        self.telemetry = LoggingTelemetry(poll_interval=settings.poll.interval)
        self._dependencies = Dependencies(
            clock=self._clock,
            random=Random(),
            telemetry=self.telemetry,
            self_metrics=SelfMetricsSource(self.telemetry.samples, self._clock.now()),
        )
        self._settings = settings
        self._web_config = self._create_web_config(settings)
        self._auth_state = AuthState()
        self._app_context: AppContext | None = None
        self._runtime: Runtime | None = None
        self._reload_lock = asyncio.Lock()
        self._sighup_tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._poll_task: asyncio.Task[None] | None = None
        self._poll_task_changed = asyncio.Event()
        self.address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Poll and serve until told to stop; raise what ended the polling if it was a fault."""
        self._require_serving_or_push(self._settings)
        async with AsyncExitStack() as stack:
            stack.callback(self.telemetry.shutdown)
            async with self._reload_lock:
                self._runtime = await Runtime(self._settings, self._dependencies).__aenter__()
                stack.push_async_callback(self._close)
                self._app_context = self._create_app_context(self._runtime)
            self.telemetry.config_reloaded(success=True, at=self._clock.now())
            address = ""
            if self._serve_http:
                http_server = await stack.enter_async_context(self._create_server())
                address = http_server.url
                logger.info("Listening.", extra={"address": address})
            self.address.set_result(address)
            self._watch_task(self._runtime.start_polling())
            await self._supervise(stop)
            logger.info("Stopping.")

    async def reload(self) -> None:
        """Read the configuration anew and replace all at once; raise ConfigError and change nothing."""
        async with self._reload_lock:
            try:
                await self._swap_runtime(await asyncio.to_thread(self._load))
            except ConfigError as error:
                self.telemetry.config_reloaded(success=False, at=self._clock.now())
                extra = {"why": str(error)}
                logger.error("The configuration stays as it was.", extra=extra)
                # What stands in a wrong place may be a secret, and the text is shown to who asked.
                raise ConfigError(Redactor(secret_sources(self._settings))(str(error))) from None
            self.telemetry.config_reloaded(success=True, at=self._clock.now())

    def install_signal_handlers(self, stop: asyncio.Event) -> None:
        """Stop on SIGTERM and SIGINT, and read the configuration anew on SIGHUP."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, stop.set)

        def on_sighup() -> None:
            task = asyncio.ensure_future(self._reload_on_sighup())
            self._sighup_tasks.add(task)
            task.add_done_callback(self._sighup_tasks.discard)

        loop.add_signal_handler(signal.SIGHUP, on_sighup)

    async def _reload_on_sighup(self) -> None:
        try:
            await self.reload()
        except ConfigError:
            return  # It is in the log already.

    async def _supervise(self, stop: asyncio.Event) -> None:
        """Wait for the word to stop; a fault of the polling that nobody foresaw ends the process."""
        stop_task = asyncio.create_task(stop.wait())
        try:
            while not stop_task.done():
                change_task = asyncio.create_task(self._poll_task_changed.wait())
                poll_tasks = {self._poll_task} if self._poll_task is not None else set()
                await asyncio.wait({stop_task, change_task, *poll_tasks}, return_when=asyncio.FIRST_COMPLETED)
                change_task.cancel()
                self._poll_task_changed.clear()
                for task in poll_tasks:
                    if task.done() and task is self._poll_task and not stop_task.done():
                        task.result()
        finally:
            stop_task.cancel()

    async def _swap_runtime(self, settings: Settings) -> None:
        """Put a new generation in place of the old one, which serves until then."""
        old = self._runtime
        if old is None or self._closed:
            raise ConfigError("The exporter does not run.")
        _require_same_address(self._settings.server, settings.server)
        self._require_serving_or_push(settings)
        web_config = self._create_web_config(settings)
        _require_same_tls_mode(self._web_config, web_config)
        state = (
            old.poller.state if _account_fingerprint(settings) == _account_fingerprint(old.settings) else None
        )
        async with AsyncExitStack() as rollback:
            new = await rollback.enter_async_context(Runtime(settings, self._dependencies, state=state))
            self._watch_task(None)
            await old.stop_polling()
            rollback.callback(lambda: self._watch_task(old.start_polling()))
            if old.snapshot is not None and _fetch_fingerprint(settings) == _fetch_fingerprint(old.settings):
                await new.publish(old.snapshot)
            else:
                await new.poller.poll_once()
            rollback.pop_all()
        self._settings, self._web_config, self._runtime = settings, web_config, new
        self._app_context = self._create_app_context(new)
        self.telemetry.config_applied(poll_interval=settings.poll.interval)
        self._on_reload(settings)
        self._watch_task(new.start_polling())
        await old.retire()

    def _require_serving_or_push(self, settings: Settings) -> None:
        if not self._serve_http and not settings.otlp.enabled:
            raise ConfigError(
                "otlp.enabled: expected true, as --no-serve leaves nothing but pushes, found false."
            )

    def _watch_task(self, poll_task: asyncio.Task[None] | None) -> None:
        """Watch this task from now on."""
        self._poll_task = poll_task
        self._poll_task_changed.set()

    def _create_web_config(self, settings: Settings) -> WebConfigReloader | None:
        path = settings.server.web_config_file
        if path is None:
            return None
        return WebConfigReloader(path, telemetry=self.telemetry, clock=self._clock)

    def _create_server(self) -> HttpServer:
        server = self._settings.server
        return HttpServer(
            create_app(self._current_app_context),
            host=server.host,
            port=server.port,
            tls=self._create_tls_context(),
        )

    def _create_tls_context(self) -> ssl.SSLContext | None:
        if self._web_config is None or not self._web_config.uses_tls:
            return None
        return reloading_context(self._current_tls_context)

    def _current_tls_context(self) -> ssl.SSLContext:
        if self._web_config is None:
            raise ConfigError("server.web_config_file: expected TLS, found none.")
        return self._web_config.context()

    def _current_app_context(self) -> AppContext:
        if self._app_context is None:
            raise RuntimeError("Nothing is served before the first generation.")
        return self._app_context

    def _create_app_context(self, runtime: Runtime) -> AppContext:
        server = runtime.settings.server
        redacted_config = redacted_dump(runtime.settings)
        return AppContext(
            metrics_body=runtime.exposition,
            self_metrics=self.telemetry,
            telemetry=self.telemetry,
            not_ready_reason=runtime.not_ready_reason,
            landing_page=runtime.landing_page,
            config=lambda: redacted_config,
            reload=self.reload if server.enable_reload else None,
            middlewares=create_middlewares(
                server, config_reloader=self._web_config, clock=self._clock, auth_state=self._auth_state
            ),
        )

    async def _close(self) -> None:
        """Give up a reading that is under way, then stop polling."""
        for task in self._sighup_tasks:
            task.cancel()
        async with self._reload_lock:
            self._closed = True
            if self._runtime is not None:
                await self._runtime.__aexit__(None, None, None)


def _require_same_address(current: ServerSettings, new: ServerSettings) -> None:
    if (current.host, current.port) != (new.host, new.port):
        raise ConfigError("server.host, server.port: expected as they were, found others; restart for them.")


def _require_same_tls_mode(current: WebConfigReloader | None, new: WebConfigReloader | None) -> None:
    if (current is not None and current.uses_tls) != (new is not None and new.uses_tls):
        raise ConfigError("server.web_config_file: expected TLS as it was, found a change; restart for it.")


def _account_fingerprint(settings: Settings) -> object:
    """Return what tells one deployment's numbers from another's, as this account may see them."""
    return settings.coder.url, settings.coder.token, settings.filters


def _fetch_fingerprint(settings: Settings) -> object:
    """Return all that a snapshot's contents hang on."""
    coder_settings = replace(settings.coder, concurrency=1, retries=0)
    return coder_settings, settings.filters, settings.insights, settings.agent_stats
