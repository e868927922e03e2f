"""Files appear whole or not at all, in every format that is offered."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from blobsmith.errors import EnvironmentFault, UsageError
from blobsmith.runtime import sinks
from blobsmith.runtime.sinks import fill, open_sink, readable_frames, write_picture


def frames(count: int, width: int = 33, height: int = 25) -> list[np.ndarray]:
    return [np.full((height, width, 3), 40 + 30 * index, np.uint8) for index in range(count)]


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("suffix", sinks.PICTURES)
def test_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with open_sink(path, count=1) as sink:
        assert sink.write(frames(1)[0]) is False
    assert sink.paths == (path,)
    assert abs(cv2.imread(str(path)).astype(int) - 40).max() <= 2
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("target", ["frames", "new/frames.d/", "there"])
def test_folder(tmp_path: Path, target: str) -> None:
    (tmp_path / "there").mkdir()
    with open_sink(f"{tmp_path}/{target}") as sink:
        assert all(sink.write(frame) for frame in frames(3))
    assert [path.name for path in sink.paths] == ["00000.png", "00001.png", "00002.png"]
    assert [cv2.imread(str(path))[0, 0, 0] for path in sink.paths] == [40, 70, 100]


@pytest.mark.parametrize("suffix", list(sinks.CODECS))
def test_video(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with open_sink(path, fps=10) as sink:
        for frame in frames(4):
            sink.write(frame)
        assert not path.exists()
    assert sink.paths == (path,)
    assert readable_frames(path) == 4
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    good, first = capture.read()
    assert good
    assert first.shape == (26, 34, 3)
    assert first[:20, :20].mean() == pytest.approx(40, abs=6)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("suffix", sinks.ANIMATIONS)
def test_animation(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with open_sink(path, fps=5) as sink:
        for frame in [*frames(3), frames(1, 50, 40)[0]]:
            sink.write(frame)
    good, animation = cv2.imreadanimation(str(path))
    assert good
    assert len(animation.frames) == 4
    assert left_over(tmp_path) == []


def test_what_was_written_before_an_error_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.avi"

    def fail() -> None:
        with open_sink(path) as sink:
            sink.write(frames(1)[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert readable_frames(path) == 1


@pytest.mark.parametrize("name", ["a.avi", "a.webp", "a", "a.png"])
def test_no_frames_no_file(tmp_path: Path, name: str) -> None:
    with open_sink(tmp_path / name, count=1) as sink:
        pass
    assert sink.paths == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [None, 2])
def test_several_frames_do_not_go_into_one_picture(tmp_path: Path, count: int | None) -> None:
    with pytest.raises(UsageError, match="is one picture") as caught:
        open_sink(tmp_path / "a.png", count=count)
    assert "--limit 1" in caught.value.remedy


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as \.doc"):
        open_sink(tmp_path / "a.doc")
    with pytest.raises(UsageError, match=r"cannot be written as \.doc"):
        write_picture(tmp_path / "a.doc", frames(1)[0])


@pytest.mark.parametrize("name", ["a.png", "a.avi", "a.webp", "sub/"])
def test_a_place_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    target = f"{tmp_path}/file/deeper/{name}"
    with (
        pytest.raises(EnvironmentFault, match="cannot be written"),
        open_sink(target, count=1) as s,
    ):
        s.write(frames(1)[0])
    assert left_over(tmp_path) == []


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("")
    with pytest.raises(UsageError, match="is a file, not a folder"):
        open_sink(tmp_path / "frames")


def test_full_disk_while_writing_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EnvironmentFault, match="No space left") as caught:
        write_picture(tmp_path / "a.png", frames(1)[0])
    assert caught.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_video_that_is_not_whole_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's writer says nothing when the disk is full; the frames are counted afterwards."""
    monkeypatch.setattr(sinks, "readable_frames", lambda path: 1)

    def run() -> None:
        with open_sink(tmp_path / "a.avi") as sink:
            for frame in frames(3):
                sink.write(frame)

    with pytest.raises(EnvironmentFault, match="disk seems to be full"):
        run()
    assert list(tmp_path.iterdir()) == []


def test_nowhere() -> None:
    with open_sink(None) as sink:
        assert sink.write(frames(1)[0])
    assert sink.paths == ()


def test_window_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sinks.sys, "platform", "linux")
    with pytest.raises(EnvironmentFault, match="no screen"):
        open_sink("window")


def test_window_of_a_headless_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(title: str) -> None:
        raise cv2.error("not implemented")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(sinks.cv2, "namedWindow", refuse)
    with pytest.raises(EnvironmentFault, match="headless") as caught:
        open_sink("window")
    assert "-o" in caught.value.remedy


@pytest.mark.parametrize(("key", "goes_on"), [(255, True), (27, False), (ord("q"), False)])
def test_window_is_closed_by_a_key(
    monkeypatch: pytest.MonkeyPatch, key: int, goes_on: bool
) -> None:
    calls: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    for name in ("namedWindow", "imshow", "destroyWindow"):
        monkeypatch.setattr(sinks.cv2, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(sinks.cv2, "waitKey", lambda _: key)
    with open_sink("window") as sink:
        assert sink.write(frames(1)[0]) is goes_on
    assert calls == ["namedWindow", "imshow", "destroyWindow"]


def test_fill_keeps_the_upper_left_corner() -> None:
    picture = frames(1, 4, 3)[0]
    assert fill(picture, 4, 3) is picture
    larger = fill(picture, 6, 5)
    assert larger[:3, :4].min() == 40
    assert larger.sum() == picture.sum()
    assert fill(picture, 2, 2).shape == (2, 2, 3)
