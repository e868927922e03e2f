"""What a build asks of a worker, and what the worker answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..model import Model
from ..tensors import Color, DType, InputRequest, TensorSpec
from ..verify import Verification

if TYPE_CHECKING:
    import numpy as np

    from ..graph.stats import GraphStats

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Step:
    """One step of the road: its name, seconds, one line of result, and JSON-ready details."""

    name: str
    seconds: float
    summary: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {"name": self.name, "seconds": round(self.seconds, 4), "summary": self.summary,
                **self.detail}  # fmt: skip


@dataclass(frozen=True)
class OnnxFile:
    """An .onnx file that nobody has parsed yet; weights outside it lie in `folder`."""

    data: bytes
    name: str
    inputs: Mapping[str, InputRequest] | None = None
    outputs: tuple[str, ...] | None = None
    folder: str | None = None


@dataclass(frozen=True)
class Preprocessing:
    """Overrides for all image inputs; None leaves what the source declares."""

    color: Color | None = None
    mean: tuple[float, ...] | None = None
    scale: tuple[float, ...] | None = None

    def apply(self, model: Model) -> Model:
        """The model with these overrides on its image inputs.

        Raises:
            UsageError: there is something to override, and no image input, or it does not fit.
        """
        from ..graph.preprocess import check

        given = [k for k, v in self.__dict__.items() if v is not None]
        if given and all(spec.color is None for spec in model.inputs):
            names = ", ".join(spec.name for spec in model.inputs)
            raise UsageError(
                f"no input is an image, so {' and '.join(given)} would be ignored",
                where=f"inputs: {names}",
                remedy="in Python: InputRequest(mean=..., scale=...) for the input that is meant",
            )
        specs = tuple(self._spec(spec) for spec in model.inputs)
        for spec in specs:
            check(spec)
        return replace(model, inputs=specs)

    def _spec(self, spec: TensorSpec) -> TensorSpec:
        if spec.color is None:
            return spec
        return replace(
            spec,
            color=self.color or spec.color,
            mean=self.mean if self.mean is not None else spec.mean,
            scale=self.scale if self.scale is not None else spec.scale,
        )


@dataclass(frozen=True)
class Request:
    """What a worker is asked to do.

    Attributes:
        source: an exported model, or an .onnx file to be parsed in the worker.
        toolchain: directory of the compiler.
        shaves: one blob is compiled for each.
        cmx_slices: CMX slices; None: as many as shaves.
        hardware: use the convolution engine.
        optimize: rewrite the graph for the chip; False is the plain recipe.
        check: look for FP16 trouble quickly.
        fix_fp16: rescale where FP16 would overflow.
        verify: run the blob on the emulator against the reference.
        frames: input sets at the blob's boundary; None makes them.
        reference: FP32 outputs for `frames`; None: the .onnx itself is the reference.
        preprocessing: overrides on the image inputs.
        output_dtypes: element type by output name, "*" for every output.
        token: by which `run` knows what `begin` did for this request; "" for nothing.
    """

    source: Model | OnnxFile
    toolchain: str
    shaves: tuple[int, ...] = (6,)
    cmx_slices: int | None = None
    hardware: bool = True
    optimize: bool = True
    check: bool = True
    fix_fp16: bool = False
    verify: bool = True
    frames: tuple[Mapping[str, Array], ...] | None = None
    reference: tuple[Mapping[str, Array], ...] | None = None
    preprocessing: Preprocessing = Preprocessing()
    output_dtypes: tuple[tuple[str, DType], ...] = ()
    token: str = ""


@dataclass(frozen=True)
class Result:
    """What a worker answers.

    Attributes:
        model: the graph as it was compiled, with the specs of the blob's boundary.
        blobs: blob by number of shaves.
        steps: the steps in order.
        verification: None where none was asked for.
        rewrites: names of the rules applied, in order.
        warnings: sentences for the user.
        notes: what the user may want to know of the source, e.g. which exporter it took.
        before, after: GraphStats of the source and the simplified graph as dicts.
        graphs: outlines of the "source" and the "simplified" graph, for the report's drawings.
        sample: one input set of the verification and its FP32 outputs (the photograph, where the
            frames were made here); None without verification.
    """

    model: Model
    blobs: Mapping[int, bytes]
    steps: tuple[Step, ...]
    verification: Verification | None
    rewrites: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    before: GraphStats
    after: GraphStats
    graphs: Mapping[str, bytes] = field(default_factory=dict)
    sample: tuple[Mapping[str, Array], Mapping[str, Array]] | None = None
