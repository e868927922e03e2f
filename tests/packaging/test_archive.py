"""NN Archives: what DepthAI and luxonis-ml read in them, and what is refused."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import depthai as dai
import pytest
from luxonis_ml.nn_archive.config import Config

from blobsmith import zoo
from blobsmith.errors import BlobError, PackageError
from blobsmith.packaging.archive import Archive, make_archive, read_archive
from blobsmith.packaging.archive_config import frame_type, make_config, validate
from blobsmith.packaging.superblob import make_superblob
from blobsmith.packaging.tarball import read_tar, write_tar_xz
from blobsmith.tensors import DType, TensorSpec

from ..zoo_blobs import blobs, entry, graph, manifest

NN_TYPES = {"u8": "uint8", "fp16": "float16"}


def archive_of(name: str, kind: str = "blob", **options: Any) -> bytes:
    made = entry(name)
    data = {"blob": lambda: blobs(name)[6], "superblob": lambda: make_superblob(blobs(name)),
            "onnx": lambda: graph(name)}[kind]()  # fmt: skip
    return make_archive(
        data, kind=kind, name=name, inputs=made.inputs, outputs=made.outputs, **options
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("name", zoo.names())
@pytest.mark.parametrize("kind", ["blob", "superblob"])
def test_what_depthai_reads(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.tar.xz"
    path.write_bytes(archive_of(name, kind))
    theirs = dai.NNArchive(str(path))
    assert theirs.getSupportedPlatforms() == [dai.Platform.RVC2]
    if kind == "blob":
        assert theirs.getModelType() == dai.ModelType.BLOB
        assert bytes(theirs.getBlob().data) == blobs(name)[6]
    else:
        assert theirs.getModelType() == dai.ModelType.SUPERBLOB
        inside = theirs.getSuperBlob()
        for shaves, blob in blobs(name).items():
            assert bytes(inside.getBlobWithNumShaves(shaves).data) == blob
    config = theirs.getConfigV1()
    assert [i.name for i in config.model.inputs] == [s.name for s in entry(name).inputs]
    assert [list(i.shape) for i in config.model.inputs] == [
        list(s.shape) for s in entry(name).inputs
    ]
    first = entry(name).inputs[0]
    if first.layout == "NCHW":
        assert theirs.getInputSize(0) == (first.shape[3], first.shape[2])


@pytest.mark.parametrize("name", zoo.names())
def test_the_config_describes_the_compiled_model(name: str) -> None:
    archive = read_archive(archive_of(name))
    config = Config(**archive.config)  # strict: unknown keys are errors
    model = config.model
    assert model.metadata.precision.value == "float16"
    assert model.heads is None
    for have, spec in zip(model.inputs, entry(name).inputs, strict=True):
        assert (have.name, have.dtype.value, have.layout) == (
            spec.name, NN_TYPES[spec.dtype], spec.layout,
        )  # fmt: skip
        picture = spec.color is not None
        assert have.input_type.value == ("image" if picture else "raw")
        # Frames are planar BGR whatever the function expects: the swap is in the graph.
        assert have.preprocessing.dai_type == ("BGR888p" if picture else None)
        assert (have.preprocessing.mean, have.preprocessing.scale) == (None, None)
    for have, spec in zip(model.outputs, entry(name).outputs, strict=True):
        assert (have.name, have.dtype.value, have.shape, have.layout) == (
            spec.name, "float16", list(spec.shape), spec.layout,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "layout", "dtype", "color", "expected"),
    [
        ((1, 3, 4, 5), "NCHW", "u8", "rgb", "BGR888p"),
        ((3, 4, 5), "CHW", "u8", None, "BGR888p"),
        ((1, 4, 5, 3), "NHWC", "u8", "bgr", "BGR888i"),
        ((1, 1, 4, 5), "NCHW", "u8", None, "GRAY8"),
        ((4, 5), "HW", "u8", "gray", "GRAY8"),
        ((1, 1, 4, 5), "NCHW", "fp16", "gray", "GRAYF16"),
        ((1, 3, 4, 5), "NCHW", "fp16", "bgr", "BGRF16F16F16p"),
        ((1, 3, 4, 5), "NCHW", "fp16", None, None),
        ((1, 3, 1, 1), "NCHW", "u8", None, None),
        ((2, 3, 4, 5), "NCHW", "u8", "bgr", None),
        ((1, 4, 4, 5), "NCHW", "u8", "bgr", None),
        ((256,), "C", "fp16", None, None),
        ((1, 3, 4, 5), "NCHW", "fp32", "bgr", None),
    ],
)
def test_frame_types(
    shape: tuple[int, ...], layout: str, dtype: DType, color: Any, expected: str | None
) -> None:
    kind = frame_type(TensorSpec("x", shape, dtype, layout, color))
    assert kind == expected
    assert kind is None or hasattr(dai.ImgFrame.Type, kind)


def test_a_classifier_gets_a_head() -> None:
    specs = [TensorSpec("x", (1, 3, 8, 8), color="bgr")], [TensorSpec("y", (1, 3), "fp16", "NC")]
    config = make_config(
        name="m", path="m.blob", precision="float16", inputs=specs[0], outputs=specs[1],
        classes=["cat", "dog", "fish"], softmax=True,
    )  # fmt: skip
    assert validate(config)
    head = Config(**config).model.heads[0]  # type: ignore[index]
    assert head.parser == "ClassificationParser"
    assert head.metadata.classes == ["cat", "dog", "fish"]  # type: ignore[union-attr]
    with pytest.raises(PackageError, match="2 class names"):
        make_config(
            name="m", path="m.blob", precision="float16", inputs=specs[0], outputs=specs[1],
            classes=["cat", "dog"],
        )  # fmt: skip


def test_layouts_of_many_dimensions_are_valid() -> None:
    spec = TensorSpec("x", (2,) * 6, "fp16")
    assert validate(
        make_config(name="m", path="m.blob", precision="float16", inputs=[spec], outputs=[spec])
    )


def test_the_onnx_inside_is_for_other_tools(tmp_path: Path) -> None:
    path = tmp_path / "blur.tar.xz"
    path.write_bytes(archive_of("blur", "onnx"))
    assert dai.NNArchive(str(path)).getModelType() == dai.ModelType.OTHER
    archive = read_archive(path.read_bytes())
    assert archive.executable == graph("blur")
    assert archive.config["model"]["metadata"]["precision"] == "float32"
    with pytest.raises(PackageError, match="holds an ONNX"):
        archive.blob()


def test_the_manifest_travels_with_it(tmp_path: Path) -> None:
    told = manifest("diff", blobs("diff")[6], "blob")
    path = tmp_path / "diff.tar.xz"
    path.write_bytes(archive_of("diff", manifest=told))
    assert read_archive(path.read_bytes()).manifest == told
    assert bytes(dai.NNArchive(str(path)).getBlob().data) == blobs("diff")[6]
    with pytest.raises(PackageError, match="belongs to another model"):
        archive_of("blur", manifest=told)


def test_picking_a_blob() -> None:
    plain = read_archive(archive_of("blur"))
    all_counts = read_archive(archive_of("blur", "superblob"))
    assert plain.blob() == plain.blob(6) == blobs("blur")[6]
    assert (all_counts.blob(), all_counts.blob(11)) == (blobs("blur")[8], blobs("blur")[11])
    with pytest.raises(PackageError, match="compiled for 6 shaves, not for 5"):
        plain.blob(5)


def test_the_same_build_gives_the_same_bytes() -> None:
    assert archive_of("diff") == archive_of("diff")


def changed(data: bytes, change: Any) -> bytes:
    files = read_tar(data)
    config = json.loads(files["config.json"])
    change(config)
    return write_tar_xz({**files, "config.json": json.dumps(config).encode()})


def rename_input(config: Any) -> None:
    config["model"]["inputs"][0]["name"] = "picture"


def rename_output(config: Any) -> None:
    config["model"]["outputs"][0]["name"] = "result"


def drop_input(config: Any) -> None:
    config["model"]["inputs"].pop()


def double_input(config: Any) -> None:
    config["model"]["inputs"][1] = config["model"]["inputs"][0]


def reshape(config: Any) -> None:
    config["model"]["inputs"][0]["shape"] = [1, 3, 5, 5]


def other_model(config: Any) -> None:
    config["model"]["metadata"]["path"] = "other.blob"


def other_chip(config: Any) -> None:
    config["model"]["metadata"]["path"] = "config.dlc"


def later_version(config: Any) -> None:
    config["config_version"] = "2.0"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (rename_input, "names an input 'picture'"),
        (rename_output, "names an output 'result'"),
        (drop_input, "does not name the model's input"),
        (double_input, "names an input"),
        (reshape, "the shape"),
        (other_model, "not in the archive"),
        (other_chip, "not in the archive"),
        (later_version, "version 2.0"),
        (lambda config: config.pop("model"), "object is expected"),
        (lambda config: config["model"].pop("inputs"), "list of 1 to 256"),
        (lambda config: config["model"]["inputs"].insert(0, 7), "object is expected"),
    ],
)  # fmt: skip
def test_an_archive_that_contradicts_itself(change: Any, named: str, tmp_path: Path) -> None:
    data = changed(archive_of("concat"), change)
    with pytest.raises(PackageError, match=named):
        read_archive(data)


def test_depthai_would_not_have_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.xz"
    path.write_bytes(changed(archive_of("concat"), rename_input))
    assert dai.NNArchive(str(path)).getConfigV1().model.inputs[0].name == "picture"


def test_a_vendors_dtype_is_noted_and_the_blobs_own_is_used() -> None:
    def claim(config: Any) -> None:
        config["model"]["inputs"][0]["dtype"] = "float32"

    archive = read_archive(changed(archive_of("blur"), claim))
    assert archive.notes == (
        "the archive calls input 'image' float32; in the model it is uint8, which is used",
    )


def test_writing_refuses_specs_of_another_model() -> None:
    wrong = entry("sobel")
    with pytest.raises(PackageError, match="names an input"):
        make_archive(blobs("diff")[6], name="x", inputs=wrong.inputs, outputs=wrong.outputs)
    fp16 = [TensorSpec("image", entry("blur").inputs[0].shape, "fp16", color="bgr")]
    with pytest.raises(PackageError, match="do not describe the model"):
        make_archive(blobs("blur")[6], name="x", inputs=fp16, outputs=entry("blur").outputs)


def test_a_damaged_blob_inside() -> None:
    files = read_tar(archive_of("blur"))
    data = write_tar_xz({**files, "blur.blob": files["blur.blob"][:500]})
    with pytest.raises(BlobError):
        read_archive(data)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_all_compressions_are_read(mode: Any) -> None:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in read_tar(archive_of("blur")).items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, BytesIO(content))
    assert Archive.from_bytes(buffer.getvalue()).blob() == blobs("blur")[6]


def test_a_name_becomes_a_safe_file_name() -> None:
    made = entry("blur")
    data = make_archive(
        blobs("blur")[6], name="../my model:Blur", inputs=made.inputs, outputs=made.outputs
    )
    assert read_archive(data).path == "_my_model_Blur.blob"
