"""An .onnx file becomes a Model: parsed with suspicion, and brought to what the compiler reads.

`load_onnx` is a pure function of bytes: files are somebody else's, so it is meant to run inside a
worker process (`blobsmith.workers`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, SourceError, UsageError
from ..model import Model
from ..tensors import Decoding, InputRequest, TensorSpec, default_layout
from . import signature
from .faults import check_used, shape_option
from .onnx_factors import read_factors
from .onnx_parse import all_nodes, check_domains, first_line, parse

if TYPE_CHECKING:
    import onnx


def load_onnx(
    data: bytes,
    *,
    name: str = "model.onnx",
    inputs: Mapping[str, Any] | None = None,
    outputs: Sequence[str] | None = None,
    folder: str | None = None,
) -> Model:
    """Makes a Model of the bytes of an .onnx file.

    Integer and double tensors at the boundary become float32, dynamic sizes become the ones asked
    for, opsets above 15 are lowered and those below 12 raised, both with numerical proof.

    Args:
        data: the file's bytes.
        name: its name, for messages.
        inputs: what is asked of single inputs, by name.
        outputs: values to end the graph at; None: the graph's own outputs.
        folder: where weights that lie in other files are looked for; None: such a model is
            refused.

    Raises:
        SourceError: no ONNX, truncated, inconsistent, or of types that the chip does not know.
        OperatorError: an operator of another domain than ONNX's own.
        OpsetError: an opset that cannot be lowered.
        UsageError: a name it does not have, or a dynamic shape that nobody gave.
    """
    from ..graph import lines, opset
    from . import onnx_types

    requests = signature.normalise(inputs)
    proto = parse(data, name, folder)
    if outputs is not None:
        proto = _cut(proto, outputs, name)
    check_domains(proto, name)
    _check_names(proto, requests, name)
    _fix_shapes(proto, requests, name)
    kinds = onnx_types.input_kinds(proto, name)
    proto, notes = onnx_types.to_float32(proto, name)
    _check_graph(proto, name)
    lowered = opset.normalise(lines.attach(proto))
    proto = _with_output_shapes(lowered.proto, name)
    try:
        check_used(proto, [i.name for i in proto.graph.input])
    except SourceError as error:
        error.where = name
        raise
    factors = read_factors(proto, name)
    specs = tuple(
        signature.make_spec(i.name, _typed(requests.get(i.name), kinds[i.name], _shape(i)))
        for i in proto.graph.input
    )
    return Model(
        onnx_bytes=proto.SerializeToString(),
        inputs=specs,
        outputs=tuple(_output_spec(o, factors.get(o.name, 1.0)) for o in proto.graph.output),
        origin=name,
        notes=(*notes, *lowered.notes),
    )


# ---------------------------------------------------------------------- names and shapes


def _cut(proto: onnx.ModelProto, outputs: Sequence[str], name: str) -> onnx.ModelProto:
    """The part of the graph that the wanted values need."""
    import onnx
    import onnx.utils

    if list(outputs) == [o.name for o in proto.graph.output]:
        return proto
    made = [value for node in proto.graph.node for value in node.output if value]
    for wanted in outputs:
        if wanted not in made:
            near = difflib.get_close_matches(wanted, made, n=1)
            own = ", ".join(o.name for o in proto.graph.output)
            raise UsageError(
                f"{name} has no output or inner value {wanted!r}",
                remedy=(f"did you mean {near[0]!r}? " if near else "") + f"its outputs are {own}",
            )
    if not outputs or len(set(outputs)) != len(outputs):
        raise UsageError("name at least one output, and each once", where=name)
    inferred = onnx.shape_inference.infer_shapes(proto)
    known = {v.name: v for v in (*inferred.graph.value_info, *inferred.graph.output)}
    out = onnx.ModelProto()
    out.CopyFrom(proto)
    del out.graph.output[:]
    for wanted in outputs:
        info = known.get(wanted)
        if info is None:
            info = onnx.helper.make_tensor_value_info(wanted, onnx.TensorProto.FLOAT, None)
        out.graph.output.append(info)
    needed, kept = set(outputs), []
    for node in reversed(out.graph.node):
        if needed & set(node.output):
            kept.append(type(node).FromString(node.SerializeToString()))
            needed.update(v for inner in _all_nodes_of(node) for v in inner.input)
    del out.graph.node[:]
    out.graph.node.extend(reversed(kept))
    for field in (out.graph.input, out.graph.initializer):
        copies = [type(i).FromString(i.SerializeToString()) for i in field if i.name in needed]
        del field[:]
        field.extend(copies)
    return out


def _all_nodes_of(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    inner = [n for a in node.attribute if a.HasField("g") for n in all_nodes(a.g)]
    return [node, *inner]


def _check_names(proto: onnx.ModelProto, requests: Mapping[str, InputRequest], name: str) -> None:
    have = [i.name for i in proto.graph.input]
    if not have:
        raise SourceError("the graph has no inputs", where=name)
    for wanted in requests:
        if wanted not in have:
            near = difflib.get_close_matches(wanted, have, n=1)
            raise UsageError(
                f"{name} has no input {wanted!r}",
                remedy=(f"did you mean {near[0]!r}? " if near else "")
                + f"its inputs are {', '.join(have)}",
            )
    for info in (*proto.graph.input, *proto.graph.output):
        if not info.type.HasField("tensor_type"):
            kind = info.type.WhichOneof("value") or "untyped value"
            if info in proto.graph.output and kind == "untyped value":
                continue
            raise SourceError(
                f"{info.name!r} is a {kind.removesuffix('_type')}, not a tensor",
                where=name,
                remedy="export a graph whose inputs and outputs are tensors",
            )


def _fix_shapes(proto: onnx.ModelProto, requests: Mapping[str, InputRequest], name: str) -> None:
    """Writes the sizes that were asked for into the graph's inputs.

    Raises:
        UsageError: a size is dynamic and not given, or given and not the graph's own.
    """
    changed = False
    lacking: list[tuple[str, str]] = []
    for info in proto.graph.input:
        tensor = info.type.tensor_type
        dims = list(tensor.shape.dim)
        sizes = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims]
        request = requests.get(info.name)
        wanted = request.shape if request else None
        if wanted is None:
            if None in sizes or not tensor.HasField("shape"):
                words = [str(d.dim_value or d.dim_param or "?") for d in dims]
                lacking.append((info.name, "x".join(words) if dims else "of any shape"))
            continue
        fits = not tensor.HasField("shape") or (
            len(wanted) == len(sizes)
            and all(s is None or s == w for s, w in zip(sizes, wanted, strict=True))
        )
        if not fits:
            own = "x".join("?" if s is None else str(s) for s in sizes)
            raise UsageError(
                f"the input {info.name!r} of {name} is {own}, it cannot become "
                f"{'x'.join(map(str, wanted))}",
                remedy="leave its shape out, or export the model for the size you want",
            )
        if None in sizes or not tensor.HasField("shape"):
            del tensor.shape.dim[:]
            for size in wanted:
                tensor.shape.dim.add().dim_value = size
            changed = True
    if lacking:
        listed = ", ".join(f"{n!r} ({shape})" for n, shape in lacking)
        raise UsageError(
            f"{name} has inputs of no fixed shape: {listed}",
            remedy="give " + " ".join(shape_option(n) for n, _ in lacking),
        )
    if changed:
        del proto.graph.value_info[:]
        for info in proto.graph.output:
            info.type.tensor_type.ClearField("shape")


def _check_graph(proto: onnx.ModelProto, name: str) -> None:
    """The standard's own check: every value has a producer, every operator its arguments."""
    import onnx

    checked = onnx.ModelProto()
    checked.CopyFrom(proto)
    for info in checked.graph.output:  # the checker wants a shape; some exporters leave it out
        info.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(checked)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        text = first_line(error)
        raise SourceError(
            f"the graph is not valid ONNX: {text}", where=name, remedy="export it again"
        ) from error


def _with_output_shapes(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The graph with static output shapes, by inference, or by running it twice."""
    import onnx

    from ..graph.pool_sizes import explicit_pools

    proto = explicit_pools(proto)  # whose sizes inference gets wrong
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise SourceError(
            f"the shapes in the graph do not fit together: {first_line(error)}",
            where=name,
            remedy="check the shapes of the inputs; or export it again",
        ) from error
    if all(_shape(o) is not None for o in inferred.graph.output):
        return inferred
    from ..graph import equivalence, opset

    try:
        session = equivalence.Session(inferred)
        results = [session.run(frame) for frame in opset.feeds_for(inferred)]
    except ModelError as error:
        error.where = error.where or name
        raise
    for info in inferred.graph.output:
        shapes = {result[info.name].shape for result in results}
        if len(shapes) != 1 or 0 in next(iter(shapes)):
            raise SourceError(
                f"the shape of the output {info.name!r} depends on the frame",
                where=f"{name}, {', '.join(map(str, sorted(shapes)))}",
                remedy="a blob has fixed shapes: end the graph before that step (outputs=...)",
            )
        tensor = info.type.tensor_type
        tensor.ClearField("shape")
        tensor.elem_type = onnx.TensorProto.FLOAT
        tensor.shape.SetInParent()
        for size in next(iter(shapes)):
            tensor.shape.dim.add().dim_value = size
    return inferred


# ---------------------------------------------------------------------- specs


def _shape(info: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    tensor = info.type.tensor_type
    if not tensor.HasField("shape") or not all(d.HasField("dim_value") for d in tensor.shape.dim):
        return None
    return tuple(d.dim_value for d in tensor.shape.dim)


def _typed(request: InputRequest | None, kind: str, shape: tuple[int, ...] | None) -> InputRequest:
    """The request with the shape of the graph; a float input is taken for U8 frames if a picture.

    A vector or scalar holds numbers rather than grey levels: FP16.
    """
    request = replace(request or InputRequest(), shape=shape)
    if request.dtype is not None:
        return request
    picture = signature.usual_color(shape or (), default_layout(len(shape or ())))
    return replace(request, dtype="u8" if picture or kind == "u8" else "fp16")


def _output_spec(info: onnx.ValueInfoProto, factor: float) -> TensorSpec:
    shape = _shape(info) or ()
    color = signature.usual_color(shape, default_layout(len(shape)))
    kind = {"gray": "map", "bgr": "image"}.get(color or "", "tensor")
    if len(shape) <= 2 and min(shape, default=1) == 1:
        kind = "vector"
    return TensorSpec(
        info.name,
        shape,
        "fp16",
        "",
        color,
        decoding=Decoding(kind, factor=factor),  # type: ignore[arg-type]
    )
