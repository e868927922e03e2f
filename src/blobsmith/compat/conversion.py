"""What blobconverter's client asks for, as a call of `build`; and what is refused, in which words.

The module that stands in for blobconverter and the server that its client talks to share this.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

from ..errors import UsageError
from ..tensors import InputRequest
from .parameters import CompileParameters, OptimizerParameters

VERSION = "2022.1"
_ELSEWHERE = {
    "caffe": (
        "Caffe models", "convert them to ONNX (e.g. with caffe2onnx), then from_onnx",
    ),
    "tf": ("TensorFlow models", "convert them to ONNX with tf2onnx, then from_onnx"),
    "zoo": (
        "models of Intel's and DepthAI's zoos",
        "download the model's ONNX, then from_onnx; `blobsmith zoo` lists functions that are here",
    ),
    "openvino": ("OpenVINO IR", "hand over the ONNX that it came from to from_onnx"),
}  # fmt: skip
_FLAGS = {
    "download_ir": "write the IR with `blobsmith build MODEL.onnx --ir DIR`",
    "dry": "look at the graph with `blobsmith check MODEL.onnx`",
}


def elsewhere(kind: str) -> UsageError:
    """The refusal of a "caffe", "tf", "zoo" or "openvino" model, which tells the way."""
    what, way = _ELSEWHERE[kind]
    return UsageError(f"{what} cannot be converted here", remedy=way)


def flag_refused(name: str) -> UsageError:
    """The refusal of ``download_ir=True`` or ``dry=True``."""
    return UsageError(f"{name}=True is not supported", remedy=_FLAGS[name])


def not_downloaded(url: str) -> UsageError:
    """The refusal of a model that lies on the net."""
    return UsageError(
        "models are not downloaded", where=url, remedy="download it and give its path"
    )


def require_supported(version: str, data_type: str) -> None:
    """Refuses versions of the format and element types that cannot be made here.

    Raises:
        UsageError: another version than 2022.1, another type than FP16.
    """
    if version != VERSION:
        raise UsageError(
            f"blobs of version {version} cannot be made here",
            remedy='leave version out or give "2022.1"; DepthAI 2 and 3 read it',
        )
    if data_type != "FP16":
        raise UsageError("data_type can only be FP16 on this chip", remedy='give "FP16"')


def build_call(
    data: bytes,
    name: str,
    wanted: OptimizerParameters,
    types: CompileParameters,
    pool: Executor,
) -> dict[str, Any]:
    """The keywords with which `build` does what the parameters ask for.

    Args:
        data: the .onnx file.
        name: its name.
        wanted, types: what ``optimizer_params`` and ``compile_params`` say.
        pool: where the file is parsed.

    Raises:
        ModelError: it is no ONNX.
        UsageError: an output that it does not have.
    """
    from .surgery import select_outputs, signature

    if wanted.outputs:
        data = pool.submit(select_outputs, data, wanted.outputs).result()
    declared: Mapping[str, tuple[int, ...] | None] = pool.submit(signature, data).result()
    named = tuple((tensor, dtype) for tensor, dtype in types.named if tensor not in declared)
    return {
        "source": (data, name),
        "inputs": _requests(declared, wanted, types),
        "output_dtypes": (("*", types.outputs), *named),
    }


def _requests(
    declared: Mapping[str, tuple[int, ...] | None],
    wanted: OptimizerParameters,
    types: CompileParameters,
) -> dict[str, InputRequest]:
    names = wanted.inputs or tuple(declared)
    shapes = dict(zip(names, wanted.shapes, strict=False))
    named = dict(types.named)
    requests = {}
    for name, shape in declared.items():
        given = shapes.get(name, shape)
        image = given is not None and len(given) == 4 and given[1] == 3
        dtype: Any = named.get(name, types.inputs or "fp16")
        requests[name] = InputRequest(
            shape=given, dtype=dtype, color=("rgb" if wanted.reverse else "bgr") if image else None,
            mean=wanted.mean if image else None, scale=wanted.scale if image else None,
        )  # fmt: skip
    return requests
