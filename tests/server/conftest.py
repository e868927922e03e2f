"""A real server on a free port, with real workers or with jobs that the test ends itself."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from blobsmith.server.listen import address, bind, serve
from blobsmith.server.settings import Settings
from tests import graphs


class HeldPool:
    """Jobs that run for as long as the test wants."""

    def __init__(self) -> None:
        self.jobs: list[Future[Any]] = []
        self.abandoned: list[Future[Any]] = []
        self.arguments: list[tuple[Any, ...]] = []
        self.changed = threading.Condition()

    def start(self, prepare: str = "") -> None:
        pass

    def submit_telling(
        self, progress: Callable[[str], None], fn: Callable[..., Any], /, *args: Any
    ) -> Future[Any]:
        progress("begun")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self.changed:
            self.jobs.append(future)
            self.arguments.append(args)
            self.changed.notify_all()
        return future

    def abandon(self, future: Future[Any]) -> None:
        with self.changed:
            self.abandoned.append(future)
            self.changed.notify_all()
        future.set_exception(RuntimeError("abandoned"))

    def stop(self) -> None:
        for future in self.jobs:
            if not future.done():
                future.set_exception(RuntimeError("stopped"))

    def wait_for(self, met: Callable[[HeldPool], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: met(self), 60)


@dataclass
class Served:
    """A running server."""

    url: str
    port: int
    told: list[str] = field(default_factory=list)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120, trust_env=False, **options)


@contextlib.contextmanager
def served(settings: Settings, pool: Any = None) -> Iterator[Served]:
    """Runs a server in a thread until the block ends."""
    settings = replace(settings, port=0)
    bound = bind(settings)
    running: list[Any] = []
    ready = threading.Event()
    found = Served(address(bound, settings), bound.getsockname()[1])

    def run() -> None:
        serve(
            settings, bound, ready=ready.set, log=found.told.append, pool=pool,
            handle=running.append,
        )  # fmt: skip

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        assert ready.wait(60)
        yield found
    finally:
        running[0].should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def server(toolchain: Path) -> Iterator[Served]:
    """One server with real workers for all tests that only ask it; nothing may go wrong in it."""
    with served(Settings(max_upload=1 << 20)) as running:
        yield running
    assert running.told == []


@pytest.fixture
def ask(server: Served) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture(scope="session")
def relu() -> bytes:
    data: bytes = graphs.one("Relu").SerializeToString()
    return data
