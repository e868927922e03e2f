"""The steps between a source and its blobs, one function each."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from ..errors import BlobsmithError, CheckFailed, OperatorError, UsageError
from ..model import Model
from ..verify import Verification
from .request import OnnxFile, Request, Step

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from ..blob import Blob
    from ..graph.rewrites.rule import RuleSet

    Array = np.ndarray[Any, Any]


_ONNX_NAMES = {"GRUSequence": "GRU", "LSTMSequence": "LSTM", "RNNSequence": "RNN"}
"""ONNX operators by the name that the compiler gives them, where it is another one."""


class OutputTooLarge(CheckFailed):
    """An output fits in FP16 only as a fraction of itself, which the user has to ask for."""


MOST_NODES = 6000


class Clock:
    """Collects steps and how long each took; `before` are steps that were taken already."""

    def __init__(self, before: Sequence[Step] = ()) -> None:
        self.steps: list[Step] = list(before)
        self._since = time.perf_counter()

    def restart(self) -> None:
        """The next step begins now."""
        self._since = time.perf_counter()

    def step(self, name: str, summary: str, **detail: Any) -> None:
        now = time.perf_counter()
        self.steps.append(Step(name, now - self._since, summary, detail))
        self._since = now

    def taken(self) -> tuple[Step, ...]:
        """The steps so far."""
        return tuple(self.steps)


def parse_source(source: Model | OnnxFile) -> Model:
    """An .onnx file parsed (in the process that calls this), a model as it is.

    Raises:
        ModelError: the file is damaged, or cannot be read by the compiler.
    """
    if not isinstance(source, OnnxFile):
        return source
    from ..sources import load_onnx

    return load_onnx(
        source.data, name=source.name, inputs=source.inputs, outputs=source.outputs,
        folder=source.folder,
    )  # fmt: skip


def parse(request: Request, clock: Clock) -> Model:
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


def require_size(model: Model) -> None:
    """Raises where a graph has more operators than can be made a blob of in a job's time.

    Raises:
        OperatorError: names the line that most of them come from.
    """
    nodes = model.proto.graph.node
    if len(nodes) <= MOST_NODES:
        return
    from ..graph import lines

    found = lines.lookup(model.proto)
    count = Counter(line for node in nodes if (line := found.get(node.output[0])) is not None)
    line = count.most_common(1)[0][0] if count else None
    raise OperatorError(
        f"the graph has {len(nodes)} operators, and a blob can be built of {MOST_NODES} at most",
        where=f"{line.file}:{line.line}  {line.code}" if line else model.origin,
        remedy="a loop was unrolled: instead, run fewer iterations, each reaching further (a "
        "larger kernel, a smaller picture), or only the part before the loop on the camera",
    )


def reference_outputs(
    request: Request, source: Model, clock: Clock
) -> tuple[tuple[Mapping[str, Array], ...], tuple[Mapping[str, Array], ...]]:
    if not request.verify:
        return (), ()
    from ..reference import frames_for, onnx_outputs

    frames = request.frames or tuple(frames_for(source.inputs))
    if request.reference is not None:
        return frames, request.reference
    from ..graph import equivalence

    run_once = functools.partial(equivalence.run, source.proto)
    outputs = tuple(onnx_outputs(run_once, source, frames))
    clock.step("reference", f"{len(frames)} frames in FP32")
    return frames, outputs


def sample(
    frames: tuple[Mapping[str, Array], ...], reference: tuple[Mapping[str, Array], ...]
) -> tuple[Mapping[str, Array], Mapping[str, Array]] | None:
    """The set that shows most: the photograph, which `frames_for` makes second."""
    pairs = list(zip(frames, reference, strict=True))
    return pairs[min(1, len(pairs) - 1)] if pairs else None


def rewrite_graph(
    model: Model, request: Request, sets: tuple[RuleSet, ...], clock: Clock
) -> tuple[Model, tuple[str, ...]]:
    if not sets:
        return model, ()
    from ..graph.rewrites import KnownInputs, rewrite

    cost = functools.partial(_cost, request, model) if "faster" in sets else None
    known = KnownInputs.of(model.inputs)
    done = rewrite(model.proto, sets=sets, cost=cost, ranges=known.ranges, whole=known.whole)
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
    from ..cost import predict

    try:
        made = _blobs(model.with_graph(proto), request, request.shaves[:1])
    except BlobsmithError:
        return None
    return predict(made[0]).total_ms


def fp16(model: Model, request: Request, fix: bool, clock: Clock) -> tuple[Model, list[str]]:
    if not (request.check or fix):
        return model, []
    from .. import numerics

    if fix:
        from ..numerics.repair import repair_model

        repaired = repair_model(model)
        result = repaired.result
        clock.step("fix FP16", result.reason, repair=result.to_dict())
        if not request.fix_fp16:
            _refuse_unasked(repaired.model, accepted=result.accepted)
        model = repaired.model
    if not request.check:
        return model, []
    report = numerics.quick_check(model)
    clock.step("check FP16", report.summary, verdict=report.verdict)
    return model, [] if report.verdict == "safe" else list(report.warnings)


def _refuse_unasked(repaired: Model, *, accepted: bool) -> None:
    """A repair that nobody asked for may keep the function's result, not scale it.

    Raises:
        CheckFailed: there is nothing to repair, or an output would have to be scaled.
    """
    if not accepted:
        raise CheckFailed("there is nothing to repair")
    scaled = [s for s in repaired.outputs if s.decoding.factor != 1.0]
    if scaled:
        raise OutputTooLarge(
            f"the output {scaled[0].name!r} does not fit in FP16",
            remedy=f"build with --fix-fp16: it then holds the result times "
            f"{scaled[0].decoding.factor:g}, which the manifest records",
        )


def _blobs(model: Model, request: Request, shaves: tuple[int, ...]) -> list[Blob]:
    from ..myriad.compile import compiled
    from ..myriad.options import CompileOptions

    inputs = {spec.name: spec.dtype for spec in model.inputs}
    outputs = {spec.name: spec.dtype for spec in model.outputs}
    variants = tuple(
        CompileOptions(
            shaves=count, cmx_slices=request.cmx_slices, inputs=inputs, outputs=outputs,
            hardware=request.hardware,
        )
        for count in shaves
    )  # fmt: skip
    return compiled(request.toolchain, model.onnx_bytes, variants)


def compile_blobs(model: Model, request: Request, clock: Clock) -> dict[int, Blob]:
    from ..cost import predict

    try:
        made = _blobs(model, request, request.shaves)
    except OperatorError as error:
        raise explained(error, model) from error
    blobs = dict(zip(request.shaves, made, strict=True))
    main = blobs[request.shaves[-1]]
    cost = predict(main)
    clock.step(
        "compile", f"{len(main.stages)} stages, {main.size} bytes, {main.shaves} shaves",
        stages=len(main.stages), size=main.size, predicted_ms=round(cost.total_ms, 4),
    )  # fmt: skip
    return blobs


def explained(error: OperatorError, model: Model) -> OperatorError:
    """The refusal, naming the ONNX node and the user's own line where they are known."""
    from ..graph import lines

    operators = {_ONNX_NAMES.get(name, name) for name in getattr(error, "operators", ())}
    known = {name for node in model.proto.graph.node for name in (node.name, *node.output)}
    named_here = error.where in known
    for node in model.proto.graph.node:
        named = named_here and error.where in (node.name, *node.output)
        if named or (not named_here and node.op_type in operators):
            line = lines.lookup(model.proto).get(node.output[0])
            where = f"node {node.name or node.output[0]!r} ({node.op_type})"
            return type(error)(
                error.what,
                where=f"{where}, {line.file}:{line.line}  {line.code}" if line else where,
                remedy=error.remedy,
            )
    return error


def verify_blobs(
    request: Request,
    source: Model,
    model: Model,
    blobs: Mapping[int, Blob],
    frames: tuple[Mapping[str, Array], ...],
    reference: tuple[Mapping[str, Array], ...],
    clock: Clock,
) -> Verification | None:
    if not request.verify:
        return None
    from ..emulator import Emulator
    from ..verify import compare, thresholded_outputs

    emulator = Emulator(blobs[request.shaves[-1]])
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
