"""Watches the user's function while it is traced, and keeps the trace small and true.

Three things go wrong when PyTorch traces image code, and one mode mends them:

- Sizes are traced as tensors, so that `round(x.shape[2] / 2)` fails and every size becomes a chain
  of nodes. Shapes here are static: sizes are plain numbers.
- What depends on no input (a Gaussian kernel, a warp's grid, the inverse of a constant matrix) is
  traced operator by operator, often through ones that ONNX lacks. Here it is computed once.
- A Python `if` on pixel values is decided by the example and lost. Here its line is recorded.

Operators that ONNX lacks are replaced by the ones of `decompositions.py` on the way.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..errors import SourceError
from ..graph import lines
from .decompositions import DECOMPOSITIONS
from .spectrum import FORWARD, Spectrum

_MARK = "_blobsmith_live"
_CONSTANT_KINDS = ("prim::Constant", "prim::TracedAttr", "prim::GetAttr")
_T = torch.Tensor
_SIZES: frozenset[Any] = frozenset(
    (_T.shape.__get__, _T.size, _T.numel, _T.nelement, _T.__len__, torch.numel)
)
_VALUES: frozenset[Any] = frozenset(
    (
        *(_T.__bool__, _T.__int__, _T.__float__, _T.__index__, _T.item, _T.tolist, _T.numpy),
        *(_T.__contains__, _T.__array__, _T.is_nonzero, torch.is_nonzero, torch.equal),
        *(torch.allclose, _T.equal, _T.allclose),
    )
)
_GROWING: frozenset[Any] = frozenset(
    (
        *(torch.nonzero, _T.nonzero, torch.argwhere, _T.argwhere, torch.unique, _T.unique),
        *(torch.unique_consecutive, _T.unique_consecutive, torch.bincount, _T.bincount),
        *(torch.masked_select, _T.masked_select),
    )
)
_AS: frozenset[Any] = frozenset((_T.to, _T.type_as, _T.expand_as, _T.view_as, _T.reshape_as))
"""What gives its first argument the type or size of the second, whatever its values."""


class StaticTrace(TorchFunctionMode):
    """Active around the user's function during an export.

    Args:
        inputs: the tensors that stand for the model's inputs.
        differentiable: tell the function that its inputs require gradients. Many functions then
            make new tensors where else they write into parts of one, which the trace loses.

    Attributes:
        decisions: where Python read a value that depends on an input: (line, in the user's own
            code rather than a library's).
    """

    def __init__(self, inputs: tuple[Any, ...], *, differentiable: bool = False) -> None:
        super().__init__()
        self._differentiable = differentiable
        self.decisions: dict[tuple[lines.SourceLine, bool], None] = {}
        for tensor in inputs:
            setattr(tensor, _MARK, True)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _SIZES:
            with _paused():
                return func(*args, **kwargs)
        if any(isinstance(a, Spectrum) for a in args) or func in FORWARD:
            return self._transformed(func, types, args, kwargs)
        if self._differentiable and func == _T.requires_grad.__get__ and _is_live(args[0]):
            return True
        live = any(_is_live(t) for t in _tensors(_read(func, args, kwargs)))
        if func in _VALUES:
            if live:
                self._decision()
            with _paused():
                return func(*args, **kwargs)
        if not live:
            with _paused():
                return func(*args, **kwargs)
        if _grows(func, args):
            raise self._refused(func)
        if torch._C._get_tracing_state() is None:
            _tell_line()
        changed = _changed(func, args, kwargs)
        if changed is not None and not _is_live(changed):
            if changed._base is not None:  # the trace does not know whose part it is
                raise RuntimeError("a part of a constant tensor is written to")
            _pin(changed)
        replacement = DECOMPOSITIONS.get(func)
        if replacement is not None and replacement.fits(*args, **kwargs):
            with self:
                result = replacement.make(*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        for tensor in _tensors((result, changed)):
            setattr(tensor, _MARK, True)
        return result

    def _transformed(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """A step in the frequency domain; see `Spectrum`."""
        inside = any(isinstance(a, Spectrum) for a in args)
        if not inside and not _is_live(args[0]):
            with _paused():
                return func(*args, **kwargs)
        with self:
            if not inside:
                return FORWARD[func](*args, **kwargs)
            result = Spectrum.__torch_function__(func, types, args, kwargs)
        for tensor in _tensors(result):
            setattr(tensor, _MARK, True)
        return result

    def _decision(self) -> None:
        frames = lines.stack()
        line = lines.innermost(frames)
        if line is not None:
            self.decisions[line, not lines.in_library(frames)] = None

    def _refused(self, func: Any) -> SourceError:
        name = getattr(func, "__name__", "a function")
        what = {"__getitem__": "indexing with a mask"}.get(name, f"torch.{name}")
        line = lines.innermost(lines.stack())
        return SourceError(
            f"the size of what {what} returns depends on the frame, and a blob's sizes are fixed",
            where=str(line or ""),
            remedy="keep the whole image: torch.where(mask, x, 0), or x * mask",
        )


def _read(func: Any, args: Any, kwargs: Any) -> Any:
    """The arguments whose values matter to a function."""
    if func is _T.new_tensor:
        return args[1:], kwargs
    return args[:1] if func in _AS else (args, kwargs)


def _tell_line() -> None:
    """Tells the newer exporter where the user's code is: of a plain function it keeps no line."""
    from torch.fx import traceback

    frames = [f for f in lines.stack() if lines.innermost([f]) is not None]
    told = [f'File "{file}", line {line}, in forward\n' for file, line in frames[:1]]
    traceback.set_stack_trace(told)


def _grows(func: Any, args: Any) -> bool:
    """Whether the size of the result depends on values."""
    if func is _T.__getitem__:
        keys = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(isinstance(k, torch.Tensor) and k.dtype == torch.bool for k in keys)
    return func in _GROWING or (func is torch.where and len(args) == 1)


@contextlib.contextmanager
def _paused() -> Iterator[None]:
    """Nothing is recorded in the TorchScript trace inside."""
    state = torch._C._get_tracing_state()
    if state is None:
        yield
        return
    torch._C._set_tracing_state(None)
    try:
        yield
    finally:
        torch._C._set_tracing_state(state)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _is_live(tensor: Any) -> bool:
    """Whether a tensor depends on an input."""
    if getattr(tensor, _MARK, False):
        return True
    if torch._C._get_tracing_state() is None:
        return False
    if not hasattr(torch._C, "_get_value_trace"):
        return True
    # made by something that did not pass here (a scripted function): ask the trace itself
    return torch._C._get_value_trace(tensor).node().kind() not in _CONSTANT_KINDS


def _changed(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The tensor that the function changes in place; None if it changes none."""
    if kwargs.get("out") is not None:
        return kwargs["out"]
    name = getattr(func, "__name__", "")
    in_place = name == "__setitem__" or (name.startswith("__i") and name.endswith("__"))
    in_place = in_place or (name.endswith("_") and not name.endswith("__"))
    known = name not in ("__invert__", "__int__", "__index__", "__iter__")
    return args[0] if in_place and known and args and isinstance(args[0], torch.Tensor) else None


def _pin(tensor: Any) -> None:
    """Lets the trace hold the present value of a constant that is about to be changed.

    The trace keeps constants by reference: `total += x` would change the one it starts from.
    """
    if torch._C._get_tracing_state() is None or not hasattr(torch._C, "_set_value_trace"):
        return
    with _paused():
        copy = tensor.clone()
    torch._C._set_value_trace(tensor, torch._C._get_value_trace(copy))
