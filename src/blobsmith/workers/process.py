"""One worker process with limits, as its owner sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import IO, Any, BinaryIO, cast

from ..errors import EnvironmentFault
from .channel import receive, send

_CRASHED = "the file may be damaged or too large; memory is limited by BLOBSMITH_MEMORY (bytes)"
_KILLED = "something ended it, such as a system short of memory: free some, and run it again"
_START = "from blobsmith.workers.child import main; main()"


class WorkerFault(EnvironmentFault):
    """An unexpected exception inside a worker; `detail` holds the worker's traceback."""

    code = "internal"
    detail = ""

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"detail": self.detail})


class Worker:
    """One child process; used by one thread at a time."""

    def __init__(self, memory: int, prepare: str = "", *, folder: str | None = None) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        # Its temporary files have a folder of their own: a child that is killed removes none.
        self._scratch = tempfile.TemporaryDirectory(  # closed in close()
            prefix="blobsmith-worker-", dir=folder, ignore_cleanup_errors=True
        )
        environment = dict(os.environ, PYTHONSAFEPATH="1", TMPDIR=self._scratch.name)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(memory), *([prepare] if prepare else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            start_new_session=True,
        )
        self._jobs = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._timed_out = False
        self._ready = False

    def call(
        self, job: tuple[Any, ...], timeout: float, progress: Callable[[str], None] | None = None
    ) -> Any:
        timer = threading.Timer(timeout, self._expire)
        timer.daemon = True
        timer.start()
        try:
            if not self._ready:
                receive(self._answers, trusted=False)
                self._ready = True
            send(self._jobs, job)
            kind, value = receive(self._answers, trusted=False)
            while kind == "progress":
                if progress is not None:
                    progress(str(value)[:200])
                kind, value = receive(self._answers, trusted=False)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.kill()
            self._process.wait()
            raise self._death(error, timeout) from error
        finally:
            timer.cancel()
        if kind == "value":
            return value
        if kind == "error":
            raise value
        name, text, trace = value
        fault = WorkerFault(
            f"{name}: {text}".strip(), remedy="run again with --debug and report the traceback"
        )
        fault.detail = trace
        raise fault

    def _death(self, error: Exception, timeout: float) -> EnvironmentFault:
        if self._timed_out:
            return EnvironmentFault(
                f"a step took longer than {timeout:g} s and was stopped",
                remedy="make the model smaller, or set BLOBSMITH_TIMEOUT (seconds) higher",
            )
        if isinstance(error, pickle.UnpicklingError):
            return EnvironmentFault(str(error), remedy="do not trust the file that was read")
        code = self._process.returncode
        self._log.seek(0)
        lines = self._log.read()[-2000:].decode(errors="replace").strip().splitlines()
        reason = _signal_name(-code) if code < 0 else f"exit code {code}"
        return EnvironmentFault(
            f"a worker process died ({reason})",
            where=lines[-1] if lines else "",
            remedy=_KILLED if code == -9 else _CRASHED,
        )

    def _expire(self) -> None:
        self._timed_out = True
        self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:  # Windows has no groups of processes
                self._process.kill()

    def close(self) -> None:
        # It is idle or dead, so it holds nothing that an orderly end would save; unloading the
        # compiler would only keep the owner waiting.
        self.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._jobs.close()
        self._answers.close()
        self._log.close()
        self._scratch.cleanup()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
