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
from .conversion import (
    VERSION,
    build_call,
    elsewhere,
    flag_refused,
    not_downloaded,
    require_supported,
)
from .parameters import CompileParameters, OptimizerParameters, compile_tool, optimizer

_BY_DEFAULT = ("--mean_values=[127.5,127.5,127.5]", "--scale_values=[255,255,255]")


class Versions:
    """Version names; only `v2022_1` can be made here."""

    v2022_3_RVC3 = "2022.3_RVC3"  # noqa: N815 - their name
    v2022_1 = VERSION
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
    require_supported(version, data_type or defaults.data_type)
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

    call = build_call(path.read_bytes(), path.name, wanted, types, default_executor())
    result = build(**call, output=target, shaves=shaves, use_cache=use_cache)
    assert result.path is not None
    return result.path


def _check_file(path: Path, size: int | None, sha256: str | None) -> None:
    from ..myriad.toolchain import file_sha256

    if str(path).startswith(("http:", "https:")):
        raise not_downloaded(str(path))
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
    for name, value in flags.items():
        if value:
            raise flag_refused(name)


def from_caffe(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    raise elsewhere("caffe")


def from_tf(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    raise elsewhere("tf")


def from_zoo(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    raise elsewhere("zoo")


def from_openvino(*_: object, **__: object) -> NoReturn:
    """Raises UsageError that tells the way."""
    raise elsewhere("openvino")


def defaults() -> dict[str, Any]:
    """What calls use where they say nothing."""
    return asdict(_state["defaults"])
