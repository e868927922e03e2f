"""One job for one client: it waits for its turn, runs in a worker, and ends if the client goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from ..errors import UsageError
from .gate import Gate, Ticket
from .settings import Settings
from .upload import Form, plain_name, read_form

T = TypeVar("T")


class Pool(Protocol):
    """What the server needs of a `workers.LimitedExecutor`."""

    def start(self, prepare: str = "") -> None:
        """Starts a worker ahead."""

    def submit_telling(
        self, progress: Callable[[str], None], fn: Callable[..., Any], /, *args: Any
    ) -> Future[Any]:
        """Schedules a job whose steps are heard."""

    def abandon(self, future: Future[Any]) -> None:
        """Ends a job that nobody waits for."""

    def stop(self) -> None:
        """Ends all jobs and workers."""


class Gone(Exception):
    """The client closed its connection."""


class Work:
    """A job on its way, from the arrived form to the worker's answer.

    Args:
        request: who asks; watched for going away.
        ticket: the request's place, given back when the worker is free again.
        form: with the client's file, which is read when the job's turn has come.
        file: the field that the file stands in.
        pool: where the job runs.
        job: called in a worker with the file's bytes, its name and `arguments`.
        arguments: of the job.
    """

    def __init__(
        self,
        request: Request,
        ticket: Ticket,
        form: Form,
        file: str,
        pool: Pool,
        job: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        self._request, self._ticket, self._form, self._file = request, ticket, form, file
        self._pool, self._job, self._arguments = pool, job, arguments
        self._steps: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._steps.put_nowait(None))

    async def result(self) -> Any:
        """The job's result.

        Raises:
            Gone: the client is no longer there.
            BlobsmithError: what the job raised.
        """
        try:
            return await self._task
        finally:
            self._task.cancel()

    async def steps(self) -> AsyncIterator[str]:
        """What the job says of its progress, until it has ended."""
        try:
            while (step := await self._steps.get()) is not None:
                yield step
        finally:
            self._task.cancel()

    async def _run(self) -> Any:
        watch = asyncio.create_task(_gone(self._request))
        handed = False
        try:
            async with self._form as form:
                await _before(watch, self._ticket.turn())
                upload = form.files[self._file]
                data = await upload.read()
            future = self._pool.submit_telling(
                self._hear, self._job, data, plain_name(upload.filename), *self._arguments
            )
            del data
            future.add_done_callback(self._free)
            handed = True
            try:
                return await _before(watch, asyncio.wrap_future(future))
            except Gone:
                raise
            except Exception:
                self._ticket.require_open()
                raise
            finally:
                if not future.done():
                    self._pool.abandon(future)
        finally:
            watch.cancel()
            if not handed:
                self._ticket.leave()

    def _hear(self, step: str) -> None:
        """Called in a thread of the pool."""
        self._loop.call_soon_threadsafe(self._steps.put_nowait, step)

    def _free(self, _: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and the gate with it
            self._loop.call_soon_threadsafe(self._ticket.leave)


class Desk:
    """Where requests become work.

    Args:
        settings: the limits.
        gate: who is let in.
        pool: where jobs run.
    """

    def __init__(self, settings: Settings, gate: Gate, pool: Pool) -> None:
        self.settings, self.gate, self._pool = settings, gate, pool

    async def begin(
        self,
        request: Request,
        read: Callable[[Form], tuple[str, Callable[..., Any], tuple[Any, ...]]],
    ) -> Work:
        """Takes a request in: its form is read, then its job is on its way.

        Args:
            request: a POST with a form.
            read: says which file of the form, which job, and which arguments; raises UsageError.

        Raises:
            Busy: there is no room.
            RequestFault: the form.
        """
        ticket = self.gate.enter()
        try:
            form = await read_form(request, self.settings)
            try:
                file, job, arguments = read(form)
                if file not in form.files:
                    raise UsageError(
                        f"the form has no file in its field {file!r}",
                        remedy="send it as curl -F model=@model.onnx does",
                    )
                return Work(request, ticket, form, file, self._pool, job, *arguments)
            except BaseException:
                await form.__aexit__(None, None, None)
                raise
        except BaseException:
            ticket.leave()
            raise


async def _gone(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _before(watch: asyncio.Task[None], awaited: Awaitable[T]) -> T:
    """What is awaited, unless the client goes away before."""
    task = asyncio.ensure_future(awaited)
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone
        return task.result()
    finally:
        task.cancel()
