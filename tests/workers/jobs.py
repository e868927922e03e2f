"""What the worker tests run in a worker."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
import time

import numpy as np

from blobsmith.errors import OperatorError
from blobsmith.workers import tell


def add(a: int, b: int) -> int:
    return a + b


def pid() -> int:
    return os.getpid()


def double(array: np.ndarray) -> np.ndarray:
    return array * 2


def refuse() -> None:
    raise OperatorError("no such operator", where="node n", remedy="another")


def fail() -> None:
    raise RuntimeError("by accident")


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def tell_and_sleep(seconds: float) -> None:
    tell("begun")
    time.sleep(seconds)


def tell_a_file_and_sleep(seconds: float) -> None:
    handle, path = tempfile.mkstemp()
    os.close(handle)
    tell(path)
    time.sleep(seconds)


def allocate(size: int) -> int:
    return len(bytearray(size))


def crash() -> None:
    ctypes.string_at(0)


def chatter() -> str:
    os.write(1, b"native libraries print here\n")
    print("and Python here")
    return "answer"


prepared = False


def prepare() -> None:
    global prepared
    prepared = True


def is_prepared() -> bool:
    return prepared


def fill_the_disk() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/some.file")


def load_a_library_too_many() -> None:
    raise ImportError("x.so: failed to map segment from shared object")


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("true",))


def hostile() -> object:
    return Hostile()


def count(steps: int) -> int:
    for step in range(steps):
        tell(f"step {step}")
    return steps


def tell_pid_and_sleep() -> None:
    tell(str(os.getpid()))
    time.sleep(300)


def read(path: str) -> tuple[str, str]:
    with open(path) as file:
        return path, file.read()


def hang_once(path: str) -> str:
    """Hangs, after it wrote the ids of its owner and itself to a file; answers if there is one."""
    try:
        with open(path, "x") as file:
            file.write(f"{os.getppid()} {os.getpid()}\n")
    except FileExistsError:
        return "again"
    time.sleep(300)
    return "never"


def versions() -> dict[str, str]:
    return {"the weather": os.environ.get("WEATHER", "fair")}
