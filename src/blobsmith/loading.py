"""What the user named as a source: read if it is a file, exported if it is a function."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import SourceError, UsageError
from .road import OnnxFile
from .tensors import InputRequest

if TYPE_CHECKING:
    from .model import Model

InputsLike = Mapping[str, "InputRequest | Sequence[int]"]
Progress = Callable[[str], None]


def requests_of(inputs: InputsLike | None) -> dict[str, InputRequest] | None:
    """Bare shapes as requests.

    Raises:
        UsageError: a shape is not a sequence of numbers.
    """
    return {name: _request(name, value) for name, value in (inputs or {}).items()} or None


def _request(name: str, value: InputRequest | Sequence[int]) -> InputRequest:
    if isinstance(value, InputRequest):
        return value
    try:
        shape = tuple(int(size) for size in value)
    except (TypeError, ValueError):
        raise UsageError(
            f"the shape of {name!r} is not a sequence of numbers", remedy="e.g. (1, 3, 300, 300)"
        ) from None
    return InputRequest(shape=shape)


def load_source(
    source: Any,
    requests: Mapping[str, InputRequest] | None,
    outputs: Sequence[str] | None,
    *,
    opset: int = 12,
    exporter: str = "auto",
    tell: Progress = lambda _: None,
) -> Model | OnnxFile:
    """What the user named: an .onnx file is only read here, a function is exported.

    Raises:
        SourceError: there is nothing of that name, or it cannot be exported.
    """
    if isinstance(source, (str, os.PathLike)) and str(source).lower().endswith(".onnx"):
        path = Path(source)
        source = (_read(path), path.name, str(path.resolve().parent))
    if isinstance(source, tuple):
        data, name, *folder = source
        wanted = tuple(outputs) if outputs else None
        return OnnxFile(data, name, requests, wanted, folder[0] if folder else None)
    tell("export")
    from . import sources

    return sources.load(source, inputs=requests, outputs=outputs, opset=opset, exporter=exporter)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.onnx")])
        raise SourceError(
            "there is no such file",
            where=str(path),
            remedy=f"did you mean {path.parent / near[0]}?" if near else "check the path",
        ) from None
    except OSError as error:
        raise SourceError(
            f"the file cannot be read: {error.strerror}", where=str(path), remedy="check the path"
        ) from error


def has_weights_elsewhere(loaded: Model | OnnxFile) -> bool:
    """Whether an .onnx names files of its own: their content is not part of a cache key.

    Found without parsing: protobuf writes the key "location" of an external tensor so.
    """
    return isinstance(loaded, OnnxFile) and b"\x0a\x08location" in loaded.data


def origin_of(loaded: Model | OnnxFile) -> str:
    """What a source is called in messages and in the manifest."""
    return loaded.name if isinstance(loaded, OnnxFile) else loaded.origin
