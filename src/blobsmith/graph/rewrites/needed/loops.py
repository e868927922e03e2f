"""Loops, unrolled: the chip runs a straight list of stages.

A loop with a constant number of turns is written out. One that runs until its values settle (edge
tracking, reconstruction) is written out as often as it turns on noise and on drawn scenes, with a
margin: further turns change nothing once it has settled, which the check confirms. A picture that
needs more turns than that comes out unfinished, and the report says how many there are.
"""

from __future__ import annotations

import math

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

from ...editor import Array, Editor
from ...extract import extract
from ...node import Node, copy, from_proto, to_proto
from ..check import session
from ..rule import Change, Outcome, Refused, Rule

_MOST_TURNS = 64
_MOST_NODES = 4000
_MARGIN = 2


def find_if(editor: Editor, node: Node) -> Outcome:
    """An If whose condition is known."""
    decided = editor.scalar(node.inputs[0])
    if decided is None:
        return Refused("its condition is computed from data")
    branch: GraphProto = node.attrs["then_branch" if decided else "else_branch"]

    def apply() -> None:
        made = _inlined(editor, branch, {}, node)
        for old, new in zip(node.outputs, made, strict=True):
            if old:
                editor.redirect(old, new)
        editor.remove([node])

    return Change(apply, nodes=(node,))


def find_loop(editor: Editor, node: Node) -> Outcome:
    """A Loop without scan outputs whose number of turns is constant, or can be measured."""
    body: GraphProto = node.attrs["body"]
    carried = len(node.inputs) - 2
    if len(body.output) != 1 + carried:
        return Refused("it collects a value from every turn")
    limit = editor.scalar(node.input(0)) if node.input(0) else math.inf
    start = editor.scalar(node.input(1)) if node.input(1) else 1.0
    if limit is None:
        return Refused("its number of turns is computed from data")
    fixed = start is not None and _goes_on(body)
    turns = int(limit) if fixed and limit < 1e6 else _measured(editor, node, limit)
    if turns is None:
        return Refused("its number of turns could not be measured")
    if turns > _MOST_TURNS or turns * len(body.node) > _MOST_NODES:
        return Refused(f"it turns {turns} times, too often to be written out")

    def apply() -> None:
        values = list(node.inputs[2:])
        for turn in range(turns):
            names = dict(zip((i.name for i in body.input[2:]), values, strict=True))
            names[body.input[0].name] = editor.add_constant(np.array(turn, np.int64), "turn")
            names[body.input[1].name] = editor.add_constant(np.array(True), "on")
            values = _inlined(editor, body, names, node)[1:]
        for old, new in zip(node.outputs, values, strict=True):
            if old:
                editor.redirect(old, new)
        editor.remove([node])
        editor.drop_dead()
        editor.infer_again()

    return Change(apply, nodes=(node,))


def _goes_on(body: GraphProto) -> bool:
    """Whether the body hands its condition through, or always says true."""
    name = body.output[0].name
    makers = {o: n for n in body.node for o in n.output}
    while name in makers and makers[name].op_type in ("Identity", "Cast"):
        name = makers[name].input[0]
    constants = {t.name: numpy_helper.to_array(t) for t in body.initializer}
    if name in makers and makers[name].op_type == "Constant":
        constants[name] = np.asarray(from_proto(makers[name]).attrs.get("value", False))
    return name == body.input[1].name or (name in constants and bool(constants[name].all()))


def _inlined(editor: Editor, graph: GraphProto, names: dict[str, str], like: Node) -> list[str]:
    """Puts a subgraph's nodes into the graph under fresh names; returns its outputs."""
    known = dict(names)
    for tensor in graph.initializer:
        known[tensor.name] = editor.add_constant(numpy_helper.to_array(tensor), tensor.name)
    for proto in graph.node:
        node = from_proto(proto)
        if node.op == "Constant" and isinstance(node.attrs.get("value"), np.ndarray):
            known[node.output] = editor.add_constant(node.attrs["value"], node.output)
            continue
        outputs = [editor.fresh(o) if o else "" for o in node.outputs]
        inputs = [known.get(i, i) for i in node.inputs]
        made = copy(node, inputs=inputs, outputs=outputs, name=outputs[0])
        editor.insert([made], like=like)
        known.update(zip(node.outputs, outputs, strict=True))
    return [known.get(o.name, o.name) for o in graph.output]


def _measured(editor: Editor, node: Node, limit: float) -> int | None:
    """How often the loop turns at most on noise and drawn scenes, with a margin."""
    body = GraphProto()
    body.CopyFrom(node.attrs["body"])
    body.input.append(helper.make_tensor_value_info("turns__in", TensorProto.INT64, []))
    body.output.append(helper.make_tensor_value_info("turns__out", TensorProto.INT64, []))
    body.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "turns__one"))
    body.node.append(helper.make_node("Add", ["turns__in", "turns__one"], ["turns__out"]))
    most = int(min(limit, 4 * _MOST_TURNS))
    counters = {"turns__most": np.array(most, np.int64), "turns__none": np.array(0, np.int64)}
    counted = copy(
        node,
        attrs={"body": body},
        inputs=["turns__most", *node.inputs[1:], "turns__none"],
        outputs=[*(f"{o}__counted" for o in node.outputs), "turns__total"],
    )
    needs = [name for name in counted.reads() if name not in counters]
    part = extract(editor, needs)
    model = ModelProto()
    model.CopyFrom(part.proto)
    graph = model.graph
    known = {t.name for t in graph.initializer} | {i.name for i in graph.input}
    for name in dict.fromkeys(needs):
        if name in editor.constants and name not in known:
            graph.initializer.append(numpy_helper.from_array(editor.constants[name], name))
        elif name in editor.inputs and name not in known:
            graph.input.append(editor.value_info(name))
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in counters.items())
    graph.node.append(to_proto(counted))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("turns__total", TensorProto.INT64, []))
    run = session(model)
    turns = 0
    for feed in _scenes(editor, tuple(i.name for i in graph.input)):
        turns = max(turns, int(run.run(["turns__total"], feed)[0]))
    return min(turns + max(_MARGIN, turns // 2), most)


def _scenes(editor: Editor, names: tuple[str, ...]) -> list[dict[str, Array]]:
    """Noise of several grains, for every input the same kind at once."""
    rng = np.random.default_rng(0)
    scenes = []
    for grain in (1, 2, 4, 8, 16):
        scene = {}
        for name in names:
            shape = editor.shape(name) or ()
            low, high = editor.ranges.get(name, (0.0, 255.0))
            if len(shape) >= 2:
                coarse = [*shape[:-2], -(-shape[-2] // grain) + 1, -(-shape[-1] // grain) + 1]
                unit = _smooth(rng.random(coarse), grain)[..., : shape[-2], : shape[-1]]
            else:
                unit = rng.random(shape)
            scene[name] = (low + unit * (high - low)).astype(editor.dtype(name))
        scenes.append(scene)
    return scenes


def _smooth(coarse: Array, grain: int) -> Array:
    """Coarse noise blown up linearly."""
    for axis in (-2, -1):
        steps = np.arange((coarse.shape[axis] - 1) * grain) / grain
        first = steps.astype(int)
        part = (steps - first).reshape([-1 if a == axis else 1 for a in (-2, -1)])
        low = np.take(coarse, first, axis)
        coarse = low + (np.take(coarse, first + 1, axis) - low) * part
    return coarse


RULES = (
    Rule(
        "if-decided", "needed", "exact", "an If with a known condition is its branch",
        ("If",), find_if, order=8,
    ),
    Rule(
        "loop-unrolled", "needed", "exact", "the compiler has no loops: as many turns as it takes",
        ("Loop",), find_loop, order=9,
    ),
)  # fmt: skip
