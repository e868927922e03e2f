"""The shape of blobconverter 1.4.3, without its server: change the import, keep the code.

    from blobsmith.compat import blobconverter
    blobconverter.from_onnx(model="blur.onnx", data_type="FP16", shaves=6, optimizer_params=[])

Its defaults are kept, the dangerous ones too: mean 127.5 and scale 255 are put into the graph
unless ``optimizer_params=[]`` is given, and a note says so. Unlike there, nothing is ever taken
from a cache by name: builds are kept by content.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from ..errors import ModelError, UsageError
from ..tensors import InputRequest
from .parameters import CompileParameters, OptimizerParameters, compile_tool, optimizer

_BY_DEFAULT = ("--mean_values=[127.5,127.5,127.5]", "--scale_values=[255,255,255]")


class Versions:
    """Version names; only `v2022_1` can be made here."""

    v2022_3_RVC3 = "2022.3_RVC3"  # noqa: N815 - their name
    v2022_1 = "2022.1"
    v2021_4 = "2021.4"
    v2021_3 = "2021.3"
    v2021_2 = "2021.2"


@dataclass(frozen=True)
class _Defaults:
    url: str | None = None
    version: str = Versions.v2022_1
    shaves: int = 4
    output_dir: Path = Path.home() / ".cache" / "blobconverter"
    compile_params: tuple[str, ...] = ("-ip U8",)
    optimizer_params: tuple[str, ...] = _BY_DEFAULT
    data_type: str = "FP16"
    silent: bool = False
    zoo_type: str = "intel"
    progress_func: Callable[[int, int], None] | None = None


# blobconverter's own interface is a module with defaults that a call changes.
_state = {"defaults": _Defaults()}


def set_defaults(
    url: str | None = None,
    version: str | None = None,
    shaves: int | None = None,
    output_dir: str | Path | None = None,
    compile_params: list[str] | None = None,
    optimizer_params: list[str] | None = None,
    data_type: str | None = None,
    silent: bool | None = None,
    zoo_type: str | None = None,
    progress_func: Callable[[int, int], None] | None = None,
) -> None:
    """Changes what later calls use where they say nothing; None leaves a value as it is.

    `url` and `progress_func` have no effect here: nothing is uploaded or downloaded.
    """
    given: dict[str, Any] = {
        "url": url, "version": version, "shaves": shaves, "data_type": data_type,
        "output_dir": None if output_dir is None else Path(output_dir),
        "compile_params": None if compile_params is None else tuple(compile_params),
        "optimizer_params": None if optimizer_params is None else tuple(optimizer_params),
        "silent": silent, "zoo_type": zoo_type, "progress_func": progress_func,
    }  # fmt: skip
    changes = {key: value for key, value in given.items() if value is not None}
    _state["defaults"] = replace(_state["defaults"], **changes)


def from_onnx(
    model: str | Path,
    data_type: str | None = None,
    optimizer_params: Sequence[str] | None = None,
    model_size: int | None = None,
    model_sha256: str | None = None,
    *,
    version: str | None = None,
    shaves: int | None = None,
    output_dir: str | Path | None = None,
    url: str | None = None,
    use_cache: bool = True,
    compile_params: Sequence[str] | None = None,
    download_ir: bool = False,
    zoo_type: str | None = None,
    dry: bool = False,
    **unknown: object,
) -> Path:
    """Builds a blob from an ONNX file, here, and verifies it on the emulator.

    Args:
        model: path of the .onnx file.
        data_type: "FP16"; the chip has no other.
        optimizer_params: model optimizer parameters; None is mean 127.5 and scale 255.
        model_size, model_sha256: checked against the file where given.
        version: "2022.1".
        shaves: SHAVEs to compile for; 4 unless set.
        output_dir: folder for the blob, made if it is missing.
        url, zoo_type: have no effect.
        use_cache: take a finished build of the same content.
        compile_params: compile tool parameters; None is ``["-ip U8"]``.
        download_ir, dry: must stay False.

    Returns:
        Path of NAME_openvino_VERSION_Nshave.blob in `output_dir`.

    Raises:
        UsageError: an unknown or unsupported parameter.
        BlobsmithError: as `blobsmith.build`.
    """
    defaults = _state["defaults"]
    _refuse(unknown, download_ir=download_ir, dry=dry)
    version = version or defaults.version
    if version != Versions.v2022_1:
        raise UsageError(
            f"blobs of version {version} cannot be made here",
            remedy='leave version out or give "2022.1"; DepthAI 2 and 3 read it',
        )
    if (data_type or defaults.data_type) != "FP16":
        raise UsageError("data_type can only be FP16 on this chip", remedy='give "FP16"')
    path = Path(model)
    _check_file(path, model_size, model_sha256)
    by_default = optimizer_params is None
    chosen = defaults.optimizer_params if optimizer_params is None else tuple(optimizer_params)
    wanted = optimizer(chosen)
    if by_default and (wanted.mean or wanted.scale) and not defaults.silent:
        sys.stderr.write(
            "blobconverter's defaults are in use: (frame - 127.5) / 255 is put into the graph; "
            "give optimizer_params=[] to have frames as they are\n"
            if chosen == _BY_DEFAULT
            else f"default optimizer_params are in use: {' '.join(chosen)}\n"
        )
    types = compile_tool(defaults.compile_params if compile_params is None else compile_params)
    count = shaves or defaults.shaves
    folder = Path(output_dir) if output_dir is not None else defaults.output_dir
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.stem}_openvino_{version}_{count}shave.blob"
    return _build(path, target, wanted, types, count, use_cache)


def _build(
    path: Path,
    target: Path,
    wanted: OptimizerParameters,
    types: CompileParameters,
    shaves: int,
    use_cache: bool,
) -> Path:
    from ..builder import build
    from ..workers import default_executor
    from .surgery import select_outputs, signature

    data = path.read_bytes()
    pool = default_executor()
    if wanted.outputs:
        data = pool.submit(select_outputs, data, wanted.outputs).result()
    declared: Mapping[str, tuple[int, ...] | None] = pool.submit(signature, data).result()
    requests = _requests(declared, wanted, types)
    named = tuple((name, dtype) for name, dtype in types.named if name not in declared)
    result = build(
        (data, path.name), inputs=requests, output=target, shaves=shaves, use_cache=use_cache,
        output_dtypes=(("*", types.outputs), *named),
    )  # fmt: skip
    assert result.path is not None
    return result.path


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


def _check_file(path: Path, size: int | None, sha256: str | None) -> None:
    from ..myriad.toolchain import file_sha256

    if str(path).startswith(("http:", "https:")):
        raise UsageError(
            "models are not downloaded", where=str(path), remedy="download it and give its path"
        )
    if not path.is_file():
        raise ModelError("there is no such file", where=str(path), remedy="give an .onnx file")
    if size is not None and path.stat().st_size != size:
        raise ModelError(f"the file has {path.stat().st_size} bytes, not {size}", where=str(path))
    if sha256 is not None and file_sha256(path) != sha256:
        raise ModelError("the file does not have the given hash", where=str(path))


def _refuse(unknown: Mapping[str, object], **flags: bool) -> None:
    if unknown:
        raise UsageError(
            f"from_onnx has no parameter {next(iter(unknown))!r}",
            remedy="see help(blobsmith.compat.blobconverter.from_onnx)",
        )
    ways = {
        "download_ir": "write the IR with `blobsmith build MODEL.onnx --ir DIR`",
        "dry": "look at the graph with `blobsmith check MODEL.onnx`",
    }
    for name, value in flags.items():
        if value:
            raise UsageError(f"{name}=True is not supported", remedy=ways[name])


def _elsewhere(what: str, way: str) -> NoReturn:
    raise UsageError(f"{what} cannot be converted here", remedy=way)


def from_caffe(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    _elsewhere("Caffe models", "convert them to ONNX (e.g. with caffe2onnx), then from_onnx")


def from_tf(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    _elsewhere("TensorFlow models", "convert them to ONNX with tf2onnx, then from_onnx")


def from_zoo(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    _elsewhere(
        "models of Intel's and DepthAI's zoos",
        "download the model's ONNX, then from_onnx; `blobsmith zoo` lists functions that are here",
    )


def from_openvino(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    _elsewhere("OpenVINO IR", "hand over the ONNX that it came from to from_onnx")


def defaults() -> dict[str, Any]:
    """What calls use where they say nothing."""
    return asdict(_state["defaults"])
