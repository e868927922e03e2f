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


def values(editor: Editor, names: Iterable[str], inputs: Sequence[Feeds]) -> list[dict[str, Array]]:
    """What the named values hold for each set of inputs; only what they need is computed."""
    wanted = list(dict.fromkeys(names))
    part = extract(editor, wanted)
    run = session(part.proto) if part.outputs else None
    results: list[dict[str, Array]] = []
    for feed in inputs:
        found = {n: editor.constants[n] for n in wanted if n in editor.constants}
        found.update({n: np.asarray(feed[n]) for n in wanted if n in editor.inputs})
        if run is not None:
            made = run.run(list(part.outputs.values()), {n: feed[n] for n in part.inputs})
            found.update(zip(part.outputs, made, strict=True))
        results.append(found)
    return results


def broken(
    before: Editor,
    after: Editor,
    records: Sequence[tuple[Record, Exactness]],
    inputs: Sequence[Feeds],
) -> dict[int, str]:
    """Which records do not keep their promise, and how.

    Args:
        before: the graph before all the records' changes.
        after: the graph after them.
        records: each with what it promised.
        inputs: sets of graph inputs.

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
    references = values(before, [*(old for _, old, _ in pairs), *sources.values()], inputs)
    run = session(part.proto) if part.outputs else None
    scales = [{r for n in record.added for r in n.reads()} for record, _ in records]
    failures: dict[int, str] = {}
    for reference in references:
        made: dict[str, Array] = {}
        if run is not None:
            feed = {n: _as(after, n, reference[source]) for n, source in sources.items()}
            found = run.run(list(part.outputs.values()), feed)
            made.update(zip(part.outputs, found, strict=True))
        for index, old, new in pairs:
            value = made.get(new, after.constants.get(new, reference.get(new)))
            if index in failures or value is None:
                continue
            scale = _largest(reference[s] for n, s in sources.items() if n in scales[index])
            if reason := differs(reference[old], value, records[index][1], scale):
                failures[index] = f"{old}: {reason}"
    return failures


def _as(editor: Editor, name: str, array: Array) -> Array:
    """An array in the shape and dtype that the changed graph expects."""
    known = editor.type(name)
    if known is None:
        return array
    return array.reshape(known.shape or array.shape).astype(known.dtype)


def _largest(arrays: Iterable[Array]) -> float:
    """The largest finite magnitude in float arrays; 0 without any."""
    largest = 0.0
    for array in arrays:
        if array.dtype.kind == "f" and array.size:
            finite = np.abs(array[np.isfinite(array)])
            largest = max(largest, float(finite.max()) if finite.size else 0.0)
    return largest


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
    e, g = expected.reshape(-1), got.reshape(-1)
    if exactness == "exact" or e.dtype.kind != "f":
        same = (e == g) | ((e != e) & (g != g))
        return "" if bool(same.all()) else f"{int((~same).sum())} of {e.size} elements differ"
    e64, g64 = e.astype(np.float64), g.astype(np.float64)
    finite = np.isfinite(e64)
    error = np.abs(np.where(finite, g64 - np.where(finite, e64, 0.0), 0.0))
    error[np.isnan(error)] = np.inf
    top = max(float(np.abs(e64[finite]).max()) if finite.any() else 0.0, scale)
    if not isinstance(exactness, Approx):
        worst = float(error.max()) if error.size else 0.0
        return "" if worst <= _REORDER * top + 1e-30 else f"error {worst:.3g} at scale {top:.3g}"
    if exactness.period:
        turns = np.where(np.isfinite(error), np.rint(error / exactness.period), 0.0)
        error = np.abs(error - turns * exactness.period)
    least = max(exactness.floor, exactness.of_scale * top, 2.0**-14)
    size = np.maximum(np.abs(np.where(finite, e64, 0.0)), least)
    unit = np.exp2(np.maximum(np.floor(np.log2(size)), _FP16_MIN_EXPONENT) - _FP16_DIGITS)
    over = error > exactness.ulps * unit
    share = float(over.mean()) if over.size else 0.0
    if share <= exactness.flips:
        return ""
    worst = float((error / unit).max())
    return f"error of {worst:.3g} FP16 units in the last place ({share:.2%} of the elements)"
