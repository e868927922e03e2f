"""The command line as a user runs it: in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests import graphs

MODULE = """
import torch
class Halve(torch.nn.Module):
    def forward(self, image):
        return image / 2
class Talking(torch.nn.Module):
    def forward(self, image):
        print("shape", image.shape)
        return image / 2
class Broken(torch.nn.Module):
    def forward(self, image):
        return image.no_such_thing()
"""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """Its one JSON object."""
        assert len(self.out.splitlines()) == 1
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def shell(tmp_path: Path, toolchain: Path) -> Any:
    """Runs `blobsmith ARGUMENTS` in an empty folder with a cache of its own."""
    (tmp_path / "mine.py").write_text(MODULE)
    onnx.save(graphs.one("Relu"), tmp_path / "relu.onnx")
    environment = {
        **os.environ,
        "BLOBSMITH_CACHE": str(tmp_path / "cache"),
        "BLOBSMITH_TOOLCHAIN": str(toolchain),
    }

    def run(*arguments: str, **extra: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "blobsmith", *arguments],
            cwd=tmp_path, env={**environment, **extra}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def call(
    tmp_path: Path,
    toolchain: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """The same inside this process, for the many cases that end before any work."""
    from blobsmith.cli.app import run

    (tmp_path / "mine.py").write_text(MODULE)
    onnx.save(graphs.one("Relu"), tmp_path / "relu.onnx")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLOBSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BLOBSMITH_TOOLCHAIN", str(toolchain))

    def called(*arguments: str) -> Done:
        code = run(list(arguments))
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return called


def test_build_verify_inspect_run(shell: Any, tmp_path: Path) -> None:
    built = shell("build", "mine.py:Halve", "--input", "image=1x3x24x32", "-o", "h.blob", "--json")
    assert built.code == 0, built.err
    assert built.data["ok"]
    assert built.data["path"] == "h.blob"
    assert {"h.blob", "h.blob.json", "h.blob.onnx"} <= {p.name for p in tmp_path.iterdir()}
    verified = shell("verify", "h.blob", "--against", "mine.py:Halve", "--json")
    assert verified.code == 0, verified.err
    assert verified.data["passed"]
    inspected = shell("inspect", "h.blob", "--stages", "--time", "--json").data
    assert inspected["kind"] == "blob"
    assert inspected["time"]["total_ms"] > 0
    assert len(inspected["stages"]) > 0
    for engine in ("emulator", "onnx"):
        ran = shell("run", "h.blob", "--on", engine, "--limit", "3", "-o", f"{engine}/", "--json")
        assert ran.code == 0, ran.err
        assert ran.data["frames"] == 3
        assert len(ran.data["paths"]) == 3
        assert len(list((tmp_path / engine).iterdir())) == 3


def test_what_the_function_prints_stays_out_of_the_result(shell: Any) -> None:
    built = shell("build", "mine.py:Talking", "--input", "image=1x3x8x8", "-o", "t.blob", "--json")
    assert built.code == 0, built.err
    assert built.data["ok"] is True
    assert "shape" in built.err


def test_a_refused_report_leaves_no_blob_behind(shell: Any, tmp_path: Path) -> None:
    assert shell("build", "relu.onnx", "-o", "r.blob", "--report", "no/such/r.html").code == 5
    assert not list(tmp_path.glob("r.blob*"))


def test_build_by_hand_reads_well(shell: Any) -> None:
    done = shell("build", "relu.onnx")
    assert done.code == 0, done.err
    assert "simplify" in done.out
    assert "relu.blob" in done.out
    assert "\x1b[" not in done.out + done.err


def test_a_blob_that_is_not_the_source_exits_4(shell: Any, tmp_path: Path) -> None:
    shell("build", "mine.py:Halve", "--input", "image=1x3x24x32", "-o", "h.blob")
    found = shell("verify", "h.blob", "--against", "threshold", "--json")
    assert found.code == 4
    assert found.data["error"]["code"] == "check"
    assert "built from this source" in found.data["error"]["remedy"]
    assert found.data["warnings"] == []
    (tmp_path / "h.blob.json").unlink()
    alone = shell("verify", "h.blob", "--against", "mine.py:Halve", "--json")
    assert alone.code == 0
    assert "no manifest" in alone.data["warnings"][0]


def test_superblob_and_archive(shell: Any) -> None:
    for name, kind in (("s.superblob", "superblob"), ("a.tar.xz", "archive")):
        built = shell("build", "relu.onnx", "--format", kind, "-o", name, "--json")
        assert built.code == 0, built.err
        shown = shell("inspect", name, "--json").data
        assert shown["kind"] == kind
    assert shell("inspect", "s.superblob", "--shaves", "3", "--json").data["shaves"] == list(
        range(1, 17)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("build",), 2, "SOURCE"),
        (("build", "relu.onnx", "--shaves", "x"), 2, "shaves"),
        (("build", "relu.onnx", "--shaves", "40"), 2, "40"),
        (("build", "relu.onnx", "--input", "x0"), 2, "x0"),
        (("build", "relu.onnx", "--color", "yuv"), 2, "yuv"),
        (("build", "relu.onnx", "--mean", "a"), 2, "--mean"),
        (("nonsense",), 2, "nonsense"),
        (("build", "relu.onnx", "--nonsense"), 2, "--nonsense"),
        (("build", "none.onnx"), 1, "none.onnx"),
        (("build", "mine.py:Nothing"), 1, "Nothing"),
        (("build", "mine.py:Broken", "--input", "image=1x3x8x8"), 1, "mine.py"),
        (("build", "model.xml"), 1, "ONNX"),
        (("inspect", "none.blob"), 1, "none.blob"),
        (("inspect", "mine.py"), 1, "mine.py"),
        (("run", "none.blob"), 1, "none.blob"),
        (("run", "relu.onnx", "--on", "mars"), 2, "mars"),
        (("run", "relu.onnx", "--source", "none.mp4"), 1, "none.mp4"),
        (("build", "relu.onnx", "-o", "no/such/x.blob"), 5, "no/such"),
        (("build", "relu.onnx", "-o", "relu"), 2, "over the source"),
        (("build", "mine.py:Halve", "-o", "mine.py"), 2, "over the source"),
        (("build", "relu.onnx", "-o", "."), 5, "a folder stands"),
        (("build", "relu.onnx", "-o", "r.blob", "--report", "r.blob"), 2, "same name"),
        (("build", "relu.onnx", "--report", "no/such/r.html"), 5, "no/such"),
        (("build", "relu.onnx", "--ir", "mine.py"), 5, "give a folder"),
        (("build", "relu.onnx", *("--input", "x=1x3x8x8") * 2), 2, "twice"),
        (("build", "relu.onnx", "--input", "x=1x3x8x8:fp16:0..1e9"), 2, "65504"),
        (("run", "relu.onnx", "--input", "x0=1x3x8x8"), 2, "--watch"),
        (("run", "relu.onnx", "--fps", "0"), 2, "--fps 30"),
        (("run", "relu.onnx", "--device", "1.2.3.4"), 2, "--on oak"),
        (("build", "blur", "--mean", "1,2"), 2, "one a channel"),
        (("build", "blur", "--scale", "0"), 2, "none that is 0"),
        (("build", "relu.onnx", "--archive-holds", "onnx"), 2, "--format archive"),
        (("build", "relu.onnx", "--resolution", "4k"), 2, "--shaves auto"),
        (("inspect", "."), 5, ".superblob"),
        (("run", "relu.onnx", "--on", "depthai-host"), 1, "not compiled yet"),
        (("demo", "nosuch"), 1, "nosuch"),
        (("demo",), 2, "--all"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_bad_input_is_one_message(
    call: Any, arguments: tuple[str, ...], code: int, told: str, as_json: bool
) -> None:
    done = call(*arguments, *(["--json"] if as_json else []))
    assert done.code == code, (done.out, done.err)
    assert "Traceback" not in done.out + done.err
    if as_json:
        error = done.data["error"]
        assert done.data["ok"] is False
        assert told in " ".join(error.values())
        assert set(error) == {"code", "what", "where", "remedy"}
    else:
        assert told in done.err
        assert done.out == ""


def test_debug_shows_the_traceback(shell: Any) -> None:
    done = shell("build", "none.onnx", "--debug")
    assert done.code == 1
    assert "Traceback" in done.err


def test_no_toolchain_exits_3(shell: Any, tmp_path: Path) -> None:
    nowhere = {"BLOBSMITH_TOOLCHAIN": str(tmp_path / "nowhere")}
    done = shell("build", "relu.onnx", "--json", **nowhere)
    assert done.code == 3
    assert "toolchain install" in done.data["error"]["remedy"]
    assert shell("toolchain", "status", **nowhere).code == 3
    assert shell("doctor", **nowhere).code == 3


def test_doctor_is_well(shell: Any) -> None:
    done = shell("doctor", "--json")
    assert done.code == 0, done.out
    assert done.data["ready"]
    names = {finding["name"] for finding in done.data["findings"]}
    assert {"platform", "compiler", "compile", "torch"} <= names


def test_cache_and_zoo(shell: Any) -> None:
    built = shell("build", "relu.onnx")
    assert built.code == 0, built.err
    assert shell("cache", "info", "--json").data["entries"] == 1
    assert shell("build", "relu.onnx", "--json").data["cached"]
    assert shell("cache", "clear", "--json").data["entries"] == 1
    assert shell("cache", "info", "--json").data["entries"] == 0
    names = [model["name"] for model in shell("zoo", "--json").data["models"]]
    assert {"concat", "blur", "corners", "cosine"} <= set(names)


def test_colours_only_on_a_terminal(shell: Any) -> None:
    assert "\x1b[" not in shell("zoo").out
    assert "\x1b[" not in shell("zoo", NO_COLOR="1").out


def test_version_and_help(shell: Any) -> None:
    assert shell("--version").out.startswith("blobsmith ")
    assert "build" in shell("--help").out


def test_class_names_go_into_the_archive(shell: Any, tmp_path: Path) -> None:
    from blobsmith.packaging.archive import Archive

    (tmp_path / "names.txt").write_text("cat\ndog\n\nred fox\n")
    (tmp_path / "three.py").write_text(
        "import torch\nclass Three(torch.nn.Module):\n"
        "    def forward(self, image):\n        return image.mean((2, 3))\n"
    )
    build = ("build", "three.py:Three", "--input", "image=1x3x8x8", "--format", "archive")
    for given in ("names.txt", "cat, dog,red fox"):
        done = shell(*build, "--classes", given, "-o", "three.tar.xz")
        assert done.code == 0, done.err
        archive = Archive.from_bytes((tmp_path / "three.tar.xz").read_bytes())
        (head,) = archive.config["model"]["heads"]
        assert head["metadata"]["classes"] == ["cat", "dog", "red fox"]
    assert shell(*build, "--classes", "a,b").code == 1
    assert shell(*build, "--classes", "none.txt").code == 2
    assert shell("build", "relu.onnx", "--classes", "a,b").code == 2
