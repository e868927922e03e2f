"""From DepthAI's NNData to pictures and numbers: the same for v3 and v2.

    frames = outputs_to_frames(queue.get(), artifact)
    cv2.imshow("blur", frames["output"])

The message is used through its methods only, so neither generation of depthai is imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..blob import Blob
from ..errors import FrameError
from ..packaging.artifact import Artifact
from ..packaging.manifest import Manifest
from ..runtime.arrays import Array
from ..runtime.decode import DecodedOutput, decode_all
from ..tensors import NUMPY_NAMES, TensorSpec

Described = Manifest | Artifact | Blob | Sequence[TensorSpec]


def outputs_to_frames(nn_data: Any, manifest_or_blob: Described) -> dict[str, NDArray[Any]]:
    """A network's outputs as something to look at, by name.

    Args:
        nn_data: the NNData that a NeuralNetwork sent (DepthAI v3 or v2).
        manifest_or_blob: what says how the outputs are to be shown: a manifest or an opened file;
            a bare `Blob` knows shapes only, and its pictures are stretched over their own range.

    Returns:
        Output name -> uint8 BGR (height, width, 3): levels, masks in black and white, or colours
        for a map; float32 numbers for what is no picture. A recorded factor is taken out.

    Raises:
        FrameError: the message lacks an output, or has one of another size.
    """
    frames: dict[str, NDArray[Any]] = {}
    for output in decode_outputs(nn_data, manifest_or_blob):
        frames[output.name] = output.values if output.image is None else output.image
    return frames


def decode_outputs(nn_data: Any, manifest_or_blob: Described) -> tuple[DecodedOutput, ...]:
    """As `outputs_to_frames`, with everything that is known of each output."""
    specs = output_specs(manifest_or_blob)
    return decode_all(output_arrays(nn_data, specs), specs)


def output_specs(described: Described) -> tuple[TensorSpec, ...]:
    """The outputs' specs of whatever describes them."""
    if isinstance(described, Blob):
        return described.output_specs
    if isinstance(described, (Manifest, Artifact)):
        return described.outputs
    return tuple(described)


def output_arrays(nn_data: Any, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The raw tensors of a message by name, in the shapes and dtypes of the specs.

    Raises:
        FrameError: an output is missing or has another size.
    """
    names = nn_data.getAllLayerNames()
    missing = [spec.name for spec in specs if spec.name not in names]
    if missing:
        raise FrameError(
            f"the network's message has no output {missing[0]!r}",
            where=f"it has {', '.join(names) or 'none'}",
            remedy="the file that is described is not the one that runs: open the same file",
        )
    read = _read_v3 if hasattr(nn_data, "getTensor") else _read_v2
    arrays: dict[str, Array] = {}
    for spec in specs:
        values = read(nn_data, spec)
        if values.size != spec.elements:
            raise FrameError(
                f"the output {spec.name!r} came with {values.size} values, {list(spec.shape)} was "
                "expected",
                remedy="the file that is described is not the one that runs: open the same file",
            )
        arrays[spec.name] = values.reshape(spec.shape)
    return arrays


def _read_v3(nn_data: Any, spec: TensorSpec) -> Array:
    # DepthAI gives FP16 tensors back as float32, whose values are the same.
    return np.asarray(nn_data.getTensor(spec.name)).astype(NUMPY_NAMES[spec.dtype], copy=False)


def _read_v2(nn_data: Any, spec: TensorSpec) -> Array:
    """The tensor's bytes where its layer says they lie; v2's own getters make Python lists."""
    layer = next(item for item in nn_data.getAllLayers() if item.name == spec.name)
    data = np.asarray(nn_data.getData(), dtype=np.uint8)
    size = int(np.prod(layer.dims)) * np.dtype(NUMPY_NAMES[spec.dtype]).itemsize
    return data[layer.offset : layer.offset + size].view(NUMPY_NAMES[spec.dtype])
