"""What happens to a camera's frame before the user's function sees it, put into the graph.

Cameras deliver planar BGR. A function that expects RGB gets its channels swapped by the first
node of its graph; then `mean` is subtracted and the result divided by `scale`, both in the order
of the function's own channels. By default nothing is inserted.

Of the ways to swap that compute it exactly in FP16, one Gather makes the fewest stages in front
of any operator (one; three Slices and a Concat make three, a 1x1 Conv three), and in front of a
dense Conv permuted weights make none. Subtraction and division become one stage (ScaleShift).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from ..errors import UsageError
from ..model import Model
from ..tensors import TensorSpec

MARK = "blobsmith.preprocess"


def insert(model: Model) -> Model:
    """The model with mean, scale and channel order of its inputs in its graph.

    A model in which they are already is returned as it is.

    Raises:
        UsageError: they do not fit an input: see `insert_into`.
    """
    proto = insert_into(model.proto, model.inputs)
    return model if proto is model.proto else model.with_graph(proto)


def insert_into(proto: ModelProto, specs: Sequence[TensorSpec]) -> ModelProto:
    """The graph with mean, scale and channel order in it; `proto` itself if there are none.

    Args:
        proto: a graph whose inputs are named as the specs; not changed.
        specs: the inputs.

    Raises:
        UsageError: "rgb" for an input without three channels, a mean or scale that is neither one
            value nor one a channel, a scale of 0.
    """
    for spec in specs:
        check(spec)
    if any(p.key == MARK for p in proto.metadata_props) or not any(_wanted(s) for s in specs):
        return proto
    out = ModelProto()
    out.CopyFrom(proto)
    for spec in specs:
        _insert_one(out, spec)
    out.metadata_props.append(onnx.StringStringEntryProto(key=MARK, value="1"))
    return out


def check(spec: TensorSpec) -> None:
    """Whether colour, mean and scale fit an input.

    Raises:
        UsageError: they do not; it names the input.
    """
    channels = _channels(spec)
    where = f"input {spec.name!r}, {'x'.join(map(str, spec.shape))} {spec.layout}"
    if spec.color in ("rgb", "bgr") and channels != 3:
        raise UsageError(
            f"colour order {spec.color!r} needs 3 channels, the input has {channels or 'none'}",
            where=where,
            remedy="give --color gray for one channel, or none",
        )
    if spec.color == "gray" and channels != 1:
        raise UsageError(
            f"colour order 'gray' needs 1 channel, the input has {channels or 'none'}",
            where=where,
            remedy="give --color bgr or rgb",
        )
    for what, values in (("mean", spec.mean), ("scale", spec.scale)):
        if values is None:
            continue
        if len(values) not in {1, channels}:
            raise UsageError(
                f"{len(values)} values of {what} were given for {channels or 'no'} channels",
                where=where,
                remedy=f"give one value, or one a channel: --{what} "
                + ",".join("0" if what == "mean" else "1" for _ in range(channels or 1)),
            )
        if not all(np.isfinite(values)) or (what == "scale" and 0 in values):
            raise UsageError(
                f"the {what} {','.join(f'{v:g}' for v in values)} cannot be used",
                where=where,
                remedy="give finite numbers, and none that is 0 as a scale",
            )


def _wanted(spec: TensorSpec) -> bool:
    return spec.color == "rgb" or any(spec.mean or ()) or any(s != 1 for s in spec.scale or ())


def _channels(spec: TensorSpec) -> int:
    return spec.shape[spec.layout.index("C")] if "C" in spec.layout else 0


def _insert_one(proto: ModelProto, spec: TensorSpec) -> None:
    graph = proto.graph
    readers = [n for n in graph.node if spec.name in _reads(n)]
    nodes: list[NodeProto] = []
    value = spec.name
    axis = spec.layout.index("C") if "C" in spec.layout else 0

    def constant(array: np.ndarray[Any, Any], what: str) -> str:
        name = f"{spec.name}__{what}"
        graph.initializer.append(numpy_helper.from_array(array, name))
        return name

    def step(op: str, array: np.ndarray[Any, Any], what: str, **attributes: int) -> None:
        nonlocal value
        result = f"{spec.name}__{what}ed"
        inputs = [value, constant(array, what)]
        nodes.append(helper.make_node(op, inputs, [result], name=result, **attributes))
        value = result

    plain = not any(spec.mean or ()) and not any(s != 1 for s in spec.scale or ())
    if spec.color == "rgb" and not (plain and _permute_weights(proto, spec, readers)):
        step("Gather", np.array([2, 1, 0], np.int64), "swap", axis=axis)
    if any(spec.mean or ()):
        step("Sub", _along(spec.mean or (), spec, axis), "center")
    if any(s != 1 for s in spec.scale or ()):
        step("Mul", 1 / _along(spec.scale or (), spec, axis), "scale")
    if value == spec.name:
        return
    for node in readers:
        _rename(node, spec.name, value)
    everything = nodes + [NodeProto.FromString(n.SerializeToString()) for n in graph.node]
    del graph.node[:]
    graph.node.extend(everything)


def _along(values: Sequence[float], spec: TensorSpec, axis: int) -> np.ndarray[Any, Any]:
    """The values as a tensor that broadcasts over the input's other axes."""
    shape = [1] * len(spec.shape)
    if len(values) > 1:
        shape[axis] = len(values)
    return np.array(values, np.float32).reshape(shape)


def _permute_weights(proto: ModelProto, spec: TensorSpec, readers: list[NodeProto]) -> bool:
    """Swaps the input channels of the dense Convs that alone read the input; False if others do."""
    tensors = {t.name: t for t in proto.graph.initializer}
    dense = all(
        n.op_type == "Conv"
        and n.domain in ("", "ai.onnx")
        and list(n.input).count(spec.name) == 1
        and n.input[0] == spec.name
        and n.input[1] in tensors
        and not any(a.name == "group" and a.i != 1 for a in n.attribute)
        for n in readers
    )
    weights = {n.input[1] for n in readers}
    elsewhere = any(
        weights & _reads(n) for n in proto.graph.node if not any(n is reader for reader in readers)
    )
    if not readers or not dense or elsewhere or spec.layout != "NCHW":
        return False
    for name in weights:
        array = numpy_helper.to_array(tensors[name])
        tensors[name].CopyFrom(numpy_helper.from_array(array[:, ::-1].copy(), name))
    return True


def _reads(node: NodeProto) -> set[str]:
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                names |= _reads(inner)
    return names


def _rename(node: NodeProto, old: str, new: str) -> None:
    node.input[:] = [new if name == old else name for name in node.input]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                _rename(inner, old, new)
