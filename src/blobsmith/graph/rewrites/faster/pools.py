"""Max pools that the engine does not pad: the padding as a stage of its own. Pools of one pixel.

A padded max pool of stride 1 becomes dozens of stages (3x3: 42, 11x11: 116); Pad and an unpadded
one are two. The border is repeated: the largest of a window that reaches over the border is
unchanged if the pixels beyond repeat those at the border, as every such window holds them.
"""

from __future__ import annotations

from ...builder import Builder
from ...editor import Editor
from ...node import Node
from ..rule import Change, Outcome, Refused, Rule


def find(editor: Editor, node: Node) -> Outcome:
    """A padded MaxPool."""
    kernel = node.attrs.get("kernel_shape", [])
    pads = list(node.attrs.get("pads", []))
    if not any(pads) or len(kernel) != 2 or (len(node.outputs) > 1 and node.outputs[1]):
        return None
    if node.attrs.get("auto_pad", "NOTSET") != "NOTSET" or node.attrs.get("ceil_mode", 0):
        return Refused("its padding follows from the sizes")
    dilations = node.attrs.get("dilations", [1, 1])
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if dilations != [1, 1] and any(pads):
        return Refused("it is dilated: a window over the border need not hold the border's pixels")
    if any(p >= r for p, r in zip(pads, reach * 2, strict=True)):
        return Refused("its padding is wider than its window")

    def apply() -> None:
        b = Builder(editor, like=node)
        top, left, bottom, right = pads
        wide = b.pad(node.inputs[0], (0, 0, top, left, 0, 0, bottom, right), mode="edge")
        attrs = {k: v for k, v in node.attrs.items() if k not in ("pads", "auto_pad")}
        b.commit([node], {node.output: b.op("MaxPool", wide, **attrs, pads=[0, 0, 0, 0])})

    plain = all(s == 1 for s in node.attrs.get("strides", [1, 1]))
    return Change(apply, nodes=(node,), by_cost=True, without_cost=plain, signature=node.output)


def find_single(editor: Editor, node: Node) -> Outcome:
    """A pool whose window is one pixel, at every pixel."""
    kernel = node.attrs.get("kernel_shape", [])
    if any(k != 1 for k in kernel) or not kernel or (len(node.outputs) > 1 and node.outputs[1]):
        return None
    if editor.shape(node.inputs[0]) != editor.shape(node.output):
        return None
    if any(s != 1 for s in node.attrs.get("strides", [])) or any(node.attrs.get("pads", [])):
        return None
    if node.output in editor.outputs:
        return None

    def apply() -> None:
        Builder(editor, like=node).commit([node], {node.output: node.inputs[0]})

    return Change(apply, nodes=(node,))


RULES = (
    Rule(
        name="single-pixel-pool",
        set="faster",
        exactness="exact",
        why="a pool over windows of one pixel changes nothing",
        roots=("MaxPool", "AveragePool"),
        find=find_single,
        order=10,
    ),
    Rule(
        name="max-pool-padding",
        set="faster",
        exactness="exact",
        why="a padded max pool of stride 1 is dozens of stages; with a Pad before it, two",
        roots=("MaxPool",),
        find=find,
        order=40,
    ),
)
