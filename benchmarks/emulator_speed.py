"""How fast blobs run on the emulator: `python -m benchmarks.emulator_speed [NAME...]`.

Each zoo function at its own size (300x300, diff 720x720), against ONNX Runtime in FP32 on the same
frames in the same run; times are medians of interleaved runs, so that other work on the machine
slows both. The goal is 30 frames a second for blur, edge, sobel and concat on two cores, and at
most ten times ONNX Runtime's time for each. Nothing here passes or fails.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

RUNS = 25
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("built", {"optimize": True}),
    ("recipe", {"optimize": False}),
    ("recipe, no hardware", {"optimize": False, "hardware": False}),
)


def interleaved_ms(*works: Callable[[], object]) -> list[float]:
    """Median wall time of each of `works`, run in turns."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(RUNS + 1):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            if number:  # the first round warms up
                taken.append(1000 * (time.perf_counter() - began))
    return [statistics.median(taken) for taken in times]


def noise(specs: Sequence[Any]) -> dict[str, Any]:
    """A frame for each input: U8 noise, or floats within the declared range."""
    import numpy as np

    rng = np.random.default_rng(0)
    frames = {}
    for spec in specs:
        if spec.dtype == "u8":
            frames[spec.name] = rng.integers(0, 256, spec.shape, dtype=np.uint8)
        else:
            low, high = spec.value_range or (0.0, 1.0)
            frames[spec.name] = rng.uniform(low, high, spec.shape).astype(np.float16)
    return frames


def reference(name: str, frames: Mapping[str, Any]) -> Callable[[], object]:
    """The function's own graph in ONNX Runtime: what a user would run without a blob."""
    import numpy as np
    import onnxruntime as ort

    from blobsmith.sources import load

    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    session = ort.InferenceSession(
        load(name).onnx_bytes, settings, providers=["CPUExecutionProvider"]
    )
    wide = {key: array.astype(np.float32) for key, array in frames.items()}
    return lambda: session.run(None, wide)


def measure(name: str) -> Iterator[tuple[str, ...]]:
    """The rows of one zoo function."""
    import blobsmith
    from blobsmith import zoo
    from blobsmith.emulator import Emulator
    from blobsmith.errors import OperatorError

    frames = noise(zoo.get(name).inputs)
    runtime = reference(name, frames)
    for variant, options in VARIANTS:
        try:
            built = blobsmith.build(name, use_cache=False, verify=False, check=False, **options)
        except OperatorError:
            yield (name, variant, *("-",) * 7)
            continue
        began = time.perf_counter()
        emulator = Emulator(built.blob)
        planned = 1000 * (time.perf_counter() - began)
        mine, theirs = interleaved_ms(partial(emulator.run, frames), runtime)
        yield (
            name, variant, str(built.stages), f"{planned:.0f}", f"{mine:.2f}", f"{1000 / mine:.0f}",
            f"{theirs:.2f}", f"{mine / theirs:.1f}", f"{emulator.nbytes / 1e6:.1f}",
        )  # fmt: skip


def main(names: Sequence[str] = ()) -> None:
    """Measures and prints a table.

    Args:
        names: zoo functions; all if empty.
    """
    from blobsmith import zoo

    head = ("function", "blob", "stages", "plan ms", "run ms", "fps", "ORT ms", "ratio", "MB")
    form = "{:<10} {:<20} {:>6} {:>8} {:>8} {:>6} {:>8} {:>6} {:>7}"
    print(form.format(*head))
    for name in names or zoo.names():
        for row in measure(name):
            print(form.format(*row), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
