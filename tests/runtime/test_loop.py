"""The run: frames in order, the right inputs, a clean end whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from blobsmith import zoo
from blobsmith.errors import BlobError, FrameError, ModelError, UsageError
from blobsmith.runtime.engines import emulator_engine, onnx_engine
from blobsmith.runtime.feed import plan_inputs
from blobsmith.runtime.loop import Step, run_frames
from blobsmith.runtime.sinks import open_sink, readable_frames
from blobsmith.runtime.sources import open_source
from blobsmith.tensors import Decoding, TensorSpec

from .models import IMAGE, OUTPUT, FunctionEngine, copy_engine, difference_onnx


def folder(path: Path, levels: list[int], size: tuple[int, int] = (8, 10)) -> Path:
    path.mkdir()
    for index, level in enumerate(levels):
        cv2.imwrite(str(path / f"{index:02}.png"), np.full((*size, 3), level, np.uint8))
    return path


def test_pictures_come_out_as_they_went_in(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path / "in", [10, 20, 30]))
    seen: list[Step] = []
    summary = run_frames(
        copy_engine(), source, open_sink(tmp_path / "out"), view="outputs", on_progress=seen.append
    )
    assert [cv2.imread(str(path))[0, 0, 0] for path in summary.paths] == [10, 20, 30]
    assert [step.label for step in seen] == ["00.png", "01.png", "02.png"]
    assert (summary.frames, summary.interrupted, summary.notes) == (3, False, ())
    assert summary.ranges == {"output": (10, 30)}
    assert summary.last[0].name == "output"
    assert 0 < summary.engine_seconds <= summary.seconds
    assert summary.fps > 0


def test_labelled_view_shows_both(tmp_path: Path) -> None:
    source = open_source(folder(tmp_path / "in", [200]))
    summary = run_frames(copy_engine(), source, open_sink(tmp_path / "o.png", count=1), title="t")
    picture = cv2.imread(str(summary.paths[0]))
    assert np.count_nonzero((picture == 200).all(axis=2)) == pytest.approx(2 * 375 * 300, rel=0.01)


def test_difference_of_successive_frames_in_onnx_runtime(tmp_path: Path) -> None:
    specs = tuple(TensorSpec(name, (1, 3, 8, 10), "u8") for name in ("img1", "img2"))
    engine = onnx_engine(difference_onnx(), specs, (OUTPUT,), threads=1)
    steps: list[Step] = []
    run_frames(
        engine,
        open_source(folder(tmp_path / "in", [10, 25, 5])),
        open_sink(None),
        on_progress=steps.append,
    )
    # U8 arrays are cast, so 5 - 25 is -20 and not 236.
    assert [step.outputs[0].values.max() for step in steps] == [0, 30, -40]


def test_an_input_with_a_source_of_its_own(tmp_path: Path) -> None:
    specs = tuple(TensorSpec(name, (1, 3, 8, 10), "u8") for name in ("img1", "img2"))
    engine = onnx_engine(difference_onnx(), specs, (OUTPUT,), threads=1)
    other = folder(tmp_path / "other", [1, 2])
    summary = run_frames(
        engine,
        open_source(folder(tmp_path / "in", [10, 20, 30])),
        open_sink(None),
        plan=plan_inputs(specs, {"img2": str(other)}),
    )
    assert summary.frames == 2
    assert summary.ranges["output"] == (18, 36)
    assert "the frames of the input 'img2' ended first" in summary.notes


def test_resizing_is_told_once(tmp_path: Path) -> None:
    for size, changes in (((16, 20), False), ((20, 20), True)):
        name = f"in{size[0]}"
        source = open_source(folder(tmp_path / name, [1, 2], size))
        summary = run_frames(copy_engine(), source, open_sink(None))
        (note,) = summary.notes
        assert note.startswith(f"frames of {size[1]}x{size[0]} are resized to 10x8")
        assert note.endswith("changes their shape") is changes


def test_limit(tmp_path: Path) -> None:
    source = open_source("sample", size=(10, 8), count=20)
    assert run_frames(copy_engine(), source, open_sink(None), limit=3).frames == 3
    with pytest.raises(UsageError, match="0 frames"):
        run_frames(copy_engine(), source, open_sink(None), limit=0)


def test_ctrl_c_keeps_what_is_written(tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        if step.index == 2:
            raise KeyboardInterrupt

    source = open_source("sample", size=(10, 8), count=20)
    sink = open_sink(tmp_path / "out.avi", fps=10)
    summary = run_frames(copy_engine(), source, sink, on_progress=stop)
    assert (summary.frames, summary.interrupted) == (3, True)
    assert summary.paths == (tmp_path / "out.avi",)
    assert readable_frames(tmp_path / "out.avi") == 3


def test_an_error_keeps_what_is_written(tmp_path: Path) -> None:
    pictures = folder(tmp_path / "in", [10, 20])
    (pictures / "99.png").write_bytes(b"broken")
    with pytest.raises(FrameError, match="no picture"):
        run_frames(copy_engine(), open_source(pictures), open_sink(tmp_path / "out.avi"))
    assert readable_frames(tmp_path / "out.avi") == 2


def test_a_closed_window_ends_the_run() -> None:
    class Closing:
        paths = ()

        def write(self, picture: np.ndarray, label: str = "") -> bool:
            return False

        def __enter__(self) -> Closing:
            return self

        def __exit__(self, *_: object) -> None:
            return None

    source = open_source("sample", size=(10, 8), count=20)
    summary = run_frames(copy_engine(), source, Closing())
    assert (summary.frames, summary.interrupted) == (1, False)


def test_warnings_and_infinities_are_told_once() -> None:
    class Result(dict[str, np.ndarray]):
        warnings = ()

    def overflow(feeds: Mapping[str, np.ndarray]) -> Result:
        result = Result(output=np.full((1, 3, 8, 10), np.inf, np.float16))
        result.warnings = (f"stage 4 (Sum): {feeds['image'].sum()} became inf",)
        return result

    steps: list[Step] = []
    source = open_source("sample", size=(10, 8), count=3)
    engine = FunctionEngine(overflow)
    summary = run_frames(engine, source, open_sink(None), on_progress=steps.append)
    assert len({step.warnings for step in steps}) == 3
    assert summary.notes == (*steps[0].warnings, "output: some values are not finite")
    assert summary.ranges == {"output": (0, 0)}


def test_vectors_are_kept_and_drawn(tmp_path: Path) -> None:
    entry = zoo.get("cosine")
    engine = FunctionEngine(
        lambda feeds: {"output": np.dot(feeds["a"], feeds["b"]).reshape(1)},
        entry.inputs,
        entry.outputs,
    )
    source = open_source("sample", size=(32, 24), count=2)
    for view in ("both", "outputs"):
        summary = run_frames(engine, source, open_sink(tmp_path / view), view=view)  # type: ignore[arg-type]
        assert len(summary.paths) == 2
        assert summary.last[0].vector is not None
        assert summary.last[0].vector.shape == (1,)


@pytest.mark.parametrize(
    ("inputs", "outputs", "what"),
    [
        ("img1 img2 img3", "output", "input 'img3'"),
        ("img1", "output", "input 'img2'"),
        ("img1 img2", "result", "output 'result'"),
    ],
)
def test_graph_and_specs_that_do_not_match(inputs: str, outputs: str, what: str) -> None:
    with pytest.raises(ModelError, match=what):
        onnx_engine(
            difference_onnx(),
            [TensorSpec(name, (1, 3, 8, 10)) for name in inputs.split()],
            [TensorSpec(name, (1, 3, 8, 10), "fp16") for name in outputs.split()],
        )


@pytest.mark.parametrize("data", [b"", b"no graph", difference_onnx()[:60]])
def test_damaged_graph(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"ONNX Runtime refuses|does not match"):
        onnx_engine(data, [IMAGE], [OUTPUT])


def test_blob_on_the_emulator(compile_blob: object, tmp_path: Path) -> None:
    from blobsmith.blob.reader import Blob

    blob = Blob.from_bytes(compile_blob(difference_onnx()))  # type: ignore[operator]
    engine = emulator_engine(blob)
    assert [spec.name for spec in engine.inputs] == ["img1", "img2"]
    known = emulator_engine(
        blob, None, (TensorSpec("output", (1, 3, 8, 10), "fp16", decoding=Decoding("image")),)
    )
    pictures = folder(tmp_path / "in", [10, 25, 5])
    for each in (engine, known):
        steps: list[Step] = []
        run_frames(each, open_source(pictures), open_sink(None), on_progress=steps.append)
        assert [step.outputs[0].values.max() for step in steps] == [0, 30, -40]
    with pytest.raises(BlobError):
        emulator_engine(Blob.from_bytes(b"no blob"))
