"""What a user's function returns, as a flat list of tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import SourceError


def flatten_outputs(value: Any) -> list[Any]:
    """The tensors in what a function returned, in order; None is left out.

    Tuples, lists, dicts and dataclasses may be nested.

    Raises:
        SourceError: it holds something that is no tensor, or no tensor at all.
    """
    return [tensor for _, tensor in named_outputs(value)]


def named_outputs(value: Any) -> list[tuple[str, Any]]:
    """As `flatten_outputs`, with the key of a dict, named tuple or dataclass, "" elsewhere.

    Raises:
        SourceError: see `flatten_outputs`.
    """
    found = list(_walk("", value, ""))
    if not found:
        raise SourceError(
            "the function returns no tensor",
            remedy="return a tensor, or a tuple or dict of tensors",
        )
    return found


def _walk(key: str, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    import torch

    if value is None:
        return
    if isinstance(value, torch.Tensor):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(str(name), item, f"{path}[{name!r}]")
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for name, item in zip(value._fields, value, strict=True):
            yield from _walk(name, item, f"{path}.{name}")
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            yield from _walk("", item, f"{path}[{index}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from _walk(item.name, getattr(value, item.name), f"{path}.{item.name}")
    else:
        kind = type(value).__name__
        where = f"the returned value{path}"
        raise SourceError(
            f"the function returns a {kind} ({str(value)[:40]}) where a tensor is needed",
            where=where,
            remedy="return tensors only: a Python number is decided while exporting, and is the "
            "same for every frame",
        )
