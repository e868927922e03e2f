"""The description of a model that blobconverter's client sends beside it; read inside a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compat.conversion import elsewhere, not_downloaded
from .faults import RequestFault

_FRAMEWORKS = {"caffe": "caffe", "tf": "tf", "dldt": "openvino"}
_OWN_PLACE = "--input_model="


def optimizer_arguments(config: bytes) -> tuple[str, ...]:
    """The model optimizer's parameters, without those that name the client's own files.

    Raises:
        RequestFault: it cannot be read.
        UsageError: it describes what cannot be converted here.
    """
    found = _read(config)
    framework = found.get("framework", "onnx")
    if framework != "onnx":
        if isinstance(framework, str) and framework in _FRAMEWORKS:
            raise elsewhere(_FRAMEWORKS[framework])
        raise RequestFault("the config's framework is not known", remedy="send an .onnx file")
    files = found.get("files")
    for entry in files if isinstance(files, list) else []:
        source = entry.get("source") if isinstance(entry, dict) else None
        if isinstance(source, str):
            raise not_downloaded(source[:200])
    given = found.get("model_optimizer_args", [])
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise RequestFault("the config's model_optimizer_args are no list of texts")
    return tuple(text for text in given if not text.strip().startswith(_OWN_PLACE))


def _read(config: bytes) -> Mapping[str, Any]:
    """YAML, in which every value is taken as text."""
    import yaml

    try:
        # not the safe loader: that one's merge keys make gigabytes of a few hundred bytes
        found = yaml.load(config, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RequestFault("the config cannot be read: it is no YAML") from error
    if not isinstance(found, dict):
        raise RequestFault("the config says nothing", remedy="send it as blobconverter does")
    return found
