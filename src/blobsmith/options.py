"""Every option of a build, with what it means and what it excludes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import UsageError
from .tensors import Color, DType

FORMATS = ("blob", "superblob", "archive")
SUFFIXES = {"blob": ".blob", "superblob": ".superblob", "archive": ".tar.xz"}
CONTENTS = ("blob", "superblob", "onnx")
ALL_SHAVES = tuple(range(1, 17))
DEFAULT_SHAVES = 6


@dataclass(frozen=True)
class Options:
    """Every option of a build that can change its result; the defaults are the command's.

    Attributes:
        shaves: SHAVEs to compile for; 1 to 16.
        cmx_slices: CMX slices of 128 KiB; None: as many as shaves.
        format: "blob", "superblob" (all 16 shave counts) or "archive" (an NN Archive).
        contents: what an archive holds: "blob", "superblob", or "onnx" for vendors' other tools.
        classes: names of a classifier's classes, for the archive.
        optimize: rewrite the graph for the chip; False is the plain recipe.
        verify: run the blob on the emulator against the user's function.
        check: look for FP16 trouble.
        fix_fp16: rescale where FP16 would overflow.
        hardware: use the convolution engine.
        opset: ONNX opset of the export, at most 15.
        exporter: "auto", "torchscript" or "dynamo".
        color: channel order that the function expects of its image inputs: "bgr", "rgb", "gray".
        output_dtypes: element types of outputs, name and "fp16" or "fp32"; "*" is every output.
        mean, scale: put into the graph: (frame - mean) / scale, one value or one a channel.
    """

    shaves: int = DEFAULT_SHAVES
    cmx_slices: int | None = None
    format: str = "blob"
    contents: str = "blob"
    classes: tuple[str, ...] = ()
    optimize: bool = True
    verify: bool = True
    check: bool = True
    fix_fp16: bool = False
    hardware: bool = True
    opset: int = 12
    exporter: str = "auto"
    output_dtypes: tuple[tuple[str, DType], ...] = ()
    color: Color | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(
                f"there is no format {self.format!r}", remedy=f"give one of {', '.join(FORMATS)}"
            )
        if self.contents not in CONTENTS:
            raise UsageError(
                f"an archive cannot hold {self.contents!r}",
                remedy=f"give one of {', '.join(CONTENTS)}",
            )
        if self.classes and self.format != "archive":
            raise UsageError("class names go into an archive", remedy="build with format archive")
        if not 1 <= self.shaves <= 16:
            raise UsageError(f"{self.shaves} shaves cannot be compiled for", remedy="give 1 to 16")


def changed(options: Options | None, changes: Mapping[str, Any]) -> Options:
    """The options with some of them changed; the defaults where there are none.

    Raises:
        UsageError: there is no such option, or it does not fit.
    """
    known = set(Options.__dataclass_fields__)
    unknown = sorted(set(changes) - known)
    if unknown:
        raise UsageError(
            f"build has no option {unknown[0]!r}", remedy=f"it has {', '.join(sorted(known))}"
        )
    made = replace(options or Options(), **changes)
    return replace(made, mean=_values(made.mean), scale=_values(made.scale))


def _values(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    return (float(value),) if isinstance(value, (int, float)) else tuple(map(float, value))


def all_variants(options: Options) -> bool:
    """Whether the artefact holds a blob for every number of shaves."""
    return options.format == "superblob" or (
        options.format == "archive" and options.contents == "superblob"
    )


def shave_counts(options: Options) -> tuple[int, ...]:
    """Which variants are compiled; the wanted one last, since that is the one verified."""
    if not all_variants(options):
        return (options.shaves,)
    return (*(count for count in ALL_SHAVES if count != options.shaves), options.shaves)
