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
    config = form.files["config"].file.read(_MOST_CONFIG + 1)
    if len(config) > _MOST_CONFIG:
        raise RequestFault("the config is too large", remedy="send it as blobconverter does")
    files = [name for name in form.files if name != "config"]
    for name in files:
        _refuse_others(plain_name(form.files[name].filename))
    if not files:
        raise not_downloaded("")
    if len(files) > 1:
        raise RequestFault("the form has several models", remedy="send one .onnx file")
    shaves = fields.get("myriad_shaves", "4")
    if not (shaves.isdecimal() and shaves.isascii() and 1 <= int(shaves[:9]) <= 16):
        raise UsageError(f"{shaves[:40]} shaves cannot be compiled for", remedy="give 1 to 16")
    compile_params = (fields.get("myriad_params_advanced", ""),)
    return files[0], jobs.convert, (int(shaves), config, compile_params)


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
