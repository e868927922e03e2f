"""The board, the endless frames, the server and the watch of the live page, without a browser."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from blobsmith.errors import BlobsmithError, EnvironmentFault, FrameError, SourceError, UsageError
from blobsmith.runtime.live import Board, Endless, LiveModel, show_frames
from blobsmith.runtime.live_server import ADDRESS, LiveServer
from blobsmith.runtime.watching import Watch, forget, imported_from, source_file
from blobsmith.tensors import Decoding, TensorSpec

IMAGE = TensorSpec("image", (1, 3, 24, 32), "u8", "NCHW", "bgr")
OUT = TensorSpec("output", (1, 3, 24, 32), "fp16", "NCHW", "bgr", decoding=Decoding("image"))


@dataclass(frozen=True)
class Inverter:
    """An engine that turns levels round; fails where it is told to."""

    fails: bool = False
    name: str = "stand-in"
    inputs: tuple[TensorSpec, ...] = (IMAGE,)
    outputs: tuple[TensorSpec, ...] = (OUT,)

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.fails:
            raise ValueError("no")
        return {"output": 255.0 - feeds["image"].astype(np.float16)}


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "one.png"
    cv2.imwrite(str(path), np.full((24, 32, 3), 200, np.uint8))
    return str(path)


# ---------------------------------------------------------------------- frames through a model


def test_frames_go_through_the_newest_model(picture: str) -> None:
    board = Board("mine.py:Mine", picture)
    board.building()
    board.built(LiveModel(Inverter(), {"stages": 3}, ("a warning",)))
    assert show_frames(board, picture, threading.Event(), limit=2) == 2
    version, state = board.state()
    assert version > 0
    assert (state["status"], state["builds"], state["frame"]) == ("running", 1, 2)
    assert state["facts"] == {"stages": 3}
    assert state["warnings"] == ["a warning"]
    assert [tile["id"] for tile in state["tiles"]] == ["input-0", "output-1"]
    json.dumps(state, allow_nan=False)
    levels = [_level(board, tile["id"]) for tile in state["tiles"]]
    assert levels == pytest.approx([200, 55], abs=2)


def _level(board: Board, key: str) -> float:
    data = board.picture(key)
    assert data is not None
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return float(np.mean(np.asarray(found)))


def test_a_new_model_takes_over(picture: str) -> None:
    board, stop = Board("m", picture), threading.Event()
    board.built(LiveModel(Inverter()))
    second = Inverter(outputs=(OUT,), name="second")

    original = board.shown

    def shown(*arguments: Any) -> None:
        original(*arguments)
        if board.state()[1]["frame"] == 1:
            board.built(LiveModel(second, {"stages": 9}))
        else:
            stop.set()

    board.shown = shown  # type: ignore[method-assign]
    assert show_frames(board, picture, stop) == 2
    assert board.state()[1]["facts"] == {"stages": 9}


def test_a_failed_build_leaves_the_model_before(picture: str) -> None:
    board = Board("m", picture)
    good = LiveModel(Inverter())
    board.built(good)
    board.failed(SourceError("it fails", where="mine.py:3", remedy="mend it"))
    assert board.model is good
    state = board.state()[1]
    assert (state["status"], state["failures"]) == ("failed", 1)
    assert state["error"]["where"] == "mine.py:3"
    board.built(good)
    assert board.state()[1]["error"] is None


def test_a_blob_that_is_not_right_is_shown_with_the_verdict(picture: str) -> None:
    board = Board("m", picture)
    board.built(LiveModel(Inverter(), fault=BlobsmithError("3 % are off")))
    show_frames(board, picture, threading.Event(), limit=1)
    state = board.state()[1]
    assert (state["status"], state["frame"]) == ("wrong", 1)
    assert state["error"]["what"] == "3 % are off"


def test_a_blob_that_does_not_run_does_not_end_the_session(picture: str) -> None:
    board, stop = Board("m", picture), threading.Event()
    board.built(LiveModel(Inverter(fails=True)))
    thread = threading.Thread(target=show_frames, args=(board, picture, stop))
    thread.start()
    try:
        known, state = board.wait(1, 10)
        assert "ValueError: no" in state["run_error"]["what"]
        board.built(LiveModel(Inverter()))
        while not state["frame"]:
            known, state = board.wait(known, 10)
        assert state["run_error"] is None
    finally:
        stop.set()
        thread.join(10)


def test_a_board_wakes_who_waits() -> None:
    board = Board("m", "sample")
    known, _ = board.state()
    threading.Timer(0.05, board.building).start()
    version, state = board.wait(known, 10)
    assert version == known + 1
    assert state["status"] == "building"
    assert board.wait(version, 0.01)[0] == version


# ---------------------------------------------------------------------- frames without end


@pytest.fixture
def stop() -> threading.Event:
    """Set, so that nothing waits for a frame's time."""
    event = threading.Event()
    event.set()
    return event


def test_frames_start_over(tmp_path: Path, stop: threading.Event) -> None:
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((4, 4, 3), index * 50, np.uint8))
    endless = Endless(str(tmp_path), stop)
    frames = [next(endless) for _ in range(5)]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 50, 0, 50, 0]


def test_the_sample_comes_in_the_size_of_the_model(stop: threading.Event) -> None:
    endless = Endless("sample", stop)
    for size in ((64, 48), (40, 30)):
        endless.size = size
        assert next(endless).image.shape == (size[1], size[0], 3)


def test_a_source_without_frames_is_an_error(stop: threading.Event) -> None:
    class Empty:
        fps, name, count, notes = 30.0, "empty", 0, ()

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def __iter__(self) -> Iterator[Any]:
            return iter(())

    with pytest.raises(FrameError, match="holds no frames"):
        next(Endless("empty", stop, lambda name, size: Empty()))


# ---------------------------------------------------------------------- the server


@pytest.fixture
def served() -> Iterator[tuple[Board, LiveServer]]:
    board = Board("mine.py:Mine", "sample")
    with LiveServer(board) as server:
        yield board, server


def _get(server: LiveServer, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    port = int(server.url.rstrip("/").rsplit(":", 1)[1])
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_it_listens_on_this_computer_alone(served: tuple[Board, LiveServer]) -> None:
    _, server = served
    assert server.url.startswith("http://127.0.0.1:")


def test_page_and_state(served: tuple[Board, LiveServer]) -> None:
    board, server = served
    status, headers, body = _get(server, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>blobsmith live</title>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    board.building()
    status, _, body = _get(server, "/state")
    assert status == 200
    assert json.loads(body)["status"] == "building"


def test_events_come_when_something_changes(served: tuple[Board, LiveServer]) -> None:
    board, server = served
    port = int(server.url.rstrip("/").rsplit(":", 1)[1])
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    first = answer.fp.readline()
    assert json.loads(first.removeprefix(b"data: "))["status"] == "waiting"
    board.building()
    lines = iter(answer.fp.readline, b"")
    later = next(line for line in lines if line.startswith(b"data: "))
    assert json.loads(later.removeprefix(b"data: "))["status"] == "building"
    connection.close()


def test_pictures(served: tuple[Board, LiveServer], picture: str) -> None:
    board, server = served
    assert _get(server, "/picture/input-0")[0] == 404
    board.built(LiveModel(Inverter()))
    show_frames(board, picture, threading.Event(), limit=1)
    status, headers, body = _get(server, "/picture/input-0?7")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert body.startswith(b"\xff\xd8")
    assert _get(server, "/picture/../../etc/passwd")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:80", ""])
def test_another_name_is_refused(host: str, served: tuple[Board, LiveServer]) -> None:
    _, server = served
    for path in ("/", "/state", "/events", "/picture/input-0"):
        assert _get(server, path, Host=host)[0] == 403


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/picture/", 404)])
def test_what_is_not_there(path: str, status: int, served: tuple[Board, LiveServer]) -> None:
    assert _get(served[1], path)[0] == status


def test_a_taken_port_is_said(served: tuple[Board, LiveServer]) -> None:
    port = int(served[1].url.rstrip("/").rsplit(":", 1)[1])
    with pytest.raises(EnvironmentFault, match=f"port {port} cannot be used"):
        LiveServer(served[0], port)


# ---------------------------------------------------------------------- watching


@pytest.mark.parametrize(
    ("source", "file"),
    [("a/mine.py:Mine", "a/mine.py"), ("net.onnx", "net.onnx"), ("mine.py:Outer.Inner", "mine.py")],
)
def test_the_file_that_is_edited(source: str, file: str) -> None:
    assert source_file(source) == Path(file)


def test_the_file_of_a_module() -> None:
    assert source_file("blobsmith.zoo.blur:Blur").name == "blur.py"


@pytest.mark.parametrize("source", ["blur", "no_such_package.module:Class"])
def test_what_has_no_file_cannot_be_watched(source: str) -> None:
    with pytest.raises(UsageError, match="no file to watch"):
        source_file(source)


def _write(path: Path, text: str, when: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(when, when))


def test_a_save_is_noticed_once_and_a_touch_is_not(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    _write(path, "x = 1", 10**18)
    watch = Watch(path)
    assert not watch.changed()
    _write(path, "x = 2", 10**18 + 1)
    assert watch.changed()
    assert not watch.changed()
    _write(path, "x = 2", 10**18 + 2)
    assert not watch.changed()


def test_a_file_that_is_away_for_a_moment_has_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    _write(path, "x = 1", 10**18)
    watch = Watch(path)
    path.unlink()
    assert not watch.changed()
    _write(path, "x = 1", 10**18 + 5)
    assert not watch.changed()
    path.unlink()
    _write(tmp_path / "new", "x = 3", 10**18 + 9)
    (tmp_path / "new").rename(path)
    assert watch.changed()


def test_files_beside_it_are_watched_too(tmp_path: Path) -> None:
    main, helper, late = (tmp_path / name for name in ("m.py", "h.py", "late.py"))
    for path in (main, helper):
        _write(path, "x = 1", 10**18)
    _write(late, "x = 1", 10**18 + 9)
    watch = Watch(main)
    watch.look([helper], since=10**18 + 5)
    assert not watch.changed()
    _write(helper, "x = 2", 10**18 + 6)
    assert watch.changed()
    watch.look([helper, late], since=10**18 + 5)  # written after it was read
    assert watch.changed()
    assert not watch.changed()
    watch.look([], since=0)
    _write(helper, "x = 4", 10**18 + 11)
    assert not watch.changed()


def test_own_modules_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "blobsmith_test_helper.py").write_text("value = 1\n")
    before = dict(sys.modules)
    import blobsmith_test_helper  # type: ignore[import-not-found]

    assert blobsmith_test_helper.value == 1
    found = imported_from(tmp_path, before)
    assert found == {"blobsmith_test_helper": (tmp_path / "blobsmith_test_helper.py").resolve()}
    (tmp_path / "blobsmith_test_helper.py").write_text("value = 2\n")
    forget(found)
    import blobsmith_test_helper as again

    assert again.value == 2
    forget(found)
