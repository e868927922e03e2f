"""`blobsmith graph`: the graph as drawn boxes, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import parse
from .build import Source
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..report.draw import Drawn
    from ..report.drawing import Drawing

SUFFIXES = (".svg", ".html")


def graph(
    source: Source,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="NAME.svg or NAME.html.", metavar="FILE"),
    ] = None,
    netron: Annotated[
        bool, typer.Option("--netron", help="Open the ONNX in Netron (pip install netron).")
    ] = False,
    inputs: parse.Inputs = None,
    outputs: parse.Outputs = None,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Draws the graph as exported, simplified, and rewritten for the chip.

    An .svg stands alone; an .html has details, counts, and the same node marked in each graph.
    Nothing is compiled: rewrites that only pay by their predicted time are left to `build`.
    """
    with session(as_json, debug) as out:
        from ..errors import UsageError
        from ..packaging.atomic import write_atomic

        if output is None and not netron:
            output = Path(_stem(source) + ".svg")
        if output is not None and output.suffix.lower() not in SUFFIXES:
            raise UsageError(
                f"a graph cannot be drawn as {output.suffix or 'a file without suffix'}",
                where=str(output), remedy="give NAME.svg or NAME.html",
            )  # fmt: skip
        drawn = _draw(source, inputs, outputs, out)
        drawings = drawn.drawings
        for note in drawn.notes:
            out.warn(note)
        if output is not None:
            write_atomic(output, _page(output, drawings, _stem(source)).encode())
            out.data["path"] = str(output)
        out.data["graphs"] = [
            {"title": title, "nodes": each.total, "by_type": dict(each.counts)}
            for title, each in drawings.items()
        ]
        _counts(drawings, out)
        if output is not None:
            out.say(str(output))
        if netron:
            _netron(source, drawn.onnx_bytes, out)


def _stem(source: str) -> str:
    return source.rsplit(":", 1)[-1].rsplit("/", 1)[-1].removesuffix(".onnx")


def _draw(source: str, inputs: list[str] | None, outputs: list[str] | None, out: Session) -> Drawn:
    from ..loading import load_source
    from ..report.draw import draw_source
    from ..workers import default_executor

    loaded = load_source(
        source, parse.inputs(inputs), outputs, opset=12, exporter="auto", tell=out.progress
    )
    out.step("draw")
    drawn: Drawn = default_executor().submit(draw_source, loaded).result()
    return drawn


def _page(output: Path, drawings: dict[str, Drawing], title: str) -> str:
    if output.suffix.lower() == ".svg":
        from ..report.svg import standalone_svg

        return standalone_svg(drawings, title)
    from ..report.page import render_graph

    return render_graph(drawings, title)


def _counts(drawings: dict[str, Drawing], out: Session) -> None:
    from ..report.drawing import counts_table

    rows: list[tuple[object, ...]] = [
        (op, *numbers) for op, numbers in counts_table([d.counts for d in drawings.values()])
    ]
    rows.append(("total", *(drawing.total for drawing in drawings.values())))
    out.table("", ("operator", *(title.lower() for title in drawings)), rows)


def _netron(source: str, onnx_bytes: bytes, out: Session) -> None:
    """Opens Netron on the file, or on the export in a temporary one, until it is stopped."""
    import importlib
    import tempfile

    from ..errors import EnvironmentFault

    try:
        netron = importlib.import_module("netron")
    except ImportError as error:
        raise EnvironmentFault(
            "Netron is not installed", remedy="pip install netron, or draw with -o FILE.html"
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(source)
        if path.suffix.lower() != ".onnx":
            path = Path(folder) / f"{_stem(source)}.onnx"
            path.write_bytes(onnx_bytes)
        out.data["address"] = "http://localhost:8080"
        out.progress("Netron runs until Ctrl-C")
        netron.start(str(path))
        netron.wait()
