"""The emulator as a whole: inputs, outputs, memory, repeated runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from blobsmith.blob import Blob
from blobsmith.blob.records import Buffer, Location, TensorDesc
from blobsmith.emulator import Emulator
from blobsmith.emulator.context import Budget
from blobsmith.emulator.memory import Memory
from blobsmith.errors import BlobError, FrameError

from .handmade import Const as Constant
from .handmade import In, Out, blob, params, run_hw
from .models import model, node, weights

SHAPE = (1, 3, 10, 14)


@pytest.fixture(scope="module")
def difference(compile_blob: Callable[..., bytes]) -> Blob:
    """left - right, left U8 and right FP16."""
    data = model([node("Sub", "left right", "y")], {"left": SHAPE, "right": SHAPE}, {"y": SHAPE})
    return Blob.from_bytes(compile_blob(data, inputs={"left": "u8", "right": "fp16"}))


def frames() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "left": rng.integers(0, 256, SHAPE, dtype=np.uint8),
        "right": rng.uniform(0, 200, SHAPE).astype(np.float16),
    }


def test_inputs_go_by_name_not_by_order(difference: Blob) -> None:
    given = frames()
    wanted = given["left"].astype(np.float32) - given["right"].astype(np.float32)
    backwards = dict(reversed(given.items()))
    for feed in (given, backwards):
        result = Emulator(difference).run(feed)
        np.testing.assert_array_equal(result["y"], wanted.astype(np.float16))
        assert list(result) == ["y"]
        assert len(result) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"left": None}, "'left' is missing"),
        ({"third": np.zeros(SHAPE, np.uint8)}, "no input 'third'"),
        ({"left": np.zeros((3, 10, 14), np.uint8)}, "has the shape 3x10x14"),
        ({"left": np.zeros((1, 3, 14, 10), np.uint8)}, "has the shape 1x3x14x10"),
        ({"left": np.zeros(SHAPE, np.float32)}, "'left' is float32"),
        ({"left": np.zeros(SHAPE, np.int8)}, "'left' is int8"),
        ({"right": np.zeros(SHAPE, np.uint8)}, "'right' is uint8"),
        ({"left": np.uint8(3)}, "has the shape scalar"),
    ],
)
def test_frames_that_do_not_fit(
    difference: Blob, change: dict[str, np.ndarray | None], told: str
) -> None:
    feed = {k: v for k, v in (frames() | change).items() if v is not None}
    with pytest.raises(FrameError, match=told) as caught:
        Emulator(difference).run(feed)
    assert caught.value.remedy


def test_wider_floats_are_rounded_to_the_inputs_type(difference: Blob) -> None:
    given = frames()
    wide = given | {"right": given["right"].astype(np.float64) + 1e-5}
    emulator = Emulator(difference)
    np.testing.assert_array_equal(emulator.run(wide)["y"], emulator.run(given)["y"])


def test_results_belong_to_the_caller_and_runs_are_independent(difference: Blob) -> None:
    emulator, first = Emulator(difference), frames()
    before = emulator.run(first)["y"]
    kept = before.copy()
    second = {name: array[..., ::-1].copy() for name, array in first.items()}
    after = emulator.run(second)["y"]
    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(after, kept[..., ::-1])
    np.testing.assert_array_equal(emulator.run(first)["y"], kept)


def test_threads_take_turns(difference: Blob) -> None:
    emulator, given = Emulator(difference), frames()
    wanted = emulator.run(given)["y"]
    found: list[tuple[bool, np.ndarray]] = []
    other = {name: array[:, ::-1].copy() for name, array in given.items()}

    def work(feed: dict[str, np.ndarray]) -> None:
        found.extend((feed is given, emulator.run(feed)["y"]) for _ in range(20))

    threads = [threading.Thread(target=work, args=(feed,)) for feed in (given, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, result in found:
        np.testing.assert_array_equal(result, wanted if mine else wanted[:, ::-1])


def test_inputs_are_not_changed(difference: Blob) -> None:
    given = frames()
    copies = {name: array.copy() for name, array in given.items()}
    Emulator(difference).run(given)
    for name, array in given.items():
        np.testing.assert_array_equal(array, copies[name])


def unwritten_copy() -> Blob:
    """A blob whose one stage copies scratch memory that nothing has written."""
    made, _ = blob(19, b"", [In(np.zeros((4, 6), np.float16)), Out((4, 6))])
    stage = made.stages[0]
    scratch = replace(stage.buffers[0], location=Location.BSS, io_index=-1, parent_bytes=0)
    stage = replace(stage, buffers=(scratch, stage.buffers[1]))
    return replace(made, stages=(stage,))


def test_poison_shows_reads_of_unwritten_memory() -> None:
    made, feed = unwritten_copy(), {"x0": np.ones((4, 6), np.float16)}
    clean, poisoned = Emulator(made), Emulator(made, poison=True)
    assert clean.unwritten == poisoned.unwritten == (0,)
    assert (clean.run(feed)["y"] == 0).all()
    assert np.isnan(poisoned.run(feed)["y"]).all()


def test_unwritten_memory_does_not_carry_from_run_to_run() -> None:
    """Stage 0 copies scratch to the output, stage 1 then fills the scratch from the input."""
    made = unwritten_copy()
    first = made.stages[0]
    info = made.inputs[0]
    source = Buffer(info.desc, Location.INPUT, 0, 0, info.desc.span)
    second = replace(first, index=1, buffers=(source, first.buffers[0]))
    emulator = Emulator(replace(made, stages=(first, second)))
    feed = {"x0": np.ones((4, 6), np.float16)}
    assert (emulator.run(feed)["y"] == 0).all()
    assert (emulator.run(feed)["y"] == 0).all()
    assert emulator.unwritten == (0,)


def test_scratch_is_allocated_as_far_as_stages_reach_not_as_the_header_claims() -> None:
    made, _ = blob(19, b"", [In(np.zeros((4, 6), np.float16)), Out((4, 6))])
    claimed = replace(made, header=replace(made.header, bss_size=1 << 30, cmx_slices=19))
    assert Emulator(claimed).nbytes < 1 << 20


def test_more_memory_than_a_camera_has_is_refused() -> None:
    made = unwritten_copy()
    stage = made.stages[0]
    far = replace(stage.buffers[0], offset=(1 << 30) + 64)
    with pytest.raises(BlobError, match="1024 MiB of memory"):
        Memory(replace(made, stages=(replace(stage, buffers=(far, stage.buffers[1])),)))


def test_more_work_than_a_camera_could_do_is_refused() -> None:
    budget = Budget(1000)
    budget.spend(1000, "stage 0")
    with pytest.raises(BlobError, match="more work") as caught:
        budget.spend(1, "stage 7")
    assert caught.value.where == "stage 7"


def test_writing_into_the_constants_is_refused() -> None:
    made, _ = blob(19, b"", [Constant(np.zeros((4, 6), np.float16)), Out((4, 6))])
    stage = made.stages[0]
    swapped = replace(stage, buffers=(stage.buffers[1], stage.buffers[0]))
    with pytest.raises(BlobError, match="writes into the constants"):
        Emulator(replace(made, stages=(swapped,)))


def test_operands_off_their_elements_boundary_are_refused() -> None:
    made = unwritten_copy()
    stage = made.stages[0]
    odd = replace(stage.buffers[0], offset=3)
    with pytest.raises(BlobError, match="not aligned"):
        Emulator(replace(made, stages=(replace(stage, buffers=(odd, stage.buffers[1])),)))


def test_a_stage_may_write_over_its_own_operand() -> None:
    """A flip in place: the compiler lets input and output share memory where it can."""
    x = np.arange(24, dtype=np.float16).reshape(4, 6)
    made, _ = blob(19, b"", [In(x), Out((4, 6))])
    info = made.inputs[0]
    memory = Buffer(info.desc, Location.INPUT, 0, 0, info.desc.span)
    picks = TensorDesc("i32", 0x3, (6,), (4,))
    table = np.arange(5, -1, -1, dtype=np.int32).tobytes()
    flip = replace(
        made.stages[0], type_id=100, type_name="Gather", fields={"axis": 0},
        params=params(100, 0), buffers=(memory, memory, Buffer(picks, Location.BLOB, 0)),
    )  # fmt: skip
    data = made.data + table + b"\0" * (64 - len(table))
    copy = replace(made.stages[0], index=1)
    header = replace(made.header, file_size=len(data), const_offset=len(made.data))
    emulator = Emulator(replace(made, data=data, header=header, stages=(flip, copy)))
    np.testing.assert_array_equal(emulator.run({"x0": x})["y"], x[:, ::-1])


def test_channels_with_zero_weights_are_never_read() -> None:
    """The compiler widens inputs, 3 to 8 channels; nothing writes the rest."""
    x = np.ones((1, 8, 4, 6), np.float16)
    x[:, 3:] = np.nan
    w = np.zeros((1, 8, 1, 8), np.float16)
    w[0, :3, 0] = weights(3, 8)
    result = run_hw({}, [In(x), Constant(w), Out((1, 8, 4, 6))])
    assert np.isfinite(result["y"]).all()
    np.testing.assert_allclose(result["y"][0, :, 0, 0], w[0, :3, 0].sum(axis=0), rtol=2e-3)


def test_fully_connected_hardware_operations_are_refused_by_name() -> None:
    operands = [In(np.ones((1, 8, 1, 1), np.float16)), Constant(np.ones((1, 8, 1, 8), np.float16))]
    with pytest.raises(BlobError, match="fully connected hardware"):
        run_hw({"op_type": 2, "fc": (0, 8, 0, 8, 0)}, [*operands, Out((1, 8, 1, 1))])
