"""The tutorial's plain recipe: TorchScript export at opset 12, then onnxsim."""

from __future__ import annotations

import io

import numpy as np
import torch

from blobsmith.zoo import ZooEntry


def arrays(entry: ZooEntry, seed: int = 0) -> list[np.ndarray]:
    """Float32 noise for each input, over its range."""
    rng = np.random.default_rng(seed)
    made = []
    for spec in entry.inputs:
        if spec.dtype == "u8":
            made.append(rng.integers(0, 256, spec.shape).astype(np.float32))
        else:
            assert spec.value_range is not None
            made.append(rng.uniform(*spec.value_range, spec.shape).astype(np.float32))
    return made


def run(entry: ZooEntry, inputs: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The module's outputs by name."""
    with torch.no_grad():
        result = entry.factory()(*[torch.from_numpy(array) for array in inputs])
    results = result if isinstance(result, tuple) else (result,)
    return {spec.name: value.numpy() for spec, value in zip(entry.outputs, results, strict=True)}


def recipe(entry: ZooEntry) -> bytes:
    """The simplified ONNX graph."""
    import onnx
    import onnxsim

    stream = io.BytesIO()
    torch.onnx.export(
        entry.factory(),
        tuple(torch.from_numpy(array) for array in arrays(entry)),
        stream,
        opset_version=12,
        dynamo=False,
        input_names=[spec.name for spec in entry.inputs],
        output_names=[spec.name for spec in entry.outputs],
    )
    simplified, good = onnxsim.simplify(onnx.load_model_from_string(stream.getvalue()))
    assert good
    return simplified.SerializeToString()
