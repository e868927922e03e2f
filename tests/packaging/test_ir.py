"""The OpenVINO IR of the same graph, run on OpenVINO's CPU plugin."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from blobsmith.errors import CheckFailed, EnvironmentFault, ModelError
from blobsmith.model import Model
from blobsmith.packaging import ir
from blobsmith.packaging.ir import write_ir
from blobsmith.tensors import Decoding

from ..zoo_blobs import blobs, entry, graph


def model(name: str) -> Model:
    made = entry(name)
    return Model(graph(name), made.inputs, made.outputs, f"zoo:{name}")


@pytest.mark.parametrize("name", ["concat", "corners", "cosine", "threshold"])
def test_it_computes_what_the_onnx_computes(name: str, tmp_path: Path) -> None:
    files = write_ir(model(name), tmp_path, name=name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.bin", f"{name}.xml"]
    assert files.verification.passed
    assert {o.name for o in files.verification.outputs} == {s.name for s in entry(name).outputs}
    layers = ET.parse(files.xml).getroot().iter("layer")
    kinds = [layer.get("type") for layer in layers]
    assert kinds.count("Parameter") == len(entry(name).inputs)


def test_weights_are_fp16(tmp_path: Path) -> None:
    files = write_ir(model("blur"), tmp_path, name="blur")
    proto = onnx.load_model_from_string(graph("blur"))
    kernels = [numpy_helper.to_array(i) for i in proto.graph.initializer]
    largest = max((k for k in kernels if k.dtype == np.float32), key=lambda k: k.size)
    assert largest.astype(np.float16).tobytes() in files.bin.read_bytes()


def test_an_ir_that_computes_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard: OpenVINO's results are held against those of the ONNX itself."""

    def elsewhere(onnx_bytes: bytes, outputs: object, frames: object) -> list[dict[str, object]]:
        real = on_onnxruntime(onnx_bytes, outputs, frames)  # type: ignore[arg-type]
        return [{name: value[:, ::-1] for name, value in result.items()} for result in real]

    on_onnxruntime = ir._on_onnxruntime
    monkeypatch.setattr(ir, "_on_onnxruntime", elsewhere)
    with pytest.raises(CheckFailed):
        write_ir(model("blur"), tmp_path, executor=Here())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


class Here:
    """An executor that runs jobs in this process, where the test's patches are."""

    def submit(self, function: object, *args: object) -> object:
        result = function(*args)  # type: ignore[operator]
        return type("Done", (), {"result": staticmethod(lambda: result)})


def test_it_does_not_meet_the_compiler(tmp_path: Path) -> None:
    """Loaded after the compiler's, the new libraries crash: both have the same symbols."""
    from blobsmith.workers import default_executor

    assert blobs("blur")
    assert write_ir(model("blur"), tmp_path).verification.passed
    with pytest.raises(EnvironmentFault, match="has compiled a blob"):
        write_ir(model("blur"), tmp_path, executor=default_executor())


def test_a_recorded_factor_does_not_matter(tmp_path: Path) -> None:
    scaled = [
        replace(spec, decoding=Decoding("image", factor=0.5)) for spec in entry("blur").outputs
    ]
    changed = replace(model("blur"), outputs=tuple(scaled))
    assert write_ir(changed, tmp_path).verification.passed


def test_what_openvino_refuses(tmp_path: Path) -> None:
    broken = Model(b"\x08\x07nonsense", entry("blur").inputs, entry("blur").outputs, "broken.onnx")
    with pytest.raises(ModelError, match="OpenVINO refuses"):
        write_ir(broken, tmp_path)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(ir, "import_module", missing)
    with pytest.raises(EnvironmentFault, match="needs the openvino package"):
        write_ir(model("blur"), tmp_path, executor=Here())  # type: ignore[arg-type]
