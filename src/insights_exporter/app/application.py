"""The application: settings, the current runtime, the HTTP server, signals and reloads."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from random import Random

import structlog

from insights_exporter.app.logging_telemetry import LoggingTelemetry
from insights_exporter.app.runtime import Dependencies, Runtime
from insights_exporter.clock import Clock, SystemClock
from insights_exporter.config.secret_settings import redacted_dump
from insights_exporter.config.settings import ServerSettings, Settings
from insights_exporter.errors import ConfigError
from insights_exporter.logging import Redactor, secret_sources
from insights_exporter.metrics.self_metrics import SelfMetrics
from insights_exporter.otlp import SelfMetricsSource
from insights_exporter.server import AppContext, HttpServer, create_app
from insights_exporter.server.auth import AuthState, WebConfigReloader, create_middlewares, reloading_context
from insights_exporter.telemetry import FanOutTelemetry, Telemetry

__all__ = ["Application"]

logger = structlog.stdlib.get_logger(__name__)


class Application:
    """Polls Coder, serves and pushes metrics, and reloads its configuration.

    ``load`` reads the configuration again for a reload; by default a reload keeps the settings. ``on_reload``
    is called with the settings after each successful reload. ``run`` raises ConfigError if the settings
    cannot be used. A reload that fails leaves the running configuration unchanged.
    """

    def __init__(  # noqa: PLR0913  # Clock, random numbers and telemetry are injected.
        self,
        settings: Settings,
        *,
        load: Callable[[], Settings] | None = None,
        on_reload: Callable[[Settings], None] = lambda _: None,
        serve_http: bool = True,
        metrics_path: str = "/metrics",
        clock: Clock | None = None,
    ) -> None:
        self._load = load or (lambda: settings)
        self._on_reload = on_reload
        self._serve_http = serve_http
        self._metrics_path = metrics_path
        self._clock = clock or SystemClock()
        self.self_metrics = SelfMetrics(
            poll_interval=settings.poll.interval, max_api_time_ratio=settings.poll.max_api_time_ratio
        )
        self.telemetry: Telemetry = FanOutTelemetry(self.self_metrics, LoggingTelemetry())
        self._dependencies = Dependencies(
            clock=self._clock,
            random=Random(),
            telemetry=self.telemetry,
            self_metrics=SelfMetricsSource(self.self_metrics.samples, self._clock.now()),
            metrics_path=metrics_path,
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
        """Poll and serve until ``stop`` is set; re-raise an exception that ended polling."""
        self._require_serving_or_push(self._settings)
        async with AsyncExitStack() as stack:
            stack.callback(self.self_metrics.shutdown)
            async with self._reload_lock:
                self._runtime = await Runtime(self._settings, self._dependencies).__aenter__()
                stack.push_async_callback(self._close)
                self._app_context = self._create_app_context(self._runtime)
            self.telemetry.config_reloaded(success=True, at=self._clock.now())
            address = ""
            if self._serve_http:
                http_server = await stack.enter_async_context(self._create_server())
                address = http_server.url
                logger.info("server started", address=address)
            self.address.set_result(address)
            self._watch_task(self._runtime.start_polling())
            await self._supervise(stop)
            logger.info("shutdown started")

    async def reload(self) -> None:
        """Load the configuration and swap the runtime; on failure raise ConfigError and change nothing."""
        async with self._reload_lock:
            try:
                await self._swap_runtime(await asyncio.to_thread(self._load))
            except ConfigError as error:
                self.telemetry.config_reloaded(success=False, at=self._clock.now())
                logger.error("config reload failed", error=str(error))  # noqa: TRY400  # An expected error.
                # The error may quote a secret from a wrong setting, and the HTTP response contains the error.
                raise ConfigError(Redactor(secret_sources(self._settings))(str(error))) from None
            self.telemetry.config_reloaded(success=True, at=self._clock.now())

    def install_signal_handlers(self, stop: asyncio.Event) -> None:
        """Set ``stop`` on SIGTERM and SIGINT; reload the configuration on SIGHUP."""
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
            return  # `reload` logged the error.

    async def _supervise(self, stop: asyncio.Event) -> None:
        """Wait for ``stop``; re-raise an exception of the poll task, which ends the process."""
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
        """Replace the runtime; the old one serves until the new one has data."""
        old = self._runtime
        if old is None or self._closed:
            raise ConfigError("expected a running exporter, got one that is starting or shutting down")
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
        self.telemetry.config_applied(
            poll_interval=settings.poll.interval, max_api_time_ratio=settings.poll.max_api_time_ratio
        )
        self._on_reload(settings)
        self._watch_task(new.start_polling())
        await old.retire()

    def _require_serving_or_push(self, settings: Settings) -> None:
        if not self._serve_http and not settings.otlp.enabled:
            raise ConfigError("otlp.enabled: expected true with --no-serve, got false")

    def _watch_task(self, poll_task: asyncio.Task[None] | None) -> None:
        """Supervise this poll task from now on."""
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
            create_app(self._current_app_context, metrics_path=self._metrics_path),
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
            raise ConfigError("server.web_config_file: expected TLS settings, got none")
        return self._web_config.context()

    def _current_app_context(self) -> AppContext:
        if self._app_context is None:
            raise RuntimeError("The server started before the runtime.")
        return self._app_context

    def _create_app_context(self, runtime: Runtime) -> AppContext:
        server = runtime.settings.server
        redacted_config = redacted_dump(runtime.settings)
        return AppContext(
            exposition=runtime.exposition,
            self_metrics=self.self_metrics.encode,
            telemetry=self.telemetry,
            not_ready_reason=runtime.not_ready_reason,
            landing_page=runtime.landing_page,
            config=lambda: redacted_config,
            reload=self.reload if server.enable_reload else None,
            middlewares=create_middlewares(
                server,
                config_reloader=self._web_config,
                clock=self._clock,
                auth_state=self._auth_state,
                metrics_path=self._metrics_path,
            ),
        )

    async def _close(self) -> None:
        """Cancel reloads that run, then close the runtime."""
        for task in self._sighup_tasks:
            task.cancel()
        async with self._reload_lock:
            self._closed = True
            if self._runtime is not None:
                await self._runtime.__aexit__(None, None, None)


def _require_same_address(current: ServerSettings, new: ServerSettings) -> None:
    if (current.host, current.port) != (new.host, new.port):
        raise ConfigError("server.host, server.port: expected no change during a reload; restart to apply it")


def _require_same_tls_mode(current: WebConfigReloader | None, new: WebConfigReloader | None) -> None:
    if (current is not None and current.uses_tls) != (new is not None and new.uses_tls):
        raise ConfigError(
            "server.web_config_file: expected TLS to stay on or off during a reload; restart to apply it"
        )


def _account_fingerprint(settings: Settings) -> object:
    """Return the settings that select the data; a reload with the same fingerprint keeps collected state."""
    return settings.coder.url, settings.coder.token, settings.filters


def _fetch_fingerprint(settings: Settings) -> object:
    """Return the settings that determine a snapshot; a reload with the same fingerprint reuses it."""
    coder_settings = settings.coder.model_copy(update={"concurrency": 1, "retries": 0})
    return coder_settings, settings.filters, settings.insights, settings.agent_stats
