"""What each input gets: by default, as the user wants it, and what cannot be."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blobsmith import zoo
from blobsmith.errors import BlobsmithError, FrameError, UsageError
from blobsmith.oak.planner import plan_pipeline
from blobsmith.tensors import DType, TensorSpec

from ..zoo_blobs import entry

OUTPUT = (TensorSpec("y", (1, 1), "fp16"),)


def pictures(count: int, dtype: DType = "u8") -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(f"x{i}", (1, 3, 24, 40), dtype, "NCHW", "bgr") for i in range(count))


def places(inputs: tuple[TensorSpec, ...], **feeds: str) -> list[tuple[str, int]]:
    plan = plan_pipeline(inputs, OUTPUT, shaves=6, feeds=feeds)
    return [(link.request.socket, link.back) for link in plan.frames]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [("CAM_A", 0)]),
        (2, [("CAM_A", 0), ("CAM_A", 1)]),
        (3, [("CAM_B", 0), ("CAM_A", 0), ("CAM_C", 0)]),
        (4, [("CAM_A", back) for back in range(4)]),
    ],
)
def test_usual_places(count: int, expected: list[tuple[str, int]]) -> None:
    assert places(pictures(count)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("color", ("CAM_A", 0)),
        ("rgb", ("CAM_A", 0)),
        ("frame", ("CAM_A", 0)),
        ("left", ("CAM_B", 0)),
        ("right:3", ("CAM_C", 3)),
        ("previous", ("CAM_A", 1)),
        ("previous:2", ("CAM_A", 2)),
        ("CAM_D", ("CAM_D", 0)),
        ("CAM_A:7", ("CAM_A", 7)),
    ],
)
def test_places_that_the_user_gives(text: str, expected: tuple[str, int]) -> None:
    assert places(pictures(1), x0=text) == [expected]


@pytest.mark.parametrize("name", zoo.names())
def test_every_input_of_the_zoo_is_explained(name: str) -> None:
    made = entry(name)
    plan = plan_pipeline(made.inputs, made.outputs, shaves=6, host_frames=True)
    assert [line.partition(":")[0] for line in plan.describe()] == [s.name for s in made.inputs]
    assert all(line.partition(": ")[2] for line in plan.describe())
    asked = {(r.width, r.height, r.frame_type) for r in plan.requests}
    assert asked <= {(40, 24, "BGR888p")}


def test_one_camera_serves_inputs_of_several_sizes() -> None:
    small = TensorSpec("s", (1, 1, 12, 20), "u8", "NCHW", "gray")
    plan = plan_pipeline((*pictures(1), small), OUTPUT, shaves=6, feeds={"s": "color"})
    assert [(r.width, r.height, r.frame_type) for r in plan.requests] == [
        (40, 24, "BGR888p"), (20, 12, "GRAY8"),
    ]  # fmt: skip
    assert plan.sockets == ("CAM_A",)
    assert plan.scripts == ()


def run_script(text: str, frames: list[str], outputs: list[str]) -> dict[str, list[str]]:
    """Runs a history script as the device would, until its frames end."""
    sent: dict[str, list[str]] = {name: [] for name in outputs}

    class End(Exception):
        pass

    class In:
        def __init__(self) -> None:
            self.left = iter(frames)

        def get(self) -> str:
            for frame in self.left:
                return frame
            raise End

    class Out:
        def __init__(self, name: str) -> None:
            self.send = sent[name].append

    node = type("Node", (), {"io": {"in": In(), **{name: Out(name) for name in outputs}}})
    with pytest.raises(End):
        exec(text, {"node": node})
    return sent


def test_the_script_keeps_moments_in_step() -> None:
    plan = plan_pipeline(
        pictures(3), OUTPUT, shaves=6, feeds={"x0": "color", "x1": "color:1", "x2": "color:3"}
    )
    sent = run_script(plan.scripts[0].text, list("abcde"), ["x0", "x1", "x2"])
    assert sent == {"x0": list("abcde"), "x1": list("aabcd"), "x2": list("aaaab")}


def constant(spec: TensorSpec, text: str) -> bytes:
    plan = plan_pipeline((*pictures(1), spec), OUTPUT, shaves=6, feeds={spec.name: text})
    return plan.constants[0].data


@pytest.mark.parametrize(
    ("dtype", "text", "expected"),
    [
        ("fp16", "1.5", struct.pack("<3e", 1.5, 1.5, 1.5)),
        ("fp16", "1,2,-3", struct.pack("<3e", 1, 2, -3)),
        ("fp32", "1e9", struct.pack("<3f", 1e9, 1e9, 1e9)),
        ("u8", "1,2,254.6", bytes([1, 2, 255])),
        ("i32", "-5", struct.pack("<3i", -5, -5, -5)),
    ],
)
def test_numbers(dtype: DType, text: str, expected: bytes) -> None:
    assert constant(TensorSpec("k", (1, 3, 1, 1), dtype), text) == expected


def test_an_npy_file(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float64).reshape(2, 3)
    np.save(tmp_path / "k.npy", values)
    spec = TensorSpec("k", (2, 3), "fp16")
    assert constant(spec, str(tmp_path / "k.npy")) == values.astype(np.float16).tobytes()


def test_means_and_scales_get_their_usual_values() -> None:
    made = entry("normalize")
    plan = plan_pipeline(made.inputs, made.outputs, shaves=6)
    scale, mean = (np.frombuffer(c.data, np.float16) for c in plan.constants)
    assert [c.input for c in plan.constants] == ["scale", "mean"]
    assert mean.tolist() == np.float16([103.53, 116.28, 123.675]).tolist()
    assert scale.tolist() == np.float16([57.375, 57.12, 58.395]).tolist()


VECTOR = TensorSpec("v", (256,), "fp16")
BYTE = TensorSpec("k", (1,), "u8")
HALF = TensorSpec("k", (1,), "fp16")


@pytest.mark.parametrize(
    ("inputs", "options", "kind", "named"),
    [
        (pictures(1), {"feeds": {"z": "color"}}, UsageError, "no input 'z'"),
        (pictures(1), {"feeds": {"x0": "colour"}}, UsageError, "'colour' is nothing"),
        (pictures(1), {"feeds": {"x0": "previous:8"}}, UsageError, "cannot be kept"),
        (pictures(1), {"feeds": {"x0": "1,2"}}, UsageError, "takes 2880 numbers, 2 given"),
        (pictures(1), {"feeds": {"x0": "1"}}, UsageError, "no input of the model gets frames"),
        (pictures(1), {"feeds": {"x0": "none.npy"}}, FrameError, "cannot be read"),
        (pictures(1), {"feeds": {"x0": "none.png"}}, FrameError, "cannot be read"),
        (pictures(1, "fp16"), {}, UsageError, "takes FP16 pictures"),
        ((VECTOR,), {}, UsageError, "no camera can fill it"),
        ((VECTOR,), {"feeds": {"v": "color"}}, UsageError, "cannot take a camera's frames"),
        ((VECTOR,), {"feeds": {"v": "a.png"}}, UsageError, "cannot show a picture"),
        (
            (TensorSpec("x", (4, 3, 24, 40), "u8", "NCHW", "bgr"),),
            {"feeds": {"x": "color"}},
            UsageError,
            "cannot take a camera's frames",
        ),
        ((*pictures(1), BYTE), {"feeds": {"k": "300"}}, UsageError, "fit in u8"),
        ((*pictures(1), HALF), {"feeds": {"k": "1e9"}}, UsageError, "fit in fp16"),
        (pictures(1), {"fps": 0}, UsageError, "0 frames a second"),
        (pictures(1), {"threads": 3}, UsageError, "3 inference threads"),
        (pictures(1), {"shaves": 14}, UsageError, "leaves only 13"),
    ],
)
def test_what_cannot_be(
    inputs: tuple[TensorSpec, ...], options: dict[str, Any], kind: type[BlobsmithError], named: str
) -> None:
    with pytest.raises(kind, match=named) as caught:
        plan_pipeline(inputs, OUTPUT, **{"shaves": 6, **options})
    assert caught.value.remedy


def test_a_blob_for_many_shaves_runs_where_no_camera_takes_any() -> None:
    assert plan_pipeline(pictures(1), OUTPUT, shaves=16, host_frames=True).threads == 1


def test_4k_frames_leave_fewer_shaves() -> None:
    large = TensorSpec("x", (1, 3, 2160, 3840), "u8", "NCHW", "bgr")
    plan = plan_pipeline((large,), OUTPUT, shaves=6)
    assert plan.threads == 1
    assert "do not fit in the 10" in plan.notes[0]


def test_fp16_frames_where_the_camera_has_them() -> None:
    plan = plan_pipeline(pictures(1, "fp16"), OUTPUT, shaves=6, fp16_frames=True)
    assert plan.requests[0].frame_type == "BGRF16F16F16p"
