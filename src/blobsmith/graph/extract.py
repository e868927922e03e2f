"""Cuts parts out of an edited graph as models of their own, to run them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from onnx import ModelProto, helper, numpy_helper

from .editor import Editor
from .node import Node, copy, to_proto


@dataclass(frozen=True)
class Part:
    """A part of a graph.

    Attributes:
        proto: the model.
        inputs: names of its inputs: values of the whole graph that it is fed with.
        outputs: value asked for -> its name among the model's outputs.
    """

    proto: ModelProto
    inputs: tuple[str, ...]
    outputs: dict[str, str]


def extract(
    editor: Editor, wanted: Iterable[str], stop: Callable[[str], bool] | None = None
) -> Part:
    """The nodes that the wanted values depend on, back to graph inputs or to where `stop` says.

    Args:
        editor: the graph; unchanged.
        wanted: values to compute. Constants and graph inputs are left out of the result.
        stop: whether a value is fed from outside instead of computed. A wanted value is computed
            all the same, and then appears under another name.
    """
    targets = [w for w in dict.fromkeys(wanted) if editor.producer(w) is not None]
    inputs: dict[str, None] = {}
    chosen: set[Node] = set()
    pending = list(targets)
    first = set(targets)
    while pending:
        value = pending.pop()
        maker = editor.producer(value)
        if value in editor.constants:
            continue
        if maker is None or (value not in first and stop is not None and stop(value)):
            inputs[value] = None
            continue
        first.discard(value)
        if maker not in chosen:
            chosen.add(maker)
            pending.extend(maker.reads())
        if stop is not None and stop(value):
            continue
    if stop is not None:
        read = {r for node in chosen for r in node.reads()}
        inputs.update({r: None for r in read if r not in editor.constants and stop(r)})
    renamed = {o: f"{o}__made" for n in chosen for o in n.outputs if o in inputs}
    order = [node for node in editor.sorted() if node in chosen]
    protos = [to_proto(copy(n, outputs=[renamed.get(o, o) for o in n.outputs])) for n in order]
    used = {r for node in order for r in node.reads()}
    constants = [
        numpy_helper.from_array(array, name)
        for name, array in editor.constants.items()
        if name in used
    ]
    outputs = {t: renamed.get(t, t) for t in targets}
    graph = helper.make_graph(
        protos,
        "part",
        [editor.value_info(name) for name in inputs],
        [_info(editor, value, name) for value, name in outputs.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=editor.opset_imports())
    model.ir_version = min(model.ir_version, 10)
    return Part(model, tuple(inputs), outputs)


def _info(editor: Editor, value: str, name: str) -> object:
    info = editor.value_info(value)
    info.name = name
    return info
