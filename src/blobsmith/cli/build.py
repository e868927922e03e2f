"""`blobsmith build`: a module, file or name in, a checked blob out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import parse
from .session import DebugFlag, JsonFlag, Session, session

if TYPE_CHECKING:
    from ..builder import BuildResult
    from ..report import ReportData

_SHOWN = 6
Source = Annotated[
    str,
    typer.Argument(
        help="A zoo name, file.py:Class, package.module:Class, or an .onnx file.",
        metavar="SOURCE",
    ),
]


def build(
    source: Source,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write.", metavar="FILE")
    ] = None,
    inputs: parse.Inputs = None,
    outputs: parse.Outputs = None,
    color: Annotated[
        str | None, typer.Option(help="Channel order the function expects: bgr, rgb, gray.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Subtracted in the graph, one value or one a channel.")
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="Divided by in the graph, one value or one a channel.")
    ] = None,
    shaves: Annotated[str, typer.Option(help="1 to 16, or auto.", metavar="N|auto")] = "6",
    resolution: Annotated[
        str | None, typer.Option(help="Of the camera, for --shaves auto: 1080p, 4k, 640x400.")
    ] = None,
    slices: Annotated[int | None, typer.Option(help="CMX slices; as many as shaves.")] = None,
    format_: Annotated[
        str, typer.Option("--format", help="blob, superblob (all shave counts) or archive.")
    ] = "blob",
    contents: Annotated[
        str, typer.Option("--archive-holds", help="blob, superblob or onnx.")
    ] = "blob",
    classes: Annotated[
        str | None,
        typer.Option(
            help="Names of a classifier's classes, for an archive: a,b,c or a .txt of lines."
        ),
    ] = None,
    optimize: Annotated[
        bool, typer.Option("--optimize/--no-optimize", help="Rewrite the graph for the chip.")
    ] = True,
    verify: Annotated[
        bool,
        typer.Option("--verify/--no-verify", help="Run the blob against the user's function."),
    ] = True,
    fix_fp16: Annotated[
        bool, typer.Option("--fix-fp16", help="Rescale where FP16 would overflow.")
    ] = False,
    hardware: Annotated[
        bool, typer.Option("--hardware/--no-hardware", help="Use the convolution engine.")
    ] = True,
    opset: Annotated[int, typer.Option(help="ONNX opset of the export, at most 15.")] = 12,
    exporter: Annotated[str, typer.Option(help="auto, torchscript or dynamo.")] = "auto",
    report: Annotated[
        Path | None,
        typer.Option("--report", help="Write a page that shows the build.", metavar="FILE.html"),
    ] = None,
    ir: Annotated[
        Path | None,
        typer.Option("--ir", help="Also write OpenVINO IR (.xml, .bin) here.", metavar="DIR"),
    ] = None,
    use_cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take a finished build of the same content.")
    ] = True,
    as_json: JsonFlag = False,
    debug: DebugFlag = False,
) -> None:
    """Builds a blob and checks it on the emulator against the user's own function.

    Writes FILE, FILE.json (what is known of it) and FILE.onnx (what it was compiled from).
    """
    with session(as_json, debug) as out:
        from ..builder import Options
        from ..builder import build as make

        _refuse_idle(
            {"--archive-holds": contents != "blob"}, needs="--format archive",
            met=format_ == "archive",
        )  # fmt: skip
        _refuse_idle(
            {"--resolution": resolution is not None}, needs="--shaves auto", met=shaves == "auto"
        )
        count = _shaves(shaves, resolution, out)
        options = Options(
            shaves=count, cmx_slices=slices, format=format_, contents=contents,
            classes=parse.names(classes), optimize=optimize, verify=verify,
            fix_fp16=fix_fp16, hardware=hardware, opset=opset, exporter=exporter,
            color=parse.color(color), mean=parse.numbers(mean, "--mean"),
            scale=parse.numbers(scale, "--scale"), check=verify or fix_fp16,
        )  # fmt: skip
        target = output or default_output(source, format_)
        _check_others(target, report, ir, source)
        result = make(
            source,
            inputs=parse.inputs(inputs),
            outputs=outputs or None,
            output=target,
            options=options,
            use_cache=use_cache,
            progress=out.step,
        )
        show(result, out)
        if report is not None:
            write_report(result, report)
            out.data["report"] = str(report)
            out.say(f"{report}  the report")
        if ir is not None:
            _ir(result, ir, out)


def _check_others(target: Path, report: Path | None, ir: Path | None, source: str) -> None:
    """What is written beside the blob is known to be possible before the build.

    Raises:
        EnvironmentFault: a folder is missing, or something else stands there.
        UsageError: it would be written over the source, or over the blob.
    """
    from ..delivery import check_files, files_of
    from ..errors import EnvironmentFault

    if report is not None:
        check_files([*files_of(target), report], source)
    if ir is not None and ir.exists() and not ir.is_dir():
        raise EnvironmentFault(
            "a file stands where a folder is to be written", where=str(ir), remedy="give a folder"
        )


def write_report(result: BuildResult, path: Path) -> ReportData:
    """Writes the page that shows a build; returns what it shows.

    Raises:
        EnvironmentFault: the page cannot be written.
    """
    from ..packaging.atomic import write_atomic
    from ..report import collect, render

    data = collect(result)
    write_atomic(path, render(data).encode())
    return data


def _ir(result: BuildResult, folder: Path, out: Session) -> None:
    """Writes the same graph as OpenVINO IR, checked on OpenVINO's CPU plugin."""
    from ..packaging.ir import write_ir

    folder.mkdir(parents=True, exist_ok=True)
    name = Path(str(result.path)).stem
    write_ir(result.model, folder, name=name)
    out.data["ir"] = str(folder / f"{name}.xml")
    out.say(f"{folder / name}.xml  OpenVINO IR in FP16, checked on OpenVINO's CPU plugin")


def default_output(source: str, format_: str) -> Path:
    """NAME.blob in the working directory, NAME being the class's, file's or zoo model's."""
    from ..options import SUFFIXES

    stem = source.rsplit(":", 1)[-1].rsplit("/", 1)[-1].removesuffix(".onnx")
    return Path(stem + SUFFIXES.get(format_, ".blob"))


def _refuse_idle(given: dict[str, bool], *, needs: str, met: bool) -> None:
    """An option that another one gives its meaning is not passed over in silence.

    Raises:
        UsageError: one is given, and that other one is not.
    """
    from ..errors import UsageError

    idle = [name for name, is_given in given.items() if is_given]
    if idle and not met:
        raise UsageError(f"{idle[0]} means nothing without {needs}", remedy=f"add {needs}")


def _shaves(given: str, resolution: str | None, out: Session) -> int:
    from ..errors import UsageError

    if given == "auto":
        from ..oak.shaves import recommend

        advice = recommend(resolution=resolution)
        out.say(advice.explanation)
        return advice.shaves
    try:
        return int(given)
    except ValueError:
        raise UsageError(
            f"--shaves {given!r} is no number", remedy="give 1 to 16, or auto"
        ) from None


def show(result: BuildResult, out: Session) -> None:
    """Prints a finished build."""
    manifest = result.manifest
    out.data.update(
        path=str(result.path), onnx=str(result.onnx_path), sha256=manifest.sha256,
        size=manifest.size, cached=result.cached, rewrites=list(result.rewrites),
        inputs=[spec.to_dict() for spec in manifest.inputs],
        outputs=[spec.to_dict() for spec in manifest.outputs],
        steps=[step.to_dict() for step in result.steps], notes=list(result.notes),
    )  # fmt: skip
    rows = [(step.name, f"{step.seconds:.2f} s", step.summary) for step in result.steps]
    out.table("", ("step", "time", "result"), rows)
    for note in result.notes:
        out.progress(f"note: {note}")
    for warning in result.warnings[:_SHOWN]:
        out.warn(warning)
    if unsaid := result.warnings[_SHOWN:]:
        out.data["warnings"] += unsaid
        out.progress(f"{len(unsaid)} more warnings, with --json or in the report")
    compiled = next((step for step in result.steps if step.name == "compile"), None)
    if compiled is not None:
        predicted = compiled.detail["predicted_ms"]
        out.data["predicted_ms"] = predicted
        out.say(
            f"predicted on the chip: {predicted:.2f} ms a frame (a prediction, not a measurement)"
        )
    out.say(
        f"{result.path}  {manifest.size} bytes, sha256 {manifest.sha256[:16]}..."
        + ("  (from the cache)" if result.cached else "")
    )
