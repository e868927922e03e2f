"""A drawing as SVG: for the page, where the page's own style and script serve it, or alone."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files

from .drawing import KIND_NAMES, Drawing, DrawnNode, Operand

_GAP = 60.0
_HEAD = 34.0


def inline_svg(drawing: Drawing, label: str) -> str:
    """The drawing as an SVG element of a page; empty if the graph is not drawn.

    Boxes are ``g.n`` with the node's index in ``data-n`` and its tensor in ``data-k``; lines are
    ``path.w`` with the index in ``data-w``. The page's script moves ``g.view``.

    Args:
        drawing: arranged.
        label: what it is, for people who do not see it.
    """
    if not drawing.nodes:
        return ""
    return (
        f'<svg class="graph" role="img" aria-label="{escape(label)}" '
        f'data-width="{drawing.width}" data-height="{drawing.height}" '
        f'viewBox="0 0 {drawing.width} {drawing.height}" preserveAspectRatio="xMidYMin meet">'
        f'<g class="view">{_content(drawing, titles=False)}</g></svg>'
    )


def standalone_svg(drawings: Mapping[str, Drawing], title: str) -> str:
    """A whole SVG file with the graphs side by side: pan, zoom, details on hover, light and dark.

    Args:
        drawings: arranged, by title.
        title: of the file.
    """
    width = sum(max(d.width, 160.0) for d in drawings.values()) + _GAP * (len(drawings) + 1)
    height = max((d.height for d in drawings.values()), default=0.0) + 2 * _HEAD + 20
    parts, x = [], _GAP
    for name, drawing in drawings.items():
        head = f"{name}: {drawing.total} nodes"
        note = f"<text class='note' y='18'>{escape(drawing.note)}</text>" if drawing.note else ""
        parts.append(
            f'<g transform="translate({x:.1f} {_HEAD})"><text class="head">{escape(head)}</text>'
            f'{note}<g transform="translate(0 26)">{_content(drawing, titles=True)}</g></g>'
        )
        x += max(drawing.width, 160.0) + _GAP
    style, script = _asset("graph.css"), _asset("standalone.js")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph alone" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<title>{escape(title)}</title><style>{escape(style, quote=False)}</style>"
        f'<rect class="ground" width="100%" height="100%"/>'
        f'<g class="view">{"".join(parts)}</g>'
        f"<script><![CDATA[\n{script}\n]]></script></svg>\n"
    )


def legend(drawings: Mapping[str, Drawing]) -> list[tuple[str, str]]:
    """(kind, what it means) of the boxes that are in the drawings."""
    present = {node.kind for drawing in drawings.values() for node in drawing.nodes}
    return [(kind, name) for kind, name in KIND_NAMES.items() if kind in present]


def details(node: DrawnNode) -> str:
    """All that is known of a node, one fact a line."""
    rows = [node.op + (f"  {node.name}" if node.name else "")]
    rows += [f"in   {_operand(item)}" for item in node.inputs]
    rows += [f"out  {_operand(item)}" for item in node.outputs]
    rows += [f"{name} = {value}" for name, value in node.attributes]
    if node.line:
        rows.append(f"from {node.line}")
    if node.change:
        rows.append({"new": "not in the graph before", "changed": "changed"}[node.change])
    if node.fate:
        rows.append("not in the next graph")
    return "\n".join(rows)


def _operand(item: Operand) -> str:
    value = f" = {item.value}" if item.value else ""
    return f"{item.name}  {item.type}{value}"


def _content(drawing: Drawing, *, titles: bool) -> str:
    wires = [
        _wire(index, wire.path, wire.tensor, titles) for index, wire in enumerate(drawing.wires)
    ]
    boxes = [_box(index, node, titles) for index, node in enumerate(drawing.nodes)]
    return "".join((*wires, *boxes))


def _wire(index: int, path: str, tensor: Operand, titles: bool) -> str:
    title = f"<title>{escape(_operand(tensor))}</title>" if titles else ""
    return f'<path class="w" data-w="{index}" d="{path}">{title}</path>'


def _box(index: int, node: DrawnNode, titles: bool) -> str:
    assert node.box is not None, "arrange the drawing first"
    box = node.box
    classes = " ".join(filter(None, ("n", f"k-{node.kind}", node.change, node.fate)))
    title = f"<title>{escape(details(node))}</title>" if titles else ""
    radius = 12 if node.kind in ("input", "output") else 5
    return (
        f'<g class="{classes}" data-n="{index}" data-k="{escape(node.key)}" '
        f'transform="translate({box.x} {box.y})">{title}'
        f'<rect width="{box.width}" height="{box.height}" rx="{radius}"/>'
        f'<text x="{box.width / 2:.1f}" y="16">{escape(node.label)}</text></g>'
    )


def _asset(name: str) -> str:
    return (files("blobsmith.report") / "templates" / name).read_text(encoding="utf-8")
