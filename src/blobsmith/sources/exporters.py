"""PyTorch's two ONNX exporters behind one signature, quiet, and with the user's lines kept."""

# mypy: allow-subclassing-any
from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import onnx
import torch
from onnx import ModelProto
from torch.fx.traceback import preserve_node_meta

from ..graph import lines, opset
from ..graph.pool_sizes import explicit_pools
from .function import UserFunction
from .outputs import flatten_outputs
from .tracing import StaticTrace

DYNAMO_OPSET = 18
Watch = Literal["values", "as differentiable", "nothing"]
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "torch.fx.experimental.symbolic_shapes")


@dataclass(frozen=True)
class Traced:
    """What an exporter made.

    Attributes:
        proto: the graph, each node with its line.
        decisions: lines at which Python read a pixel's value, and whether they are the user's own.
    """

    proto: ModelProto
    decisions: tuple[tuple[lines.SourceLine, bool], ...]


class _Traceable(torch.nn.Module):
    """The user's function as the exporters want it: tensors in, a tuple of float32 tensors out."""

    def __init__(self, function: UserFunction, watch: Watch) -> None:
        super().__init__()
        self._function = [function]  # in a list, so that it is no submodule twice over
        if isinstance(function.target, torch.nn.Module):
            self.target = function.target
        self.watch = watch
        self.decisions: tuple[tuple[lines.SourceLine, bool], ...] = ()

    def forward(self, *tensors: Any) -> Any:
        function = self._function[0]
        if self.watch != "nothing":
            mode = StaticTrace(tensors, differentiable=self.watch == "as differentiable")
            with mode:
                result = function.raw(*tensors)
            self.decisions = tuple(mode.decisions)
        else:
            result = function.raw(*tensors)
        found = flatten_outputs(result)
        floats = [t if t.dtype == torch.float32 else t.to(torch.float32) for t in found]
        return floats[0] if len(floats) == 1 else tuple(floats)


def torchscript(
    function: UserFunction,
    examples: Sequence[Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    version: int,
    watch: Watch = "values",
) -> Traced:
    """Exports by tracing. Raises whatever torch raises.

    Args:
        function: the user's function.
        examples: one float32 tensor an input, all distinct.
        inputs, outputs: names.
        version: opset.
        watch: "values" keeps sizes and constants out of the trace (`StaticTrace`); "as
            differentiable" does so of what the function does for inputs that require gradients.
    """
    file = io.BytesIO()
    with function.inference(), quiet():
        module = _Traceable(function, watch).eval()
        torch.onnx.export(
            module,
            tuple(examples),
            file,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=version,
            do_constant_folding=True,
            dynamo=False,
            verbose=True,
        )
    proto = lines.attach(onnx.load_model_from_string(file.getvalue()))
    return Traced(explicit_pools(proto), module.decisions)


def dynamo(
    function: UserFunction,
    examples: Sequence[Any],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> Traced:
    """Exports by torch.export at opset 18 and lowers the opset. Raises whatever torch raises."""
    with function.inference(), quiet(), _no_partial_graph(), preserve_node_meta():
        module = _Traceable(function, "values").eval()
        program = torch.onnx.export(
            module,
            tuple(examples),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=DYNAMO_OPSET,
            dynamo=True,
            verbose=False,
        )
    proto = lines.attach(program.model_proto)
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    return Traced(explicit_pools(opset.lower(proto, partial=True)), ())


@contextlib.contextmanager
def _no_partial_graph() -> Iterator[None]:
    """Keeps torch.export from printing the graph it had got to when it failed: its `print` is
    shadowed, since it writes to stderr itself and asks no logger."""
    from torch.export import _trace

    vars(_trace)["print"] = lambda *args, **kwargs: None
    try:
        yield
    finally:
        del vars(_trace)["print"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences torch's warnings and logs; what user code prints goes to stderr."""
    log = getattr(torch._C, "_jit_onnx_log", None)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        if log is not None:  # verbose export is wanted for its records, not for its printed graph
            torch._C._jit_onnx_log = lambda *args: None
        try:
            yield
        finally:
            if log is not None:
                torch._C._jit_onnx_log = log
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
