"""`blobsmith doctor`: what is installed, what is missing, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import typer

from .session import DebugFlag, JsonFlag, session

Finding = tuple[str, bool, str, str]

_PACKAGES = (
    ("numpy", "numpy", True, "pip install numpy"),
    ("onnx", "onnx", True, "pip install onnx"),
    ("onnxruntime", "onnxruntime", True, "pip install onnxruntime"),
    ("onnxsim", "onnxsim", True, "pip install 'onnxsim<0.7'"),
    ("opencv-python-headless", "cv2", True, "pip install opencv-python-headless"),
    ("torch", "torch", False, "pip install 'blobsmith[torch]' to build from modules"),
    ("kornia", "kornia", False, "pip install 'blobsmith[torch]' for the zoo"),
    ("scikit-image", "skimage", False, "pip install 'blobsmith[samples]' for photographs"),
    ("depthai", "depthai", False, "pip install 'blobsmith[oak]' for cameras"),
    ("distributed", "distributed", False, "pip install 'blobsmith[cluster]' for Dask clusters"),
    ("luxonis-ml", "luxonis_ml", False, "pip install 'blobsmith[oak]' for archives"),
    ("fastapi", "fastapi", False, "pip install 'blobsmith[server]' for a converter service"),
)


def doctor(as_json: JsonFlag = False, debug: DebugFlag = False) -> None:
    """Says what is installed, what is missing and what to do; exit code 3 if builds cannot work."""
    with session(as_json, debug) as out:
        findings = list(_findings())
        out.data["findings"] = [
            {"name": n, "ok": ok, "found": found, "remedy": remedy}
            for n, ok, found, remedy in findings
        ]
        rows = [
            (name, "ok" if good else "--", found, "" if good else remedy)
            for name, good, found, remedy in findings
        ]
        out.table("", ("", "", "found", "what to do"), rows)
        needed = {"platform", "compiler", "compile"} | {n for n, _, must, _ in _PACKAGES if must}
        ready = all(ok for name, ok, _, _ in findings if name in needed)
        out.data["ready"] = ready
        out.say("ready to build" if ready else "not ready to build")
    if not ready:
        raise typer.Exit(3)


def _findings() -> Iterator[Finding]:
    import platform

    from .. import cache
    from ..errors import BlobsmithError
    from ..myriad import toolchain

    python = platform.python_version()
    supported = (3, 10) <= sys.version_info < (3, 14)
    yield "python", supported, python, "use Python 3.10 to 3.13"
    where = f"{platform.system()} {platform.machine()}"
    try:
        toolchain.check_platform()
        yield "platform", True, where, ""
    except BlobsmithError as error:
        yield "platform", False, where, error.remedy
    for name, module, _, remedy in _PACKAGES:
        version = _version(name, module)
        yield name, bool(version), version or "missing", remedy
    found = toolchain.status()
    yield (
        "compiler",
        not found.problem,
        found.problem or found.identity,
        (
            "run `blobsmith toolchain install --force`"
            if found.installed
            else "run `blobsmith toolchain install`"
        ),
    )
    if not found.problem:
        yield _trial()
    kept = cache.info()
    yield "cache", True, f"{kept.entries} builds, {kept.size / 1e6:.1f} MB", ""


def _version(name: str, module: str) -> str:
    import importlib.metadata
    import importlib.util

    if importlib.util.find_spec(module) is None:
        return ""
    for distribution in (name, name.removesuffix("-headless")):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown version"


def _trial() -> Finding:
    """Compiles a graph of one operator, which shows that every library loads."""
    from ..errors import BlobsmithError

    try:
        from onnx import TensorProto, helper

        from ..myriad import CompileOptions, compile_onnx

        def value(name: str) -> object:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8])

        node = helper.make_node("Relu", ["x"], ["y"])
        graph = helper.make_graph([node], "trial", [value("x")], [value("y")])
        opset = [helper.make_opsetid("", 12)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        size = len(compile_onnx(model.SerializeToString(), CompileOptions()))
        return "compile", True, f"a trial blob of {size} bytes", ""
    except (BlobsmithError, ImportError) as error:
        return "compile", False, str(error).splitlines()[0], "see `blobsmith doctor --debug`"
