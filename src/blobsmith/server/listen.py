"""Runs the server until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from ..errors import EnvironmentFault
from .app import create_app
from .desk import Pool
from .gate import Gate
from .guard import Application
from .settings import Settings

_BACKLOG = 128
_MOST_CONNECTIONS = 256


def bind(settings: Settings) -> socket.socket:
    """The socket that the server will listen on.

    Raises:
        EnvironmentFault: the port is taken, or the host is not this machine's.
    """
    where = f"{settings.host}:{settings.port}"
    bound: socket.socket | None = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise EnvironmentFault(
            f"nothing can listen there: {error.strerror or error}",
            where=where,
            remedy="give another --port (0: any that is free), or a --host of this machine",
        ) from error
    return bound


def address(bound: socket.socket, settings: Settings) -> str:
    """The address of the page."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{bound.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Ends running jobs before it waits for the connections that they hold open."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], gate: Gate, pool: Pool
    ) -> None:
        super().__init__(config)
        self._ready, self._gate, self._pool = ready, gate, pool

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gate.close()
        await asyncio.to_thread(self._pool.stop)
        await super().shutdown(sockets)


def serve(
    settings: Settings,
    bound: socket.socket,
    *,
    ready: Callable[[], None] = lambda: None,
    log: Callable[[str], None] = lambda _: None,
    pool: Pool | None = None,
    handle: Callable[[uvicorn.Server], None] = lambda _: None,
) -> None:
    """Listens until SIGINT or SIGTERM, then ends all jobs and removes everything temporary.

    Args:
        settings: the limits, and who may ask.
        bound: what `bind` returned.
        ready: called when requests are answered.
        log: told what fails that is no client's fault.
        pool: where jobs run; None: workers with the settings' limits.
        handle: called with the running server; setting its `should_exit` ends it from a thread.
    """
    from ..workers import LimitedExecutor

    jobs = pool or LimitedExecutor(settings.jobs, timeout=settings.timeout, memory=settings.memory)
    logging.getLogger("uvicorn.error").addHandler(handler := _Telling(log))
    try:
        with tempfile.TemporaryDirectory(
            prefix="blobsmith-serve-", ignore_cleanup_errors=True
        ) as folder:
            gate = Gate(settings.jobs, settings.waiting)
            app = create_app(settings, Path(folder), pool=jobs, gate=gate, log=log)
            server = _Server(_config(app), ready, gate, jobs)
            handle(server)
            with _quiet_end():
                server.run(sockets=[bound])
    finally:
        jobs.stop()
        bound.close()
        logging.getLogger("uvicorn.error").removeHandler(handler)


def _config(app: Application) -> uvicorn.Config:
    return uvicorn.Config(
        app, log_config=None, log_level="error", access_log=False, server_header=False, http="h11",
        ws="none", loop="asyncio", lifespan="on", limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=5, timeout_keep_alive=5, proxy_headers=False,
    )  # fmt: skip


class _Telling(logging.Handler):
    """Hands what the ASGI server logs (its own faults and ours, with tracebacks) to a function."""

    def __init__(self, log: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log(self.format(record))


@contextmanager
def _quiet_end() -> Iterator[None]:
    """uvicorn raises the signal again that ended it: here that is the end that was asked for."""

    def nothing(_: int, __: FrameType | None) -> None:
        pass

    try:
        before = signal.signal(signal.SIGTERM, nothing)
    except ValueError:  # not the main thread: it gets no signals
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
