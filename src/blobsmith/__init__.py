"""blobsmith: a PyTorch or Kornia function in, a checked MyriadX .blob out.

Everything heavy (numpy, onnx, cv2, torch) loads when it is first used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ._version import __version__

# ONNX Runtime 1.32 brought telemetry to Linux: a thread, a database in the home folder, and what
# it takes to send it. What is built offline stays so; whoever wants it sets the variable.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from .blob import Blob
    from .builder import BuildResult, build
    from .checker import check
    from .emulator import Emulator
    from .errors import BlobsmithError
    from .graph.simplify import simplify
    from .tensors import Decoding, InputRequest, TensorSpec

_HOMES = {
    "Blob": "blob",
    "BlobsmithError": "errors",
    "BuildResult": "builder",
    "Decoding": "tensors",
    "Emulator": "emulator",
    "InputRequest": "tensors",
    "TensorSpec": "tensors",
    "build": "builder",
    "check": "checker",
    "simplify": "graph.simplify",
}

__all__ = [
    "Blob",
    "BlobsmithError",
    "BuildResult",
    "Decoding",
    "Emulator",
    "InputRequest",
    "TensorSpec",
    "__version__",
    "build",
    "check",
    "simplify",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        import importlib

        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
