"""How long the road takes: `python -m benchmarks.spine`.

Every figure is the median of several runs, in milliseconds and as a ratio to starting a bare
Python interpreter in the same run, since machines differ. Targets are the project's own; nothing
here passes or fails. The package is compiled to bytecode first, as pip does when it installs one;
where PYTHONDONTWRITEBYTECODE is set, every process would compile an editable checkout anew.

OpenVINO's `mo` makes an IR, not a blob, of the same ONNX, and runs if it is on the PATH:
`python3.9 -m venv mo && mo/bin/pip install "openvino-dev[onnx]==2022.1.0"`.
"""

from __future__ import annotations

import compileall
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MODULE = """
import torch, kornia
class Blur(torch.nn.Module):
    blobsmith_inputs = {"image": (1, 3, 300, 300)}
    def forward(self, image):
        return kornia.filters.gaussian_blur2d(image, (9, 9), (2.5, 2.5))
"""


def median_ms(work: Callable[[], object], runs: int = 5) -> float:
    """Median wall time of `work` after one run that is not counted."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def alternating_ms(works: Sequence[Callable[[], object]], runs: int = 5) -> list[float]:
    """The median times of works that are compared: in turn, so that noise meets all alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(runs):
        for work, found in zip(works, times, strict=True):
            found.append(median_ms(work, 1))
    return [statistics.median(found) for found in times]


def shell(*arguments: str) -> Callable[[], object]:
    """A command in a process of its own."""
    return lambda: subprocess.run(arguments, check=True, capture_output=True)


def small_onnx(path: Path) -> None:
    """A 3x3 convolution and a ReLU on 3x300x300."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.full((3, 3, 3, 3), 1 / 27, np.float32), "w")
    shape = [1, 3, 300, 300]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["output"]),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    onnx.save(model, path)


def main() -> None:
    """Measures and prints a table."""
    import blobsmith
    from blobsmith.myriad import CompileOptions, compile_onnx

    compileall.compile_dir(Path(str(blobsmith.__file__)).parent, quiet=2)
    python = sys.executable
    tool = [python, "-m", "blobsmith"]
    with tempfile.TemporaryDirectory() as scratch:
        model, blob = Path(scratch) / "model.onnx", str(Path(scratch) / "m.blob")
        module = Path(scratch) / "blur.py"
        module.write_text(MODULE)
        small_onnx(model)
        data = model.read_bytes()
        build = [*tool, "build", str(model), "-o", blob]
        from_module, fresh = [*tool, "build", f"{module}:Blur", "-o", blob], ["--no-cache"]

        def warm() -> bytes:
            return compile_onnx(data, CompileOptions())

        bare = median_ms(shell(python, "-c", "pass"))
        torch, of_module = alternating_ms(
            [shell(python, "-c", "import torch, kornia"), shell(*from_module, *fresh)]
        )
        rows = [
            ("python -c pass", bare, None),
            ("import blobsmith", median_ms(shell(python, "-c", "import blobsmith")), bare + 100),
            ("blobsmith --help", median_ms(shell(*tool, "--help")), None),
            ("small ONNX to a blob, warm", median_ms(warm), 60),
            ("build --no-verify, cold", median_ms(shell(*build, "--no-verify", *fresh), 3), 1000),
            ("build with everything, cold", median_ms(shell(*build, *fresh), 3), 2000),
            ("build, cache hit, cold", median_ms(shell(*build)), 400),
            ("import torch, kornia", torch, None),
            ("build a module, cold", of_module, torch + 1000),
        ]  # fmt: skip
        if mo := shutil.which("mo"):
            command = [mo, "--input_model", str(model), "--output_dir", scratch]
            rows.append(("OpenVINO's mo on the same ONNX", median_ms(shell(*command), 3), None))
    print(f"{'':34}{'ms':>9}{'x python':>10}{'target ms':>11}")
    for name, value, target in rows:
        aim = "" if target is None else f"{target:.0f}"
        print(f"{name:34}{value:9.1f}{value / bare:10.1f}{aim:>11}")
    if not shutil.which("mo"):
        print("OpenVINO's mo is not installed here (openvino-dev 2022.1 needs Python 3.9 or older)")


if __name__ == "__main__":
    main()
