"""Processes with limits, in which untrusted files meet native code.

Everything that parses or runs a file somebody else made (ONNX parsing, shape inference,
simplification, ONNX Runtime, the MyriadX compiler) runs through `default_executor`, or any other
`concurrent.futures.Executor` that the caller passes in its place.
"""

from .inline import InlineExecutor
from .pool import (
    DEFAULT_MEMORY,
    DEFAULT_TIMEOUT,
    LimitedExecutor,
    default_executor,
    limits_from_environment,
)
from .telling import tell

__all__ = [
    "DEFAULT_MEMORY",
    "DEFAULT_TIMEOUT",
    "InlineExecutor",
    "LimitedExecutor",
    "default_executor",
    "limits_from_environment",
    "tell",
]
