"""Any built file, opened: kinds, manifests, and what is unknown without one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from blobsmith.errors import BlobError, EnvironmentFault, PackageError, SourceError
from blobsmith.packaging.archive import make_archive
from blobsmith.packaging.artifact import artifact_from_bytes, open_artifact
from blobsmith.packaging.manifest import Manifest, manifest_path
from blobsmith.packaging.superblob import make_superblob

from ..zoo_blobs import ALL_SHAVES, blobs, entry, graph, manifest


def content(kind: str, name: str = "threshold") -> bytes:
    made = entry(name)
    plain = blobs(name)[6]
    if kind == "blob":
        return plain
    if kind == "superblob":
        return make_superblob(blobs(name))
    return make_archive(
        plain, name=name, inputs=made.inputs, outputs=made.outputs,
        manifest=manifest(name, plain, "blob"),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["blob", "superblob", "archive"])
@pytest.mark.parametrize("suffix", ["blob", "bin"])
def test_its_content_says_what_it_is(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content(kind))
    artifact = open_artifact(path)
    assert artifact.kind == kind
    assert artifact.shave_counts == (ALL_SHAVES if kind == "superblob" else (6,))
    assert artifact.blob().shaves == (8 if kind == "superblob" else 6)
    assert artifact.blob(6).data == blobs("threshold")[6]
    assert dict(artifact.frame_types) == {"image": "BGR888p"}
    if kind == "archive":
        assert artifact.inputs[0].color == "rgb"
        assert artifact.notes == ()
    else:
        assert artifact.inputs[0].color == "bgr"
        assert artifact.outputs[0].decoding.kind == "tensor"
        assert "no manifest" in artifact.notes[0]


def test_the_manifest_beside_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "x.blob"
    path.write_bytes(content("blob"))
    manifest_path(path).write_bytes(manifest("threshold", content("blob"), "blob").to_bytes())
    artifact = open_artifact(path)
    assert artifact.inputs[0].color == "rgb"
    assert artifact.outputs[0].decoding.kind == "mask"
    assert artifact.notes == ()


def test_a_manifest_that_the_header_contradicts() -> None:
    data = content("blob")
    told = manifest("threshold", data, "blob")
    wrong = Manifest.from_dict({**told.to_dict(), "inputs": [entry("diff").inputs[0].to_dict()]})
    with pytest.raises(PackageError, match="does not describe the input"):
        artifact_from_bytes(data, manifest=wrong)
    half = replace(told.inputs[0], dtype="fp16")
    with pytest.raises(PackageError, match="does not describe the input 'image'"):
        artifact_from_bytes(data, manifest=replace(told, inputs=(half,)))
    with pytest.raises(PackageError, match="another file"):
        artifact_from_bytes(blobs("diff")[6], manifest=told)


def test_an_archive_with_onnx(tmp_path: Path) -> None:
    made = entry("blur")
    parts = {"kind": "onnx", "name": "blur", "inputs": made.inputs, "outputs": made.outputs}
    told = manifest("blur", graph("blur"), "onnx", ())
    artifact = artifact_from_bytes(make_archive(graph("blur"), manifest=told, **parts))  # type: ignore[arg-type]
    assert (artifact.holds, artifact.shave_counts) == ("onnx", ())
    assert artifact.onnx_bytes() == graph("blur")
    with pytest.raises(PackageError, match="ONNX"):
        artifact.blob()
    with pytest.raises(PackageError, match="nothing is known"):
        artifact_from_bytes(make_archive(graph("blur"), **parts))  # type: ignore[arg-type]


def test_the_onnx_beside_it_must_be_the_one_that_was_compiled(tmp_path: Path) -> None:
    path, onnx = tmp_path / "x.blob", tmp_path / "x.onnx"
    path.write_bytes(content("blob"))
    onnx.write_bytes(graph("threshold"))
    told = replace(
        manifest("threshold", content("blob"), "blob"),
        onnx_path="x.onnx",
        onnx_sha256=hashlib.sha256(graph("threshold")).hexdigest(),
    )
    manifest_path(path).write_bytes(told.to_bytes())
    assert open_artifact(path).onnx_bytes() == graph("threshold")
    onnx.write_bytes(graph("blur"))
    with pytest.raises(SourceError, match="has changed"):
        open_artifact(path).onnx_bytes()


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no such file"):
        open_artifact(tmp_path / "none.blob")
    with pytest.raises(EnvironmentFault):
        open_artifact(tmp_path)
    (tmp_path / "cut.superblob").write_bytes(content("superblob")[:-1])
    with pytest.raises(PackageError, match="sizes in the superblob's header"):
        open_artifact(tmp_path / "cut.superblob")
    (tmp_path / "blur.onnx").write_bytes(graph("blur"))
    with pytest.raises(PackageError, match="not compiled yet"):
        open_artifact(tmp_path / "blur.onnx")
    (tmp_path / "text.blob").write_text("hello")
    with pytest.raises(BlobError):
        open_artifact(tmp_path / "text.blob")
