"""Holds a rewrite to its promise: the changed region against the values before, in ONNX Runtime.

Only the new nodes are run, fed with the values that their inputs had before the change, so that an
error is judged where it is made and a small region costs little however large the graph is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto

from ..editor import Array, Editor, Record
from ..extract import extract
from .rule import Approx, Exactness

Feeds = Mapping[str, Array]
_REORDER = 4e-6
_FP16_DIGITS = 10
_FP16_MIN_EXPONENT = -14
_CACHE_BYTES = 400_000_000


def feeds(editor: Editor, seed: int) -> list[dict[str, Array]]:
    """Inputs for the check: noise, all low, all high, and noise around 0.

    Low and high are those of `editor.ranges`, or 0 and 255.
    """
    rng = np.random.default_rng(seed)
    sets: list[dict[str, Array]] = [{}, {}, {}, {}]
    for name in editor.inputs:
        dtype, shape = editor.dtype(name), editor.shape(name) or ()
        low, high = editor.ranges.get(name, (0.0, 255.0))
        unit = rng.random(shape)
        noise = low + unit * (high - low)
        if high - low > 16:
            noise = np.rint(noise)
        whole = name in editor.whole_inputs or (dtype is not None and dtype.kind in "iub")
        near = 2 * unit - 1 if name not in editor.ranges else np.clip(2 * unit - 1, low, high)
        if whole:
            noise, near = np.rint(noise), low + np.rint(unit * min(high - low, 4.0))
        columns = (noise, np.full(shape, low), np.full(shape, high), near)
        for feed, values in zip(sets, columns, strict=True):
            feed[name] = np.asarray(values).astype(dtype)
    return sets


def session(proto: ModelProto) -> Any:
    """An ONNX Runtime session without graph optimisation, on one thread, quiet."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


class Reference:
    """What values hold for the sets of inputs, kept: a value's name stands for it throughout.

    A rewrite promises to keep the values that it does not make itself, so what was computed in an
    earlier state of the graph is the reference in a later one, and only what is new is computed.

    Args:
        inputs: sets of graph inputs.
    """

    def __init__(self, inputs: Sequence[Feeds]) -> None:
        self._known: list[dict[str, Array]] = [dict(feed) for feed in inputs]
        self._bytes = 0

    def values(self, editor: Editor, names: Iterable[str]) -> list[dict[str, Array]]:
        """What the named values hold, one mapping for each set of inputs."""
        wanted = list(dict.fromkeys(names))
        missing = [n for n in wanted if n not in editor.constants and n not in self._known[0]]
        part = extract(editor, missing, stop=lambda value: value in self._known[0])
        run = session(part.proto) if part.outputs else None
        results: list[dict[str, Array]] = []
        for known in self._known:
            found = {n: editor.constants[n] for n in wanted if n in editor.constants}
            found.update({n: known[n] for n in wanted if n in known})
            if run is not None:
                feed = {n: as_expected(editor, n, known[n]) for n in part.inputs}
                made = run.run(list(part.outputs.values()), feed)
                found.update(zip(part.outputs, made, strict=True))
            results.append(found)
        for known, found in zip(self._known, results, strict=True):
            new = {n: v for n, v in found.items() if n not in known and n not in editor.constants}
            self._bytes += sum(v.nbytes for v in new.values())
            known.update(new)
        if self._bytes > _CACHE_BYTES:
            self._known = [
                {n: v for n, v in known.items() if n in editor.inputs} for known in self._known
            ]
            self._bytes = 0
        return results

    def adopt(self, records: Iterable[Record]) -> None:
        """Lets what was promised to be a value stand for it, so that errors do not add up."""
        for record in records:
            for known in self._known:
                known.update({new: known[old] for old, new in record.same.items() if old in known})


def constant_values(editor: Editor, names: Iterable[str]) -> dict[str, Array]:
    """What values hold that depend on no input."""
    return Reference([{}]).values(editor, names)[0]


def broken(
    before: Editor,
    after: Editor,
    records: Sequence[tuple[Record, Exactness]],
    reference: Reference,
) -> dict[int, str]:
    """Which records do not keep their promise, and how.

    Args:
        before: the graph before all the records' changes.
        after: the graph after them.
        records: each with what it promised.
        reference: values of the graph before.

    Returns:
        index of the record -> one clause that says what differs; empty if all is well.

    Raises:
        Exception: whatever ONNX Runtime raises when it cannot run the changed nodes.
    """
    pairs = [
        (index, old, new)
        for index, (record, _) in enumerate(records)
        for old, new in record.same.items()
        if before.is_known(old) and after.is_known(new)
    ]
    origin = {new: old for _, old, new in pairs}
    added = {node for record, _ in records for node in record.added}

    def fed(value: str) -> bool:
        maker = after.producer(value)
        return value in origin or (maker not in added and before.is_known(value))

    part = extract(after, [new for _, _, new in pairs], stop=fed)
    sources = {name: origin.get(name, name) for name in part.inputs}
    references = reference.values(before, [*(o for _, o, _ in pairs), *sources.values()])
    run = session(part.proto) if part.outputs else None
    reads = [{r for n in record.added for r in n.reads()} for record, _ in records]
    failures: dict[int, str] = {}
    for was in references:
        made: dict[str, Array] = {}
        if run is not None:
            feed = {n: as_expected(after, n, was[source]) for n, source in sources.items()}
            found = run.run(list(part.outputs.values()), feed)
            made.update(zip(part.outputs, found, strict=True))
        sizes = {name: _largest(was[source]) for name, source in sources.items()}
        scales_of = [max((sizes[n] for n in read & set(sizes)), default=0.0) for read in reads]
        for index, old, new in pairs:
            value = made.get(new, after.constants.get(new, was.get(new)))
            if index in failures or value is None:
                continue
            scale = scales_of[index]
            if reason := differs(was[old], value, records[index][1], scale):
                failures[index] = f"{old}: {reason}"
    return failures


def as_expected(editor: Editor, name: str, array: Array) -> Array:
    """An array in the shape and dtype that the changed graph expects."""
    known = editor.type(name)
    if known is None:
        return array
    return array.reshape(known.shape or array.shape).astype(known.dtype)


def _largest(array: Array) -> float:
    """The largest finite magnitude of floats; 0 without any."""
    if array.dtype.kind != "f" or not array.size:
        return 0.0
    largest = float(np.abs(array).max())
    if np.isfinite(largest):
        return largest
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0


def differs(expected: Array, got: Array, exactness: Exactness, scale: float = 0.0) -> str:
    """Why `got` is not what was promised; "" if it is.

    Elements whose expected value is not finite are not compared, except for exact rules.

    Args:
        expected: value before.
        got: value after; another shape is an error unless the number of elements is the same.
        exactness: the promise.
        scale: magnitude of what went into the computation, for `reorder`.
    """
    if expected.size != got.size:
        return f"shape {list(expected.shape)} became {list(got.shape)}"
    e: Array = expected.reshape(-1)
    g: Array = got.reshape(-1)
    if e.dtype == g.dtype and np.array_equal(e, g):
        return ""
    if exactness == "exact" or e.dtype.kind != "f":
        same = (e == g) | ((e != e) & (g != g))
        return "" if bool(same.all()) else f"{int((~same).sum())} of {e.size} elements differ"
    finite = np.isfinite(e)
    e = np.where(finite, e, np.float32(0))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(g - e)
    error[np.isnan(error)] = np.inf
    error[~finite] = 0
    size = np.abs(e)
    top = max(float(size.max()), scale)
    if not isinstance(exactness, Approx):
        worst = float(error.max())
        return "" if worst <= _REORDER * top + 1e-30 else f"error {worst:.3g} at scale {top:.3g}"
    if exactness.period:
        turns = np.where(np.isfinite(error), np.rint(error / exactness.period), 0.0)
        error = np.abs(error - turns * exactness.period)
    least = max(exactness.floor, exactness.of_scale * top, 2.0**_FP16_MIN_EXPONENT)
    if float(error.max()) <= exactness.ulps * 2.0 ** (np.floor(np.log2(least)) - _FP16_DIGITS):
        return ""
    unit = np.exp2(np.floor(np.log2(np.maximum(size, np.float32(least)))) - _FP16_DIGITS)
    over = error > exactness.ulps * unit
    share = float(over.mean())
    if share <= exactness.flips:
        return ""
    worst = float((error / unit).max())
    return f"error of {worst:.3g} FP16 units in the last place ({share:.2%} of the elements)"
