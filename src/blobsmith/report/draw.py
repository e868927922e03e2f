"""The drawings of a source alone: export, simplify, rewrite, and nothing compiled."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BlobsmithError
from ..model import Model
from ..road import OnnxFile, parse_source
from .drawing import Drawing
from .graphs import draw_all


@dataclass(frozen=True)
class Drawn:
    """The drawings by title, the source's ONNX, and what could not be drawn and why."""

    drawings: dict[str, Drawing]
    onnx_bytes: bytes
    notes: tuple[str, ...]


def draw_source(source: Model | OnnxFile) -> Drawn:
    """The source's graph as exported, simplified, and rewritten. Run it in a worker.

    A graph that the compiler cannot read, or that cannot be simplified, is drawn as far as it
    goes, with a note: looking at it is how one finds out why.

    Raises:
        ModelError: an .onnx file is damaged.
    """
    from ..graph import preprocess
    from ..graph.outline import outline
    from ..graph.rewrites import rewrite
    from ..graph.simplify import simplify

    data = source.data if isinstance(source, OnnxFile) else source.onnx_bytes
    graphs = {"As exported": data}
    notes: list[str] = []
    try:
        model = parse_source(source)
        graphs["As exported"] = outline(model.proto)
        small = model.with_graph(simplify(model.proto, specs=model.inputs).proto)
        graphs["Simplified"] = outline(small.proto)
        graphs["Rewritten"] = outline(rewrite(preprocess.insert(small).proto).proto)
    except BlobsmithError as error:
        where = f" ({error.where})" if error.where else ""
        notes.append(f"the graph is drawn as far as it goes: {error.what}{where}")
    return Drawn(draw_all(graphs), data, tuple(notes))
