"""The endpoints that the public `blobconverter` client calls, as its vendor's server has them.

    blobconverter.set_defaults(url="http://127.0.0.1:8000")
    blobconverter.from_onnx(model="blur.onnx", shaves=6, optimizer_params=[])

It prints the body of an answer only if its status is 400: all that is at fault with a model is 400
here. What the server does not do is refused in the words of `blobsmith.compat.blobconverter`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..compat.conversion import (
    VERSION,
    elsewhere,
    flag_refused,
    not_downloaded,
    require_supported,
)
from ..errors import UsageError
from . import jobs
from .faults import RequestFault
from .upload import Form, plain_name

_MOST_CONFIG = 8 << 10
_FRAMEWORKS = {"caffe": "caffe", "tf": "tf", "dldt": "openvino"}
_OWN_PLACE = "--input_model="


def read_compile(
    form: Form, query: Mapping[str, str]
) -> tuple[str, Callable[..., Any], tuple[Any, ...]]:
    """The file's field, the job and its arguments, as `Desk.begin` wants them.

    Raises:
        UsageError: something is asked for that cannot be done here, or cannot be read.
    """
    fields = {name: values[-1] for name, values in form.fields.items()}
    for flag, value in (("dry", query.get("dry")), ("download_ir", fields.get("download_ir"))):
        if _is_set(value):
            raise flag_refused(flag)
    if _is_set(fields.get("use_zoo")):
        raise elsewhere("zoo")
    require_supported(query.get("version") or VERSION, fields.get("data_type") or "FP16")
    if "config" not in form.files:
        raise RequestFault("the form has no config", remedy="send it as blobconverter does")
    optimizer = _optimizer(_config(form.files["config"].file.read(_MOST_CONFIG + 1)))
    files = [name for name in form.files if name != "config"]
    if len(files) != 1:
        raise RequestFault("the form has no model, or several", remedy="send one .onnx file")
    _refuse_others(plain_name(form.files[files[0]].filename))
    shaves = fields.get("myriad_shaves", "4")
    if not (shaves.isdecimal() and shaves.isascii() and 1 <= int(shaves[:9]) <= 16):
        raise UsageError(f"{shaves[:40]} shaves cannot be compiled for", remedy="give 1 to 16")
    compile_params = (fields.get("myriad_params_advanced", ""),)
    return files[0], jobs.convert, (int(shaves), optimizer, compile_params)


def _is_set(value: str | None) -> bool:
    return (value or "").strip().lower() in ("true", "1")


def _refuse_others(name: str) -> None:
    kinds = {
        ".caffemodel": "caffe", ".prototxt": "caffe", ".pb": "tf", ".xml": "openvino",
        ".bin": "openvino",
    }  # fmt: skip
    for suffix, kind in kinds.items():
        if name.lower().endswith(suffix):
            raise elsewhere(kind)


def _config(data: bytes) -> Mapping[str, Any]:
    """The client's description of its model: YAML, in which every value is taken as text.

    Raises:
        RequestFault: it cannot be read.
    """
    import yaml

    if len(data) > _MOST_CONFIG:
        raise RequestFault("the config is too large", remedy="send it as blobconverter does")
    try:
        # not the safe loader: that one's merge keys make gigabytes of a few hundred bytes
        found = yaml.load(data, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RequestFault("the config cannot be read: it is no YAML") from error
    if not isinstance(found, dict):
        raise RequestFault("the config says nothing", remedy="send it as blobconverter does")
    return found


def _optimizer(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The model optimizer's parameters without those that name the client's own files."""
    framework = config.get("framework", "onnx")
    if framework != "onnx":
        if isinstance(framework, str) and framework in _FRAMEWORKS:
            raise elsewhere(_FRAMEWORKS[framework])
        raise RequestFault("the config's framework is not known", remedy="send an .onnx file")
    files = config.get("files")
    for entry in files if isinstance(files, list) else []:
        source = entry.get("source") if isinstance(entry, dict) else None
        if isinstance(source, str):
            raise not_downloaded(source[:200])
    given = config.get("model_optimizer_args", [])
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given):
        raise RequestFault("the config's model_optimizer_args are no list of texts")
    return tuple(text for text in given if not text.strip().startswith(_OWN_PLACE))
