"""The bytes of an .onnx file become a ModelProto: of ONNX's own operators, weights and all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OperatorError, SourceError

if TYPE_CHECKING:
    import onnx

_NOT_ONNX: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "it is a Git LFS pointer: run `git lfs pull`"),
    (b"<?xml", "it is XML"),
    (b"<!DOCTYPE", "it is a web page: download the file itself"),
    (b"<html", "it is a web page: download the file itself"),
    (b"PK\x03\x04", "it is a zip archive, or weights saved by torch.save"),
    (b"\x80\x02", "it is a Python pickle"),
    (b"\x1f\x8b", "it is compressed: unpack it"),
)


def parse(data: bytes, name: str, folder: str | None) -> onnx.ModelProto:
    """Reads a file's bytes; the model's own functions are inlined.

    Args:
        data: the file's bytes.
        name: its name, for messages.
        folder: where weights in other files are looked for; None: such a model is refused.

    Raises:
        SourceError: no ONNX, truncated, or weights that are missing.
    """
    import onnx

    if not data:
        raise SourceError("the file is empty", where=name, remedy="export or download it again")
    for start, what in _NOT_ONNX:
        if data.startswith(start):
            raise SourceError(f"this is no ONNX file: {what}", where=name)
    try:
        proto = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's own errors, which name no file
        raise SourceError(
            "the file is truncated, or no ONNX file",
            where=f"{name}, {len(data)} bytes",
            remedy="export or download it again",
        ) from error
    if not proto.graph.node or not proto.opset_import or not proto.graph.output:
        lack = "nodes" if not proto.graph.node else "outputs"
        lack = lack if proto.opset_import else "opset"
        raise SourceError(
            f"the file is truncated, or no ONNX file: it has no {lack}",
            where=f"{name}, {len(data)} bytes",
            remedy="export or download it again",
        )
    _check_text(proto, name)
    _load_external(proto, name, folder)
    _check_tensors(proto, name)
    _strip_initializer_inputs(proto)
    _inline(proto)
    return proto


def _check_text(proto: onnx.ModelProto, name: str) -> None:
    """Protobuf hands over names that are no UTF-8 as bytes; nothing after expects that."""
    texts: list[object] = [t.name for t in proto.graph.initializer]
    texts += [v.name for v in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)]
    for node in all_nodes(proto.graph):
        texts += [node.name, node.op_type, node.domain, node.doc_string, *node.input, *node.output]
        texts += [a.name for a in node.attribute]
    if any(isinstance(text, bytes) for text in texts):
        raise SourceError(
            "the file is damaged: a name in it is no text",
            where=name,
            remedy="export or download it again",
        )


def _check_tensors(proto: onnx.ModelProto, name: str) -> None:
    """Every constant must hold as many numbers as its shape says."""
    from onnx import numpy_helper

    inside = [a.t for n in all_nodes(proto.graph) for a in n.attribute if a.HasField("t")]
    for tensor in (*proto.graph.initializer, *inside):
        try:
            numpy_helper.to_array(tensor)
        except Exception as error:  # of many kinds, for a wrong type, size or encoding
            raise SourceError(
                f"the file is damaged: the constant {tensor.name!r} cannot be read: "
                f"{first_line(error)}",
                where=name,
                remedy="export or download it again",
            ) from error


def _load_external(proto: onnx.ModelProto, name: str, folder: str | None) -> None:
    import onnx
    from onnx.external_data_helper import load_external_data_for_model, uses_external_data

    outside = [t for t in proto.graph.initializer if uses_external_data(t)]
    if not outside:
        return
    files = {e.value for t in outside for e in t.external_data if e.key == "location"}
    listed = ", ".join(sorted(files)[:3])
    remedy = "save it in one file: onnx.save(onnx.load(FILE), FILE, save_as_external_data=False)"
    if folder is None:
        raise SourceError(f"its weights lie in another file: {listed}", where=name, remedy=remedy)
    missing = [f for f in sorted(files) if not (Path(folder) / f).is_file()]
    if missing:
        raise SourceError(
            f"its weights lie in {missing[0]!r}, which is not beside it",
            where=name,
            remedy=f"put that file beside it, or {remedy}",
        )
    try:
        load_external_data_for_model(proto, folder)
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise SourceError(
            f"its weights cannot be read from {listed}: {first_line(error)}",
            where=name,
            remedy=remedy,
        ) from error


def _strip_initializer_inputs(proto: onnx.ModelProto) -> None:
    """Below IR version 4 weights are listed among the inputs; they are none."""
    held = {t.name for t in proto.graph.initializer}
    kept = [i for i in proto.graph.input if i.name not in held]
    if len(kept) != len(proto.graph.input):
        copies = [type(i).FromString(i.SerializeToString()) for i in kept]
        del proto.graph.input[:]
        proto.graph.input.extend(copies)
        proto.ir_version = max(proto.ir_version, 4)


def _inline(proto: onnx.ModelProto) -> None:
    """Replaces calls of the model's own functions by their bodies."""
    import onnx.inliner

    if proto.functions:
        proto.CopyFrom(onnx.inliner.inline_local_functions(proto))


def check_domains(proto: onnx.ModelProto, name: str) -> None:
    """Every operator is ONNX's own.

    Raises:
        OperatorError: one is of another domain.
    """
    from ..graph import lines

    for node in all_nodes(proto.graph):
        if node.domain not in ("", "ai.onnx"):
            line = lines.user_line(node)
            place = f"node {node.name or node.output[0]!r} of {name}"
            raise OperatorError(
                f"the operator {node.domain}.{node.op_type} is not of the ONNX standard",
                where=f"{place}, {line}" if line else place,
                remedy="export without contrib or custom operators (in ONNX Runtime: save the "
                "model before optimising it), or end the graph before it: --output-name VALUE",
            )


def all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes of a graph and of the graphs inside it."""
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                nodes.extend(all_nodes(attribute.g))
    return nodes


def first_line(error: Exception) -> str:
    """The first line of an exception's text, or its type."""
    text = [t for t in str(error).strip().splitlines() if t.strip()] or [type(error).__name__]
    return text[0][:300]
