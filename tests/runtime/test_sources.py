"""Every kind of source, and what is said of those that are no good."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from blobsmith.errors import BlobsmithError, EnvironmentFault, FrameError
from blobsmith.runtime import samples, sources
from blobsmith.runtime.sources import open_source, read_image, take

RED = (10, 20, 240)


def picture(path: Path, color: tuple[int, ...] = RED, size: tuple[int, int] = (12, 16)) -> Path:
    assert cv2.imwrite(str(path), np.full((*size, len(color)), color, np.uint8).squeeze())
    return path


def video(path: Path, count: int = 5, codec: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 12.5, (32, 24))
    for index in range(count):
        writer.write(np.full((24, 32, 3), 40 * index % 256, np.uint8))
    writer.release()
    return path


def test_image(tmp_path: Path) -> None:
    with open_source(picture(tmp_path / "a.png")) as source:
        frames = list(source)
    assert (source.count, source.fps, source.notes) == (1, None, ())
    assert [(frame.index, frame.label) for frame in frames] == [(0, "a.png")]
    assert np.array_equal(frames[0].image, np.full((12, 16, 3), RED, np.uint8))


@pytest.mark.parametrize("color", [(77,), (77, 77, 77), (77, 77, 77, 128)])
def test_grey_and_alpha_become_bgr(tmp_path: Path, color: tuple[int, ...]) -> None:
    image = read_image(picture(tmp_path / "a.png", color))
    assert np.array_equal(image, np.full((12, 16, 3), 77, np.uint8))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 4), 0x8000, np.uint16))
    assert np.array_equal(read_image(tmp_path / "a.png"), np.full((4, 4, 3), 0x80, np.uint8))


def test_folder_in_order_without_what_is_no_picture(tmp_path: Path) -> None:
    for name in ("b.png", "a.bmp", "c.JPG"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    (tmp_path / "folder.png").mkdir()
    with open_source(tmp_path) as source:
        assert source.count == 3
        assert [frame.label for frame in source] == ["a.bmp", "b.png", "c.JPG"]


@pytest.mark.parametrize(("suffix", "codec"), [(".avi", "MJPG"), (".mp4", "mp4v")])
def test_video(tmp_path: Path, suffix: str, codec: str) -> None:
    with open_source(video(tmp_path / f"v{suffix}", codec=codec)) as source:
        frames = list(source)
    assert source.fps == pytest.approx(12.5)
    assert (source.count, len(frames), source.notes) == (5, 5, ())
    levels = [frame.image.mean() for frame in frames]
    assert levels == pytest.approx([0, 40, 80, 120, 160], abs=4)


def test_video_that_is_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    rng = np.random.default_rng(0)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(20):
        writer.write(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with open_source(path) as source:
        count = len(list(source))
    assert 0 < count < 20
    assert source.count in (None, count) or "could be read" in source.notes[0]


def test_sample(tmp_path: Path) -> None:
    with open_source("sample", size=(48, 32), count=7) as source:
        frames = list(source)
    assert (source.count, source.fps, source.notes) == (7, 30.0, ())
    assert [frame.image.shape for frame in frames] == [(32, 48, 3)] * 7
    with open_source("sample:photos", size=(48, 32)) as photographs:
        assert len(list(photographs)) == photographs.count == len(samples.photos())


def test_sample_without_photographs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "find_spec", lambda name: None)
    with open_source("sample", size=(48, 32), count=2) as source:
        assert len(list(source)) == 2
    assert "drawn scene" in source.notes[0]
    assert "blobsmith[samples]" in source.notes[0]


def test_limit(tmp_path: Path) -> None:
    with open_source("sample", size=(16, 16), count=9) as source:
        assert len(list(take(source, 4))) == 4
        assert len(list(take(source, None))) == 9


def _broken(folder: Path, case: str) -> Path:
    whole = picture(folder / "whole.jpg", size=(80, 90)).read_bytes()
    png = picture(folder / "whole.png", size=(80, 90)).read_bytes()
    made = {
        "missing.png": None,
        "empty.png": b"",
        "text.png": b"this is no picture",
        "cut.jpg": whole[: len(whole) * 2 // 3],
        "cut.png": png[: len(png) * 2 // 3],
        "odd.xyz": b"?",
        "empty.mp4": b"",
        "text.mp4": b"this is no video" * 40,
    }
    path = folder / case
    if made[case] is not None:
        path.write_bytes(made[case])
    return path


@pytest.mark.parametrize(
    ("case", "what"),
    [
        ("missing.png", "there is no frame source"),
        ("empty.png", "is empty"),
        ("text.png", "no picture that can be read"),
        ("cut.jpg", "is cut short"),
        ("cut.png", "is cut short"),
        ("odd.xyz", "neither a picture nor a video"),
        ("empty.mp4", "is empty"),
        ("text.mp4", "video cannot be read"),
    ],
)
def test_broken_files(tmp_path: Path, case: str, what: str) -> None:
    path = _broken(tmp_path, case)
    with pytest.raises(FrameError, match=what) as caught, open_source(path) as source:
        list(source)
    assert case in str(caught.value)
    assert caught.value.remedy


def test_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="holds no pictures"):
        open_source(tmp_path)


def test_folder_with_a_broken_picture_names_it(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"broken")
    with open_source(tmp_path) as source:
        frames = iter(source)
        assert next(frames).label == "a.png"
        with pytest.raises(FrameError, match="no picture") as caught:
            next(frames)
    assert "b.png" in caught.value.where


class _Camera:
    """Stands in for cv2.VideoCapture: three frames, then unplugged."""

    def __init__(self, target: int) -> None:
        self.left = 3 if target == 0 else 0
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.left > 0

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else -1.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, np.zeros((4, 4, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


def test_webcam_that_is_unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.cv2, "VideoCapture", _Camera)
    with open_source("webcam") as source:
        assert (source.fps, source.count) == (25.0, None)
        frames = iter(source)
        assert [next(frames).index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(EnvironmentFault, match="webcam 0 stopped after 3 frames"):
            next(frames)


def test_no_webcam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.cv2, "VideoCapture", _Camera)
    with pytest.raises(BlobsmithError, match="webcam 7 cannot be opened") as caught:
        open_source("webcam:7")
    assert caught.value.exit_code == 5
