"""`blobsmith demo`: zoo models built, and run on photographs and a moving sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .build import write_report
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..builder import BuildResult
    from ..report.page import IndexEntry
    from ..runtime.samples import Image


def demo(
    name: Annotated[str | None, typer.Argument(help="A zoo name; see `blobsmith zoo`.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every zoo model.")] = False,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for everything.", metavar="DIR")
    ] = Path("out/demo"),
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Builds zoo models and leaves blobs, ONNX files, manifests and pictures in a folder.

    Each blob is verified against its function and then runs on the emulator, without a camera.
    """
    with session(as_json, debug) as out:
        from .. import zoo
        from ..errors import UsageError
        from ..packaging.atomic import write_atomic
        from ..report import render_index
        from ..runtime.demo import demo_photos, demo_sequence

        if (name is None) == (not all_):
            raise UsageError("name one zoo model, or give --all", remedy="see `blobsmith zoo`")
        names = list(zoo.names()) if all_ else [zoo.get(str(name)).name]
        output.mkdir(parents=True, exist_ok=True)
        photos, sequence = demo_photos(), demo_sequence()
        _credits(output, out)
        rows, entries = [], []
        for number, each in enumerate(names, 1):
            out.step(f"{number}/{len(names)}  {each}", (number - 1) / len(names))
            row, entry = _one(each, output, photos, sequence, out)
            rows.append(row)
            entries.append(entry)
        write_atomic(output / "index.html", render_index(entries).encode())
        columns = ("model", "nodes", "stages", "bytes", "predicted", "against FP32", "emulator")
        out.table("", columns, rows)
        count = "1 model" if len(names) == 1 else f"{len(names)} models"
        out.say(f"{count}, start at {output}/index.html; no camera took part")


def _credits(folder: Path, out: Session) -> None:
    """Who made the photographs, beside the pictures that show them."""
    from ..packaging.atomic import write_atomic
    from ..runtime import samples

    photos = samples.photos()
    if not photos:
        out.warn(
            "no photographs are installed, drawn scenes stand in: pip install 'blobsmith[samples]'"
        )
        return
    lines = [f"{photo.name}: {photo.credit}" for photo in photos]
    text = "Photographs in these pictures come inside Python packages:\n\n" + "\n".join(lines)
    write_atomic(folder / "CREDITS.txt", (text + "\n").encode())


def _one(
    name: str, folder: Path, photos: Sequence[Image], sequence: Sequence[Image], out: Session
) -> tuple[tuple[object, ...], IndexEntry]:
    import time

    from .. import zoo
    from ..builder import build
    from ..report import index_entry
    from ..runtime.demo import run_demo_model
    from ..runtime.engines import emulator_engine

    result = build(name, output=folder / f"{name}.blob")
    for warning in result.warnings:
        out.warn(f"{name}: {warning}")
    page = write_report(result, folder / f"{name}.html")
    manifest = result.manifest
    engine = emulator_engine(result.blob, manifest.inputs, manifest.outputs)
    began = time.perf_counter()
    paths = run_demo_model(engine, zoo.get(name), folder, photos, sequence)
    frames = len(photos) + len(sequence)
    rate = frames / (time.perf_counter() - began)
    out.data.setdefault("models", []).append(
        {
            "name": name,
            "path": str(result.path),
            "pictures": [str(path) for path in paths],
            "sha256": manifest.sha256,
            "steps": [step.to_dict() for step in result.steps],
        }
    )
    row = (
        name, _nodes(result), result.stages, manifest.size,
        _detail(result, "compile", "predicted_ms"), _error(result), f"{rate:.0f} frames/s",
    )  # fmt: skip
    return row, index_entry(page, f"{name}.html")


def _detail(result: BuildResult, step: str, key: str) -> str:
    found = next((s for s in result.steps if s.name == step), None)
    return f"{found.detail[key]:.2f} ms" if found is not None else ""


def _nodes(result: BuildResult) -> str:
    found = next((s for s in result.steps if s.name == "simplify"), None)
    return found.summary.removesuffix(" nodes") if found is not None else ""


def _error(result: BuildResult) -> str:
    found = next((s for s in result.steps if s.name == "verify"), None)
    if found is None:
        return "not verified"
    return found.summary.partition(", ")[2]
