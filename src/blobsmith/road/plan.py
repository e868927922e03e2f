"""From a source to checked blobs, inside a worker process: the plan, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BlobError, BlobsmithError, CheckFailed, OperatorError
from .request import Request, Result, Step
from .steps import (
    Clock,
    compile_blobs,
    fp16,
    parse,
    reference_outputs,
    rewrite_graph,
    sample,
    verify_blobs,
)

if TYPE_CHECKING:
    from ..graph.rewrites.rule import RuleSet
    from ..model import Model


def run(request: Request) -> Result:
    """Takes one source down the road: simplify, preprocess, rewrite, check, compile, verify.

    Raises:
        BlobsmithError: any branch; the message names the step's own subject.
    """
    from ..graph import preprocess, simplify
    from ..graph.outline import outline
    from ..myriad.compile import warm_up

    warm_up(request.toolchain)
    clock = Clock()
    source = parse(request, clock)
    simplified = simplify.simplify(source.proto, specs=source.inputs)
    clock.step(
        "simplify", f"{simplified.before.total} -> {simplified.after.total} nodes",
        before=dict(simplified.before.by_type), after=dict(simplified.after.by_type),
    )  # fmt: skip
    plain = preprocess.insert(source.with_graph(simplified.proto))
    frames, reference = reference_outputs(request, source, clock)
    warnings: list[str] = list(simplified.stats.notes)
    first: BlobsmithError | None = None
    rewritten: dict[tuple[RuleSet, ...], tuple[Model, tuple[str, ...], tuple[Step, ...]]] = {}
    for sets, fix in _plans(request):
        attempt = Clock()
        try:
            if sets not in rewritten:
                rewritten[sets] = (*rewrite_graph(plain, request, sets, attempt), attempt.taken())
            model, applied, taken = rewritten[sets]
            attempt = Clock(taken)
            model, found = fp16(model, request, fix, attempt)
            blobs = compile_blobs(model, request, attempt)
            verification = verify_blobs(request, source, model, blobs, frames, reference, attempt)
        except (CheckFailed, OperatorError, BlobError) as error:  # the emulator may lack a stage
            first = first or _explained(error, attempt)
            tried = f"{'+'.join(sets) or 'no'} rewrites{', FP16 repaired' if fix else ''}"
            warnings.append(f"not taken: {tried}: {error.what}")
            continue
        return Result(
            notes=source.notes, model=model,
            blobs={shaves: blob.data for shaves, blob in blobs.items()},
            steps=(*clock.steps, *attempt.steps),
            verification=verification, rewrites=applied, warnings=(*warnings, *found),
            before=simplified.before, after=simplified.after,
            graphs={"source": outline(source.proto), "simplified": outline(simplified.proto)},
            sample=sample(frames, reference),
        )  # fmt: skip
    assert first is not None
    raise first


def _explained(error: BlobsmithError, attempt: Clock) -> BlobsmithError:
    """A blob that is not right, with where the check of FP16 saw its digits go."""
    seen = next((s for s in attempt.taken() if s.name == "check FP16"), None)
    if not isinstance(error, CheckFailed) or seen is None or seen.detail["verdict"] == "safe":
        return error
    return CheckFailed(
        error.what,
        where=error.where,
        remedy=f"FP16 is {seen.summary}. Where no other form of that step keeps its digits, give "
        "out what goes into it and take the step on the host",
    )


def _plans(request: Request) -> list[tuple[tuple[RuleSet, ...], bool]]:
    """Rule sets, and whether FP16 is repaired, as they are tried; later ones if a check fails."""
    sets: list[tuple[RuleSet, ...]] = [("needed", "faster"), ("needed",)]
    if not request.optimize:
        return [((), request.fix_fp16), (("needed",), request.fix_fp16)]
    fixes = [True] if request.fix_fp16 else [False, True]
    return [(chosen, fix) for chosen in sets for fix in fixes]
