"""Pickles, length-prefixed on pipes, between a worker process and its owner.

The owner unpickles only classes of this package, NumPy arrays and plain containers: a worker that
a hostile file has taken over must not be able to run code in the owner.
"""

from __future__ import annotations

import builtins
import copyreg
import importlib
import io
import pickle
import struct
from typing import Any, BinaryIO

_HEADER = struct.Struct("<Q")
_SAFE_BUILTINS = frozenset(
    ["set", "frozenset", "complex", "slice", "range", "bytearray", "tuple", "list", "dict"]
)
_NUMPY_NAMES = frozenset(
    ["_reconstruct", "ndarray", "dtype", "scalar", "_frombuffer", "_unpickle_array"]
)


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        root = module.split(".")[0]
        if root == "blobsmith" and "." not in name:
            found = getattr(importlib.import_module(module), name)
            if isinstance(found, type) or name == "_rebuild":
                return found
        if root == "numpy" and name in _NUMPY_NAMES:
            return super().find_class(module, name)
        if module == "builtins":
            found = getattr(builtins, name, None)
            is_error = isinstance(found, type) and issubclass(found, BaseException)
            if name in _SAFE_BUILTINS or is_error:
                return found
        if (module, name) in {
            ("pathlib", "PosixPath"),
            ("pathlib._local", "PosixPath"),
            ("pathlib", "Path"),
            ("collections", "OrderedDict"),
            ("collections", "Counter"),
        }:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"a worker sent {module}.{name}, which is not expected")


def send(stream: BinaryIO, value: object) -> None:
    """Writes one value and flushes."""
    data = dump(value)
    stream.write(_HEADER.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: BinaryIO, *, trusted: bool) -> Any:
    """Reads one value.

    Args:
        stream: a binary stream.
        trusted: True in the worker (its owner is trusted), False in the owner.

    Raises:
        EOFError: the other side closed or died.
        pickle.UnpicklingError: an untrusted value holds something unexpected.
    """
    header = _read(stream, _HEADER.size)
    (size,) = _HEADER.unpack(header)
    data = _read(stream, size)
    return pickle.loads(data) if trusted else load(data)


def dump(value: object) -> bytes:
    """One value as bytes, errors in it without their tracebacks."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=pickle.HIGHEST_PROTOCOL)
    # Dask registers a form of exceptions that only code of its own can read
    pickler.dispatch_table = {
        kind: reduce
        for kind, reduce in copyreg.dispatch_table.items()
        if not issubclass(kind, BaseException)
    }
    pickler.dump(value)
    return stream.getvalue()


def load(data: bytes) -> Any:
    """A value that is not trusted.

    Raises:
        pickle.UnpicklingError: it holds something unexpected.
    """
    return _SafeUnpickler(io.BytesIO(data)).load()


def _read(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("the other side closed the channel")
    return data
