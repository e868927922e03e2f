"""The reader on blobs whose content is known."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from blobsmith.blob import Blob
from blobsmith.blob.params import UndecodedFields
from blobsmith.blob.records import Location, Stage
from blobsmith.errors import BlobError, EnvironmentFault

from ..graphs import model
from .assemble import BSS, INPUT, OUTPUT, Assembler, words
from .operators import OPERATORS, Operator

# sha256 and size of the concat blob that Luxonis published for its tutorial in 2021 (6 shaves).
CONCAT_SHA256 = "6ac3023ea8dac9b7501ead0f9b2c2a4495d2791a58b7049de065246455cf87be"

# The frame difference that Luxonis published there: OpenVINO 2021.4, 6 shaves, 1664 bytes.
DIFF_SHA256 = "5c9929bd947c44bba6cbe1e1cd9b2ed9472236cd616e50cd053f5806bf2882e7"

# What OpenVINO 2022.1 appended behind that blob when it was exported here.
CONCAT_TRAILER = bytes.fromhex(
    "0300000001000000"
    "04000000040000000400000001000000696d6731010000000000000003000000000000002c01000000000000"
    "2c01000000000000050000000400000000000000696d6731"
    "04000000040000000400000001000000696d6732010000000000000003000000000000002c01000000000000"
    "2c01000000000000050000000400000000000000696d6732"
    "04000000040000000400000001000000696d6733010000000000000003000000000000002c01000000000000"
    "2c01000000000000050000000400000000000000696d6733"
    "120000000400000004000000010000006f75747075742f73696e6b5f706f72745f300100000000000000"
    "03000000000000002c010000000000008403000000000000"
    "0500000006000000000000006f757470757406000000000000006f75747075740000000000000000"
)


def every(blob: Blob) -> list[Stage]:
    """Stages, injected ones behind their hosts."""
    return [s for stage in blob.stages for s in (stage, stage.injected) if s is not None]


def test_concat_is_the_published_blob(concat_bytes: bytes) -> None:
    assert len(concat_bytes) == 1024
    assert hashlib.sha256(concat_bytes).hexdigest() == CONCAT_SHA256
    blob = Blob.from_bytes(concat_bytes, "concat.blob")
    assert (blob.shaves, blob.size, blob.header.cmx_slices) == (6, 1024, 6)
    assert blob.header.version == (6, 0)
    assert [item.name for item in blob.inputs] == ["img1", "img2", "img3"]
    assert [spec.shape for spec in blob.input_specs] == [(1, 3, 300, 300)] * 3
    assert [spec.dtype for spec in blob.input_specs] == ["u8"] * 3
    assert [spec.layout for spec in blob.input_specs] == ["NCHW"] * 3
    (output,) = blob.output_specs
    assert (output.name, output.shape, output.dtype) == ("output", (1, 3, 300, 900), "fp16")
    assert blob.sha256 == CONCAT_SHA256


def test_concat_stages_write_three_views_of_the_output(concat_bytes: bytes) -> None:
    blob = Blob.from_bytes(concat_bytes)
    assert [stage.type_name for stage in blob.stages] == ["Convert"] * 3
    for index, stage in enumerate(blob.stages):
        source, target = stage.buffers
        assert stage.shaves == 6
        assert stage.fields["scale"] == 1.0
        assert stage.fields["have_batch"] == 1
        assert (source.location, source.io_index) == (Location.INPUT, index)
        assert (source.parent_bytes, source.desc.dtype) == (270000, "u8")
        assert (target.location, target.offset) == (Location.OUTPUT, 600 * index)
        assert target.desc.strides == (2, 1800, 540000, 1620000)
        assert target.desc.shape == (1, 3, 300, 300)
    assert [stage.offset for stage in blob.stages] == [448, 576, 704]


def test_metadata_behind_the_blob(concat_bytes: bytes) -> None:
    blob = Blob.from_bytes(concat_bytes + CONCAT_TRAILER)
    assert blob.trailer is not None
    assert [t.name for t in blob.trailer.parameters] == ["img1", "img2", "img3"]
    (result,) = blob.trailer.results
    assert (result.source, result.shape, result.element_type) == ("output", (1, 3, 300, 900), 5)
    assert result.tensor_names == ("output",)
    assert blob.size == 1024
    assert blob.sha256 == CONCAT_SHA256
    assert Blob.from_bytes(concat_bytes).trailer is None


def test_the_published_2021_4_blob_of_the_frame_difference(
    compile_blob: Callable[..., bytes],
) -> None:
    """Compiled here it differs from the published one in the version field alone."""
    nodes = [
        helper.make_node("ReduceSum", ["img1"], ["a"], axes=[0], keepdims=0),
        helper.make_node("ReduceSum", ["img2"], ["b"], axes=[0], keepdims=0),
        helper.make_node("Sub", ["a", "b"], ["output"]),
    ]
    frames = {"img1": (3, 720, 720), "img2": (3, 720, 720)}
    data = bytearray(compile_blob(model(nodes, frames, {"output": (720, 720)}), shaves=6))
    struct.pack_into("<II", data, 60, 2021, 4)
    assert hashlib.sha256(data).hexdigest() == DIFF_SHA256
    blob = Blob.from_bytes(bytes(data))
    assert blob.header.version == (2021, 4)
    assert [stage.type_name for stage in blob.stages] == [
        *("Convert", "AvgPool", "Power") * 2,
        *("Power", "Sum"),
    ]
    assert [spec.shape for spec in blob.input_specs] == [(3, 720, 720)] * 2
    assert [spec.shape for spec in blob.output_specs] == [(720, 720)]
    assert blob.stages[2].fields["scale"] == 3.0
    assert blob.stages[6].fields["scale"] == -1.0


def test_hardware_stages(filter_bytes: bytes) -> None:
    blob = Blob.from_bytes(filter_bytes)
    assert blob.header.has_hw
    convolutions = [op for stage in every(blob) for op in stage.hw_ops if op.op_type != 4]
    kernels = {(op.kernel_w, op.kernel_h, op.stride) for op in convolutions}
    assert kernels == {(3, 3, 1), (5, 5, 1), (3, 3, 2)}
    assert any(op.relu is not None for op in convolutions)
    for stage in every(blob):
        for op in stage.hw_ops:
            if op.op_type == 4:
                continue
            weights = stage.buffers[op.coeffs].desc.dims
            assert weights[:2] == (8, op.kernel_w * op.kernel_h)
            assert op.out_num_chans == 8
            assert op.with_pad == (op.kernel_w == 5)
    biased = [op for op in convolutions if op.biases >= 0]
    assert {(op.kernel_w, op.stride) for op in biased} == {(3, 1)}
    pooled = [op for stage in every(blob) for op in stage.hw_ops if op.op_type in (1, 4)]
    assert pooled, "the 2x2 pool is a hardware operation of its own or part of a convolution"


def test_injected_stages_follow_their_host(compile_blob: Callable[..., bytes]) -> None:
    """A 3x3 pool with padding compiles to tiles whose copies run beside the engine."""
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    proto = model([node], {"x": (1, 3, 120, 160)}, {"y": (1, 3, 120, 160)})
    blob = Blob.from_bytes(compile_blob(proto, shaves=8))
    hosts = [stage for stage in blob.stages if stage.injected is not None]
    assert hosts
    for host in hosts:
        inner = host.injected
        assert inner is not None
        assert host.type_name == "MyriadXHwOp"
        assert inner.index == host.index
        assert host.offset < inner.offset < inner.offset + inner.length < host.offset + host.length


@pytest.mark.parametrize("case", OPERATORS, ids=lambda case: case.name)
def test_parameters_by_name(case: Operator, compile_blob: Callable[..., bytes]) -> None:
    data = compile_blob(case.proto, shaves=4, hardware=case.hardware, inputs="fp16")
    stages = [stage for stage in every(Blob.from_bytes(data)) if stage.type_name == case.stage]
    assert stages, f"no {case.stage} in the blob"
    wanted = {key: pytest.approx(value, rel=1e-3) for key, value in case.fields.items()}
    found = [{key: stage.fields.get(key) for key in wanted} for stage in stages]
    assert wanted in found


def test_permutation_makes_the_output_of_the_input(compile_blob: Callable[..., bytes]) -> None:
    proto = next(case.proto for case in OPERATORS if case.name == "permute")
    blob = Blob.from_bytes(compile_blob(proto, shaves=4, hardware=False, inputs="fp16"))
    stage = next(stage for stage in blob.stages if stage.type_name == "Permute")
    order = stage.fields["permutation"]
    assert isinstance(order, tuple)
    source, target = (buffer.desc.dims for buffer in stage.buffers)
    assert target == tuple(source[i] for i in order[: len(source)])


def test_constants_are_where_the_stage_says(compile_blob: Callable[..., bytes]) -> None:
    slopes = np.array([0.25, 0.5, 0.75, 2.0], np.float32)
    node = helper.make_node("PRelu", ["x", "s"], ["y"])
    proto = model([node], {"x": (1, 4, 8, 8)}, {"y": None}, {"s": slopes.reshape(4, 1, 1)})
    blob = Blob.from_bytes(compile_blob(proto, shaves=2, hardware=False, inputs="fp16"))
    stage = next(stage for stage in blob.stages if stage.type_name == "PRelu")
    operand = stage.buffers[2]
    assert operand.location is Location.BLOB
    start = blob.const_offset + operand.offset
    raw = blob.data[start : start + operand.desc.span]
    assert np.frombuffer(raw, np.float16).tolist() == slopes.tolist()


def _relu(batch: int = 1) -> Assembler:
    """input -> ReLU -> output, from the specification."""
    made = Assembler(batch=batch)
    made.io(INPUT, "x", (8, 4, 2, 1))
    made.io(OUTPUT, "y", (8, 4, 2, 1))
    operands = [made.buffer((8, 4, 2, 1), place) for place in (INPUT, OUTPUT)]
    made.stage(6, words(0, 0.0), *operands)
    return made


def test_a_batch_multiplies_the_shapes() -> None:
    blob = Blob.from_bytes(_relu(batch=3).blob())
    assert blob.input_specs[0].shape == (3, 2, 4, 8)
    assert blob.inputs[0].desc.shape == (1, 2, 4, 8)
    assert blob.header.inputs_size == 3 * 128


# type, parameter bytes, operands, fields: layouts of 2021 and others that no compiler here writes
OLD = [
    (62, words(1, 0, 0.5), 2, {"normalize_variance": 1, "across_channels": 0, "eps": 0.5}),
    (62, words(1, 0, 1, 0.5), 2, {"normalize_variance": 1, "across_width": 1, "eps": 0.5}),
    (133, words(4, 8), 5, {"begin_mask": 4, "end_mask": 8}),
    (35, words(1, 0, 0.25), 3, {"across_spatial": 1, "channel_shared": 0, "eps": 0.25}),
    (93, words(1), 3, {"keep_dims": 1}),
    (56, b"", 2, {}),
    (15, b"", 3, {}),
    (79, words(1.0, 1.0, -1, 0.0, 0.0, 1.0), 4, {"post_operation": -1}),
]


@pytest.mark.parametrize(("kind", "params", "operands", "fields"), OLD)
def test_layouts_of_the_specification(
    kind: int, params: bytes, operands: int, fields: dict[str, object]
) -> None:
    made = _relu()
    shape = (8, 4, 2, 1)
    data = [made.buffer(shape, place) for place in (INPUT, OUTPUT)]
    data += [made.buffer(shape, INPUT) for _ in range(operands - 2)]
    made.stage(kind, params, *data)
    stage = Blob.from_bytes(made.blob()).stages[1]
    assert fields.items() <= dict(stage.fields).items()
    assert not isinstance(stage.fields, UndecodedFields)
    assert len(stage.buffers) == operands


def test_integer_operands_make_integer_coefficients() -> None:
    made = _relu()
    made.bss = 4096
    operands = [made.buffer((4,), BSS, 64 * i, dtype=2) for i in range(3)]
    made.stage(12, words(3, -2, -1, 0, 0, 0), *operands, made.absent())
    fields = Blob.from_bytes(made.blob()).stages[1].fields
    assert (fields["coeff1"], fields["coeff2"]) == (3, -2)


def test_unknown_layout_is_named_when_a_field_is_used() -> None:
    made = _relu()
    operands = [made.buffer((8, 4, 2, 1), place) for place in (INPUT, OUTPUT)]
    made.stage(67, words(1), *operands)
    stage = Blob.from_bytes(made.blob()).stages[1]
    assert stage.type_name == "Interp"
    assert len(stage.fields) == 0
    with pytest.raises(BlobError, match="Interp have 4 bytes"):
        stage.fields["align_corners"]


def test_unknown_type_is_listed() -> None:
    made = _relu()
    made.stage(999, words(1, 2), *(made.buffer((8,), place) for place in (INPUT, OUTPUT)))
    stage = Blob.from_bytes(made.blob()).stages[1]
    assert (stage.type_name, len(stage.buffers)) == ("Unknown999", 2)


def test_files(tmp_path: Path, concat_bytes: bytes) -> None:
    path = tmp_path / "concat.blob"
    path.write_bytes(concat_bytes)
    assert Blob.open(path).size == Blob.open(str(path)).size == 1024
    with pytest.raises(BlobError, match="no such file"):
        Blob.open(tmp_path / "other.blob")
    with pytest.raises(BlobError, match="no such file"):
        Blob.open(tmp_path)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(BlobError, match="preamble"):
        Blob.open(tmp_path / "empty")


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.blob"
    path.write_bytes(b"x")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(EnvironmentFault, match="Permission denied"):
        Blob.open(path)


def test_blobs_travel_between_processes(filter_bytes: bytes) -> None:
    blob = Blob.from_bytes(filter_bytes)
    again = pickle.loads(pickle.dumps(blob))
    assert again.stages == blob.stages
    assert again.header == blob.header
