"""The user's function as something to call with one tensor an input."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .outputs import flatten_outputs


class UserFunction:
    """A module or callable with the inputs it is given, in evaluation mode.

    Args:
        target: the user's nn.Module or callable.
        names: names of the inputs in the order in which tensors are given.
        keywords: those of them that are passed by keyword.

    Attributes:
        target: as given, or a float32 copy on the CPU if it holds other floats.
        converted: whether it is such a copy.
    """

    def __init__(self, target: Any, names: Sequence[str], keywords: Sequence[str] = ()) -> None:
        self._given = target
        self.target, self.converted = _as_float32(target)
        self.names = tuple(names)
        self.keywords = frozenset(keywords)

    def settle(self, tensors: Sequence[Any]) -> None:
        """Takes the target as it was given where it runs so, and its float32 copy does not.

        A function that converts its input to a buffer's float64 runs with float64 alone.
        """
        if not self.converted:
            return
        with self.inference(), contextlib.redirect_stdout(sys.stderr):
            try:
                self.raw(*tensors)
            except Exception:
                copy, self.target = self.target, self._given
                try:
                    self.raw(*tensors)
                    self.converted = False
                except Exception:  # it is told of the copy
                    self.target = copy

    def raw(self, *tensors: Any) -> Any:
        """Calls the user's function as it is; returns what it returns."""
        given = list(zip(self.names, tensors, strict=True))
        positional = [value for name, value in given if name not in self.keywords]
        named = {name: value for name, value in given if name in self.keywords}
        return self.target(*positional, **named)

    def __call__(self, *tensors: Any) -> tuple[Any, ...]:
        """Runs it without gradients in evaluation mode: a tuple of float32 tensors.

        Raises:
            SourceError: it returns something that is no tensor.
        """
        with self.inference():
            return tuple(value.float() for value in flatten_outputs(self.raw(*tensors)))

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """Evaluation mode, no gradients, parameters that need none; all restored afterwards.

        One core is left to the worker that prepares itself or computes meanwhile: with as many
        threads as cores, each waits at every operator for the one that has to share.
        """
        import torch

        modules = [m for root in modules_of(self.target) for m in root.modules()]
        threads = torch.get_num_threads()
        training = [(m, m.training) for m in modules]
        wanting = [p for m in modules for p in m.parameters(recurse=False) if p.requires_grad]
        try:
            for module in modules:
                module.training = False
            for parameter in wanting:
                parameter.requires_grad_(False)
            torch.set_num_threads(max(min(threads, (os.cpu_count() or 1) - 1), 1))
            with torch.no_grad():
                yield
        finally:
            torch.set_num_threads(threads)
            for module, was in training:
                module.training = was
            for parameter in wanting:
                parameter.requires_grad_(True)


def modules_of(target: Any) -> list[Any]:
    """The modules that a callable holds: itself, its closure, defaults, partial arguments, globals.

    A module kept in a closure is no submodule of anything, yet its parameters must be frozen too.
    """
    import torch

    found: dict[int, Any] = {}
    seen: set[int] = set()

    def visit(item: Any, depth: int) -> None:
        if id(item) in seen or depth > 3:
            return
        seen.add(id(item))
        if isinstance(item, torch.nn.Module):
            found[id(item)] = item
        elif isinstance(item, functools.partial):
            for inner in (item.func, *item.args, *item.keywords.values()):
                visit(inner, depth + 1)
        elif isinstance(item, (list, tuple)):
            for inner in item:
                visit(inner, depth + 1)
        elif inspect.ismethod(item):
            visit(item.__self__, depth + 1)
            visit(item.__func__, depth + 1)
        elif inspect.isfunction(item):
            for inner in _held(item):
                visit(inner, depth + 1)

    visit(target, 0)
    return list(found.values())


def _held(function: Callable[..., Any]) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    names = function.__code__.co_names
    yield from (function.__globals__[n] for n in names if n in function.__globals__)


def _as_float32(target: Any) -> tuple[Any, bool]:
    """A float32 copy on the CPU of a module that holds other floats; others as they are."""
    import copy

    import torch

    if not isinstance(target, torch.nn.Module):
        return target, False
    tensors = [*target.parameters(), *target.buffers()]
    other = [
        t
        for t in tensors
        if (t.is_floating_point() and t.dtype != torch.float32) or t.device.type != "cpu"
    ]
    if not other:
        return target, False
    return copy.deepcopy(target).cpu().float(), True
