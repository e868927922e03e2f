"""Why the compiler refused: the reason in words, which its C API swallows.

A one-shot process repeats the failing step through the C++ entry points of libopenvino.so, where
nothing catches the exception: the C++ runtime prints ``what():`` on stderr and aborts. See
docs/compiler.md, "Error texts". Run as a module it is that process.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
from ctypes import c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

_READ = "_ZNK15InferenceEngine4Core11ReadNetworkERKSsS2_"
_LOAD = (
    "_ZN15InferenceEngine4Core11LoadNetworkERKNS_10CNNNetworkERKSsRKSt3mapISsSsSt4lessISsE"
    "SaISt4pairIS4_SsEEE"
)
_TIMEOUT = 60.0
_LAYER = re.compile(r'[Ll]ayer "?([^"\s]+)"?')
_TYPE = re.compile(r'unsupported layer type "([^"]+)"')
_NODE = re.compile(r"<Node\(\w+\): ([^>]+)>")
_NODE_TYPE = re.compile(r"<Node\((\w+)\)")
_NOISE = re.compile(r"(While |at |Aborted|Check '|AssertionFailed)")
_ONNX_OPS = re.compile(r"following ONNX operations: ([\w., ]+)")


@dataclass(frozen=True)
class Refusal:
    """What the compiler said.

    Attributes:
        text: its message, cleaned of file names and line numbers.
        layer: the layer it names (an ONNX node's output or name), empty if none.
        operators: operators it names, empty if none.
    """

    text: str
    layer: str = ""
    operators: tuple[str, ...] = ()


def find_reason(
    libraries: Path, onnx_path: Path, config: list[tuple[str, str]], precisions: dict[str, str]
) -> Refusal:
    """Repeats a failed compilation in a process of its own and reads why it failed.

    Args:
        libraries: the toolchain's directory.
        onnx_path: the file that was refused.
        config: the plugin configuration of the failed call.
        precisions: input name to precision of the failed call.
    """
    request = json.dumps([str(libraries), str(onnx_path), config, precisions])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "blobsmith.myriad.reason", request],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Refusal("the compiler gave no reason in time")
    return parse(done.stderr)


def parse(stderr: str) -> Refusal:
    """The reason out of what the aborted process printed."""
    found = re.search(r"what\(\):\s*(.*)", stderr, re.DOTALL)
    if not found:
        return Refusal("the compiler gave no reason")
    text = found.group(1).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [_clean(line) for line in lines if not _NOISE.match(line)]
    message = " ".join(part for part in told if part) or _clean(" ".join(lines))
    layer = _LAYER.search(text) or _NODE.search(text)
    named = _TYPE.search(text) or _NODE_TYPE.search(text)
    operators: tuple[str, ...] = (named.group(1),) if named else ()
    listed = _ONNX_OPS.search(text)
    if listed:
        operators = tuple(op for op in re.split(r"[,\s]+", listed.group(1)) if op)
    return Refusal(message[:600], layer.group(1) if layer else "", operators)


def _clean(line: str) -> str:
    line = re.sub(r"\S*/\S+\.(cpp|hpp|h):\d+:?", "", line)
    line = re.sub(r"\[ [A-Z_]+ \]", "", line)
    return line.strip(" :")


class _OldString:
    """A `std::string` of the ABI before C++11: one pointer to characters behind their header."""

    def __init__(self, text: str) -> None:
        data = text.encode()
        forever = 1 << 28
        header = len(data).to_bytes(8, "little") * 2 + forever.to_bytes(8, "little")
        self._memory = ctypes.create_string_buffer(header + data + b"\0")
        self.value = c_void_p(ctypes.addressof(self._memory) + len(header))

    def reference(self) -> c_void_p:
        return c_void_p(ctypes.addressof(self.value))


def _empty_map() -> ctypes.Array[c_size_t]:
    words = (c_size_t * 6)()
    head = ctypes.addressof(words) + 8
    words[3] = words[4] = head
    return words


def _repeat(directory: str, onnx: str, config: list[list[str]], precisions: dict[str, str]) -> None:
    from . import native

    lib = native.load_libraries(Path(directory))
    core = c_void_p()
    lib.ie_core_create(str(Path(directory) / "plugins.xml").encode(), ctypes.byref(core))
    items = native.linked_config([(name, value) for name, value in config])
    lib.ie_core_set_config(core, ctypes.byref(items), b"MYRIAD")
    engine = ctypes.CDLL(str(Path(directory) / "libopenvino.so"))
    result = ctypes.create_string_buffer(4096)
    path, nothing, device = _OldString(onnx), _OldString(""), _OldString("MYRIAD")
    network = c_void_p()
    if lib.ie_core_read_network(core, onnx.encode(), None, ctypes.byref(network)):
        getattr(engine, _READ)(result, core, path.reference(), nothing.reference())
        return
    for name, dtype in precisions.items():
        lib.ie_network_set_input_precision(network, name.encode(), native.PRECISIONS[dtype])
    empty = _empty_map()
    getattr(engine, _LOAD)(result, core, network, device.reference(), empty)


if __name__ == "__main__":
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _repeat(*json.loads(sys.argv[1]))
