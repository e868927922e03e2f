"""config.json of an NN Archive: written so that it describes the compiled model, and read back.

The vendor's converter writes the config of the network *before* conversion into its archives
(float32 inputs, the training's mean and scale). Whoever feeds the blob by it feeds it wrongly.
Here every dtype, shape and layout is the blob's own, and mean, scale and colour swap are absent,
because the build has put them into the graph. Config version 1.0, as in luxonis-ml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import PackageError
from ..tensors import DType, TensorSpec
from . import checks

CONFIG_VERSION = "1.0"
CONFIG_LIMIT = 16 << 20
_NN_TYPES: dict[str, str] = {
    "u8": "uint8", "fp16": "float16", "fp32": "float32", "i32": "int32",
}  # fmt: skip
_REBUILD = "build the archive again: blobsmith build SOURCE --format archive"
_DTYPES: dict[str, DType] = {"uint8": "u8", "float16": "fp16", "float32": "fp32", "int32": "i32"}


def frame_type(spec: TensorSpec) -> str | None:
    """DepthAI's name for the frames that an input takes; None for what is no image.

    Frames are planar BGR whatever order the function expects: the swap is in the graph. The
    types are those of `dai.ImgFrame.Type`.
    """
    sizes = dict(zip(spec.layout, spec.shape, strict=True))
    if set(sizes) - {"N"} not in ({"C", "H", "W"}, {"H", "W"}) or sizes.get("N", 1) != 1:
        return None
    if spec.color is None and (spec.dtype != "u8" or min(sizes["H"], sizes["W"]) == 1):
        return None
    planar = spec.layout.endswith("HW")
    if sizes.get("C", 1) == 1:
        return {"u8": "GRAY8", "fp16": "GRAYF16"}.get(spec.dtype)
    if sizes["C"] != 3 or not (planar or spec.layout.endswith("HWC")):
        return None
    name = {"u8": "BGR888", "fp16": "BGRF16F16F16"}.get(spec.dtype)
    return name and f"{name}{'p' if planar else 'i'}"


def make_config(
    *,
    name: str,
    path: str,
    precision: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    classes: Sequence[str] | None = None,
    softmax: bool = False,
) -> dict[str, Any]:
    """The config of a model.

    Args:
        name: the model's name.
        path: the executable's name inside the archive.
        precision: of its weights: "float16" for a blob, "float32" for an ONNX.
        inputs: specs of the executable's inputs.
        outputs: specs of its outputs.
        classes: for a classifier, the names of its classes in order: adds the one simple head.
        softmax: whether the classifier's output already went through a softmax.

    Raises:
        PackageError: `classes` does not fit the output.
    """
    heads = None if classes is None else [_classification(outputs, classes, softmax)]
    return {
        "config_version": CONFIG_VERSION,
        "model": {
            "metadata": {"name": name, "path": path, "precision": precision},
            "inputs": [_input(spec) for spec in inputs],
            "outputs": [
                {
                    "name": spec.name,
                    "dtype": _NN_TYPES[spec.dtype],
                    "shape": list(spec.shape),
                    "layout": _letters(spec),
                }
                for spec in outputs
            ],
            "heads": heads,
        },
    }


def _input(spec: TensorSpec) -> dict[str, Any]:
    frames = frame_type(spec)
    image = frames is not None and "C" in spec.layout  # the schema wants a channel in images
    return {
        "name": spec.name,
        "dtype": _NN_TYPES[spec.dtype],
        "input_type": "image" if image else "raw",
        "shape": list(spec.shape),
        "layout": _letters(spec),
        "preprocessing": {"mean": None, "scale": None, "dai_type": frames},
    }


def _letters(spec: TensorSpec) -> str:
    """The layout, each letter once: the schema allows no two axes of the same name."""
    if len(set(spec.layout)) == len(spec.layout):
        return spec.layout
    return "".join(chr(ord("C") + axis) for axis in range(len(spec.shape)))


def _classification(
    outputs: Sequence[TensorSpec], classes: Sequence[str], softmax: bool
) -> dict[str, Any]:
    if len(outputs) != 1 or outputs[0].elements != len(classes):
        have = ", ".join(f"{spec.name} of {spec.elements} values" for spec in outputs)
        raise PackageError(
            f"{len(classes)} class names do not fit the model's outputs",
            where=have,
            remedy="give one name for each value of the one output",
        )
    return {
        "name": "classes",
        "parser": "ClassificationParser",
        "metadata": {
            "classes": list(classes), "n_classes": len(classes), "is_softmax": softmax,
        },
        "outputs": [outputs[0].name],
    }  # fmt: skip


def validate(config: Mapping[str, Any]) -> bool:
    """Checks a config strictly with luxonis-ml; False, unchecked, where that is not installed.

    Raises:
        PackageError: luxonis-ml refuses it; its first reason is named.
    """
    try:
        from luxonis_ml.nn_archive.config import Config
        from pydantic import ValidationError
    except ImportError:
        return False
    try:
        Config(**config)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PackageError(
            f"the archive's config is not valid: {first['msg']}", where=f"config.json: {place}"
        ) from error
    return True


def read_config(data: bytes) -> dict[str, Any]:
    """Reads config.json, as far as blobsmith needs it: metadata, inputs, outputs.

    Raises:
        PackageError: not JSON, another major version, or a field is missing or of a wrong type.
    """
    config = checks.parse_object(data, "config.json", limit=CONFIG_LIMIT)
    version = checks.text(config.get("config_version"), "config.json: config_version")
    if version.split(".")[0] != CONFIG_VERSION.split(".")[0]:
        raise PackageError(
            f"the archive's config has version {version}; this blobsmith reads 1.x",
            where="config.json: config_version",
            remedy="upgrade blobsmith",
        )
    model = checks.table(config.get("model"), "config.json: model")
    metadata = checks.table(model.get("metadata"), "config.json: model.metadata")
    for key in ("name", "path"):
        checks.text(metadata.get(key), f"config.json: model.metadata.{key}")
    for key in ("inputs", "outputs"):
        checks.items(model.get(key), f"config.json: model.{key}", least=1, most=256)
    return config


def config_specs(config: Mapping[str, Any], key: str, real: Sequence[TensorSpec]) -> list[str]:
    """Compares the tensors that a config names with those that the executable has.

    Args:
        config: what `read_config` gave.
        key: "inputs" or "outputs".
        real: the executable's own specs.

    Returns:
        Notes on what differs without harm (a type: the executable's own is used).

    Raises:
        PackageError: a name that the executable does not have, one that is missing, or a shape of
            another size. DepthAI itself would not notice.
    """
    kind, notes = key[:-1], []
    have = {spec.name: spec for spec in real}
    named: set[str] = set()
    for index, entry in enumerate(config["model"][key]):
        where = f"config.json: model.{key}[{index}]"
        name = checks.text(checks.table(entry, where).get("name"), f"{where}.name")
        if name not in have or name in named:
            raise PackageError(
                f"the archive's config names an {kind} {name!r} that its model does not have",
                where=f"{where}; the model has {', '.join(have)}",
                remedy=_REBUILD,
            )
        named.add(name)
        spec, dtype = have[name], entry.get("dtype")
        if entry.get("shape") is not None and _size(entry["shape"], where) != spec.elements:
            raise PackageError(
                f"the archive's config gives {kind} {name!r} the shape {entry['shape']}, its "
                f"model has {list(spec.shape)}",
                where=where,
                remedy=_REBUILD,
            )
        if _DTYPES.get(str(dtype)) != spec.dtype:
            notes.append(
                f"the archive calls {kind} {name!r} {dtype}; in the model it is "
                f"{_NN_TYPES[spec.dtype]}, which is used"
            )
    missing = sorted(set(have) - named)
    if missing:
        raise PackageError(
            f"the archive's config does not name the model's {kind} {missing[0]!r}",
            where=f"config.json: model.{key}",
            remedy=_REBUILD,
        )
    return notes


def _size(shape: Any, where: str) -> int:
    size = 1
    for axis, length in enumerate(checks.items(shape, f"{where}.shape", most=8)):
        size *= checks.whole(length, f"{where}.shape[{axis}]", low=1, high=1 << 31)
    return size
