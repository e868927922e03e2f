"""From a source to checked blobs, inside a worker process: the plan, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import BlobError, BlobsmithError, CheckFailed, OperatorError
from ..workers import tell
from .request import OnnxFile, Request, Result, Step
from .steps import (
    Clock,
    OutputTooLarge,
    compile_blobs,
    fp16,
    parse,
    reference_outputs,
    require_size,
    rewrite_graph,
    sample,
    verify_blobs,
)

if TYPE_CHECKING:
    from ..blob import Blob
    from ..graph.rewrites.rule import RuleSet
    from ..graph.simplify import SimplifyResult
    from ..model import Model


@dataclass(frozen=True)
class _Attempt:
    """One plan down to its blobs, not yet verified; or why it ended before."""

    sets: tuple[RuleSet, ...]
    fix: bool
    clock: Clock
    model: Model | None = None
    applied: tuple[str, ...] = ()
    blobs: Mapping[int, Blob] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: BlobsmithError | None = None

    def told(self, error: BlobsmithError) -> str:
        """Why it was not taken, in a sentence."""
        tried = f"{'+'.join(self.sets) or 'no'} rewrites{', FP16 repaired' if self.fix else ''}"
        return f"not taken: {tried}: {error.what}"


@dataclass(frozen=True)
class _Rewritten:
    """What a set of rules made of the graph, for all attempts with it."""

    model: Model
    applied: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class _Begun:
    """What needs no reference: the simplified graph, and the first attempt."""

    clock: Clock
    source: Model
    simplified: SimplifyResult
    plain: Model
    first: _Attempt
    rewritten: dict[tuple[RuleSet, ...], _Rewritten]


# The one request that was begun ahead in this process, by its token.
_ahead: dict[str, _Begun] = {}


def begin(request: Request) -> None:
    """Does ahead what needs no reference, while the owner runs the user's function for one.

    `run` goes on from here if it is called in the same process with the same token; else it
    begins anew, so that this is never needed. What fails here fails there again.
    """
    _ahead.clear()
    _ahead[request.token] = _begin(request)


def run(request: Request) -> Result:
    """Takes one source down the road: simplify, preprocess, rewrite, check, compile, verify.

    Raises:
        BlobsmithError: any branch; the message names the step's own subject.
    """
    from ..graph.outline import outline

    begun = _ahead.pop(request.token, None) or _begin(request)
    source, simplified = begun.source, begun.simplified
    begun.clock.restart()
    frames, reference = reference_outputs(request, source, begun.clock)
    warnings: list[str] = list(simplified.stats.notes)
    first: BlobsmithError | None = None
    for number, plan in enumerate(_plans(request)):
        done = begun.first
        if number:
            done = _attempt(begun.plain, request, *plan, begun.rewritten)
        try:
            if done.error is not None or done.model is None:
                raise done.error or AssertionError
            done.clock.restart()
            tell("verify")
            verification = verify_blobs(
                request, source, done.model, done.blobs, frames, reference, done.clock
            )
        except (CheckFailed, OperatorError, BlobError) as error:
            if first is None or isinstance(error, OutputTooLarge):  # it says what can be done
                first = _explained(error, done.clock)
            warnings.append(done.told(error))
            continue
        if verification is not None:
            warnings += [f"{o.name}: {o.reason}" for o in verification.outputs if o.reason]
        return Result(
            notes=source.notes, model=done.model,
            blobs={shaves: blob.data for shaves, blob in done.blobs.items()},
            steps=(*begun.clock.steps, *done.clock.steps), verification=verification,
            rewrites=done.applied, warnings=(*warnings, *done.warnings),
            before=simplified.before, after=simplified.after,
            graphs={"source": outline(source.proto), "simplified": outline(simplified.proto)},
            sample=sample(frames, reference),
        )  # fmt: skip
    assert first is not None
    raise first


def _begin(request: Request) -> _Begun:
    from ..graph import preprocess, simplify
    from ..myriad.compile import warm_up

    tell("read" if isinstance(request.source, OnnxFile) else "simplify")
    warm_up(request.toolchain)
    clock = Clock()
    source = parse(request, clock)
    require_size(source)
    tell("simplify")
    simplified = simplify.simplify(source.proto, specs=source.inputs)
    clock.step(
        "simplify", f"{simplified.before.total} -> {simplified.after.total} nodes",
        before=dict(simplified.before.by_type), after=dict(simplified.after.by_type),
    )  # fmt: skip
    plain = preprocess.insert(source.with_graph(simplified.proto))
    rewritten: dict[tuple[RuleSet, ...], _Rewritten] = {}
    first = _attempt(plain, request, *_plans(request)[0], rewritten)
    return _Begun(clock, source, simplified, plain, first, rewritten)


def _attempt(
    plain: Model,
    request: Request,
    sets: tuple[RuleSet, ...],
    fix: bool,
    rewritten: dict[tuple[RuleSet, ...], _Rewritten],
) -> _Attempt:
    clock = Clock()
    try:
        if sets not in rewritten:
            tell("rewrite")
            rewritten[sets] = _Rewritten(*rewrite_graph(plain, request, sets, clock), clock.taken())
        else:
            clock = Clock(rewritten[sets].steps)
        applied = rewritten[sets].applied
        tell("check FP16")
        model, found = fp16(rewritten[sets].model, request, fix, clock)
        tell("compile")
        blobs = compile_blobs(model, request, clock)
    except (CheckFailed, OperatorError, BlobError) as error:  # the emulator may lack a stage
        return _Attempt(sets, fix, clock, error=error)
    return _Attempt(sets, fix, clock, model, applied, blobs, tuple(found))


def _explained(error: BlobsmithError, attempt: Clock) -> BlobsmithError:
    """A blob that is not right, or not runnable here, with what the user can do about it."""
    if isinstance(error, BlobError) and error.what.startswith("the emulator cannot"):
        return CheckFailed(
            f"the blob compiles, but it cannot be verified: {error.what}",
            where=error.where,
            remedy="write that operation with others (an LSTM or GRU as its cells, a batch as "
            "single images), or take the blob unverified with --no-verify",
        )
    seen = next((s for s in attempt.taken() if s.name == "check FP16"), None)
    if (
        not isinstance(error, CheckFailed)
        or isinstance(error, OutputTooLarge)
        or seen is None
        or seen.detail["verdict"] == "safe"
    ):
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
