"""The part of a build that runs inside a worker process: from an ONNX graph to checked blobs."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .errors import BlobsmithError, CheckFailed, OperatorError, UsageError
from .model import Model
from .tensors import Color, DType, InputRequest, TensorSpec
from .verify import Verification

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from .graph.rewrites.rule import RuleSet
    from .graph.stats import GraphStats

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
        """The model with these overrides on its image inputs."""
        specs = tuple(self._spec(spec) for spec in model.inputs)
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


class _Clock:
    """Collects steps and how long each took."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._since = time.perf_counter()

    def step(self, name: str, summary: str, **detail: Any) -> None:
        now = time.perf_counter()
        self.steps.append(Step(name, now - self._since, summary, detail))
        self._since = now


def run(request: Request) -> Result:
    """Takes one source down the road: simplify, preprocess, rewrite, check, compile, verify.

    Raises:
        BlobsmithError: any branch; the message names the step's own subject.
    """
    from .graph import preprocess, simplify
    from .graph.outline import outline

    clock = _Clock()
    source = _parse(request, clock)
    simplified = simplify.simplify(source.proto, specs=source.inputs)
    clock.step(
        "simplify", f"{simplified.before.total} -> {simplified.after.total} nodes",
        before=dict(simplified.before.by_type), after=dict(simplified.after.by_type),
    )  # fmt: skip
    plain = preprocess.insert(source.with_graph(simplified.proto))
    frames, reference = _reference(request, source, clock)
    warnings: list[str] = list(simplified.stats.notes)
    last: BlobsmithError | None = None
    for sets in _plans(request.optimize):
        attempt = _Clock()
        try:
            model, applied = _rewrite(plain, request, sets, attempt)
            model, found = _fp16(model, request, attempt)
            blobs = _compile(model, request, attempt)
            verification = _verify(request, source, model, blobs, frames, reference, attempt)
        except (CheckFailed, OperatorError) as error:
            last = last or error
            warnings.append(f"with the rewrites {'+'.join(sets) or 'none'}: {error.what}")
            continue
        return Result(
            notes=source.notes, model=model, blobs=blobs, steps=(*clock.steps, *attempt.steps),
            verification=verification, rewrites=applied, warnings=(*warnings, *found),
            before=simplified.before, after=simplified.after,
            graphs={"source": outline(source.proto), "simplified": outline(simplified.proto)},
            sample=_sample(frames, reference),
        )  # fmt: skip
    assert last is not None
    raise last


def _plans(optimize: bool) -> list[tuple[RuleSet, ...]]:
    """Rule sets in the order in which they are tried; later ones only if a check fails."""
    return [("needed", "faster"), ("needed",)] if optimize else [()]


def parse_source(source: Model | OnnxFile) -> Model:
    """An .onnx file parsed (in the process that calls this), a model as it is.

    Raises:
        ModelError: the file is damaged, or cannot be read by the compiler.
    """
    if not isinstance(source, OnnxFile):
        return source
    from .sources import load_onnx

    return load_onnx(
        source.data, name=source.name, inputs=source.inputs, outputs=source.outputs,
        folder=source.folder,
    )  # fmt: skip


def _parse(request: Request, clock: _Clock) -> Model:
    model = parse_source(request.source)
    if isinstance(request.source, OnnxFile):
        clock.step("read", f"{model.origin}, {len(model.proto.graph.node)} nodes")
    model = request.preprocessing.apply(model)
    wanted = dict(request.output_dtypes)
    unknown = sorted(set(wanted) - {"*"} - {spec.name for spec in model.outputs})
    if unknown:
        raise UsageError(f"the model has no output {unknown[0]!r}")
    default = wanted.get("*")
    outputs = tuple(
        replace(spec, dtype=wanted.get(spec.name, default or spec.dtype)) for spec in model.outputs
    )
    return replace(model, outputs=outputs)


def _reference(
    request: Request, source: Model, clock: _Clock
) -> tuple[tuple[Mapping[str, Array], ...], tuple[Mapping[str, Array], ...]]:
    if not request.verify:
        return (), ()
    from .reference import frames_for, onnx_outputs

    frames = request.frames or tuple(frames_for(source.inputs))
    if request.reference is not None:
        return frames, request.reference
    from .graph import equivalence

    run_once = functools.partial(equivalence.run, source.proto)
    outputs = tuple(onnx_outputs(run_once, source, frames))
    clock.step("reference", f"{len(frames)} frames in FP32")
    return frames, outputs


def _sample(
    frames: tuple[Mapping[str, Array], ...], reference: tuple[Mapping[str, Array], ...]
) -> tuple[Mapping[str, Array], Mapping[str, Array]] | None:
    """The set that shows most: the photograph, which `frames_for` makes second."""
    pairs = list(zip(frames, reference, strict=True))
    return pairs[min(1, len(pairs) - 1)] if pairs else None


def _rewrite(
    model: Model, request: Request, sets: tuple[RuleSet, ...], clock: _Clock
) -> tuple[Model, tuple[str, ...]]:
    if not sets:
        return model, ()
    from .graph.rewrites import rewrite

    cost = functools.partial(_cost, request, model) if "faster" in sets else None
    done = rewrite(model.proto, sets=sets, cost=cost)
    names = tuple(applied.rule for applied in done.applied)
    clock.step(
        "rewrite", f"{len(names)} applied" if names else "nothing to do",
        applied=[asdict(applied) for applied in done.applied],
        rejected=[asdict(rejected) for rejected in done.rejected],
    )  # fmt: skip
    return _with_shapes(model.with_graph(done.proto)), names


def _with_shapes(model: Model) -> Model:
    """The specs with the graph's own output shapes: a rewrite turns a scalar into one element."""
    outputs = []
    for spec, value in zip(model.outputs, model.proto.graph.output, strict=True):
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        outputs.append(spec if shape == spec.shape else replace(spec, shape=shape, layout=""))
    return replace(model, outputs=tuple(outputs))


def _cost(request: Request, model: Model, proto: onnx.ModelProto) -> float | None:
    """Predicted milliseconds of a candidate graph; None if the compiler refuses it."""
    from .blob import Blob
    from .cost import predict

    try:
        data = _blobs(model.with_graph(proto), request, request.shaves[:1])
    except BlobsmithError:
        return None
    return predict(Blob.from_bytes(data[0])).total_ms


def _fp16(model: Model, request: Request, clock: _Clock) -> tuple[Model, list[str]]:
    if not (request.check or request.fix_fp16):
        return model, []
    from . import numerics

    if request.fix_fp16:
        from .numerics.repair import repair

        repaired = repair(model)
        model = repaired.model
        count = len(repaired.actions)
        clock.step(
            "fix FP16", f"{count} repairs" if count else "nothing to repair",
            actions=list(repaired.actions), factors=dict(repaired.output_factors),
        )  # fmt: skip
    if not request.check:
        return model, []
    report = numerics.quick_check(model)
    clock.step("check FP16", report.summary, verdict=report.verdict)
    return model, [] if report.verdict == "safe" else list(report.warnings)


def _blobs(model: Model, request: Request, shaves: tuple[int, ...]) -> list[bytes]:
    from .myriad.compile import compile_job
    from .myriad.options import CompileOptions

    inputs = {spec.name: spec.dtype for spec in model.inputs}
    outputs = {spec.name: spec.dtype for spec in model.outputs}
    variants = tuple(
        CompileOptions(
            shaves=count, cmx_slices=request.cmx_slices, inputs=inputs, outputs=outputs,
            hardware=request.hardware,
        )
        for count in shaves
    )  # fmt: skip
    return compile_job(request.toolchain, model.onnx_bytes, variants)


def _compile(model: Model, request: Request, clock: _Clock) -> dict[int, bytes]:
    from .blob import Blob
    from .cost import predict

    try:
        made = _blobs(model, request, request.shaves)
    except OperatorError as error:
        raise _explained(error, model) from error
    blobs = dict(zip(request.shaves, made, strict=True))
    main = Blob.from_bytes(blobs[request.shaves[-1]])
    cost = predict(main)
    clock.step(
        "compile", f"{len(main.stages)} stages, {main.size} bytes, {main.shaves} shaves",
        stages=len(main.stages), size=main.size, predicted_ms=round(cost.total_ms, 4),
    )  # fmt: skip
    return blobs


def _explained(error: OperatorError, model: Model) -> OperatorError:
    """The refusal, naming the ONNX node and the user's own line where they are known."""
    from .graph import lines

    operators = set(getattr(error, "operators", ()))
    for node in model.proto.graph.node:
        named = error.where and error.where in (node.name, *node.output)
        if named or (not error.where and node.op_type in operators):
            line = lines.lookup(model.proto).get(node.output[0])
            where = f"node {node.name or node.output[0]!r} ({node.op_type})"
            return type(error)(
                error.what,
                where=f"{where}, {line.file}:{line.line}  {line.code}" if line else where,
                remedy=error.remedy,
            )
    return error


def _verify(
    request: Request,
    source: Model,
    model: Model,
    blobs: Mapping[int, bytes],
    frames: tuple[Mapping[str, Array], ...],
    reference: tuple[Mapping[str, Array], ...],
    clock: _Clock,
) -> Verification | None:
    if not request.verify:
        return None
    from .blob import Blob
    from .emulator import Emulator
    from .verify import compare, thresholded_outputs

    emulator = Emulator(Blob.from_bytes(blobs[request.shaves[-1]]))
    results = [emulator.run(frame) for frame in frames]
    told = sorted({str(warning) for result in results for warning in result.warnings})
    verification = compare(
        model.outputs, reference, results,
        thresholded=thresholded_outputs(source.proto), warnings=told[:20],
    )  # fmt: skip
    verification.require(where=source.origin)
    clock.step(
        "verify", f"right on {len(frames)} frames, {verification.worst()}",
        verification=verification.to_dict(),
    )  # fmt: skip
    return verification
