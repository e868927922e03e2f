"""ctypes binding to OpenVINO 2022.1's C API and its MYRIAD compiler plugin.

Runs only inside a worker process: this is native code that reads untrusted files. The config
keys, precisions and call order were found by trial and are described in docs/compiler.md.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_void_p
from pathlib import Path

from ..errors import BlobError, ModelError, ToolchainError
from .options import CompileOptions

PRECISIONS = {"u8": 40, "fp16": 11, "fp32": 10, "i32": 70}
_STATUS = {
    0: "OK", -1: "general error", -2: "not implemented", -3: "network not loaded",
    -4: "parameter mismatch", -5: "not found", -6: "out of bounds", -7: "unexpected",
    -8: "request busy", -9: "result not ready", -10: "not allocated", -11: "infer not started",
    -12: "network not read",
}  # fmt: skip
_SIZE_OFFSET = 56
_MAGIC_OFFSET = 52
_MAGIC = 9709

_LOAD_ORDER = (
    "libtbbmalloc.so.2",
    "libtbb.so.2",
    "libopenvino.so",
    "libopenvino_onnx_frontend.so",
    "libopenvino_c.so",
)


class _Config(Structure):
    pass


_Config._fields_ = [("name", c_char_p), ("value", c_char_p), ("next", POINTER(_Config))]


class NativeStepError(ModelError):
    """A C API call failed; `step` is "read" or "load", and the reason is found separately."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", step: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.step = step


def load_libraries(directory: Path) -> ctypes.CDLL:
    """Loads libusb and the toolchain's libraries into this process; returns the C API.

    Raises:
        ToolchainError: a library is missing or cannot be loaded here.
    """
    try:
        import libusb_package

        usb = libusb_package.get_library_path()
        ctypes.CDLL(str(usb), mode=ctypes.RTLD_GLOBAL)
        for name in _LOAD_ORDER:
            lib = ctypes.CDLL(str(directory / name), mode=ctypes.RTLD_GLOBAL)
    except (OSError, ImportError) as error:
        raise ToolchainError(
            f"the compiler's libraries cannot be loaded: {error}",
            where=str(directory),
            remedy="run `blobsmith doctor`; then `blobsmith toolchain install --force`",
        ) from error
    return lib


def config_items(options: CompileOptions) -> list[tuple[str, str]]:
    """The plugin configuration of these options, in the order in which it is passed."""
    items = [
        ("MYRIAD_ENABLE_MX_BOOT", "NO"),
        ("MYRIAD_DETECT_NETWORK_BATCH", "NO"),
        ("MYRIAD_NUMBER_OF_SHAVES", str(options.shaves)),
        ("MYRIAD_NUMBER_OF_CMX_SLICES", str(options.slices)),
    ]
    if options.shaves > 8:
        items.append(("MYRIAD_THROUGHPUT_STREAMS", "1"))
    if not options.hardware:
        items.append(("MYRIAD_ENABLE_HW_ACCELERATION", "NO"))
    return items + list(options.extra)


class NativeCompiler:
    """One OpenVINO core object with the MYRIAD plugin; reusable for many compilations."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lib = load_libraries(directory)
        self._core = c_void_p()
        path = str(directory / "plugins.xml").encode()
        self._check(self._lib.ie_core_create(path, byref(self._core)), "create the compiler")

    def _check(self, status: int, step: str) -> None:
        if status != 0:
            raise NativeStepError(
                f"the compiler failed to {step}: {_STATUS.get(status, status)}",
                step=step.split()[0],
            )

    def _names(self, network: c_void_p, kind: str) -> list[str]:
        count = c_size_t()
        number = getattr(self._lib, f"ie_network_get_{kind}s_number")
        self._check(number(network, byref(count)), f"count the {kind}s")
        names = []
        for index in range(count.value):
            raw = c_char_p()
            get = getattr(self._lib, f"ie_network_get_{kind}_name")
            self._check(get(network, c_size_t(index), byref(raw)), f"name an {kind}")
            names.append((raw.value or b"").decode())
            self._lib.ie_network_name_free(byref(raw))
        return names

    def compile(self, onnx_path: Path, out_path: Path, options: CompileOptions) -> bytes:
        """Compiles one ONNX file; returns the blob, cut at its own size.

        Args:
            onnx_path: a static ONNX file of opset 15 or below.
            out_path: a scratch file for the plugin's export.
            options: shaves, slices, precisions, plugin configuration.

        Raises:
            NativeStepError: the reader or the compiler refused; the C API gives no reason.
            ModelError: an input or output that `options` names is not in the network.
            BlobError: what the plugin wrote is no blob.
        """
        lib, network, executable = self._lib, c_void_p(), c_void_p()
        try:
            status = lib.ie_core_read_network(
                self._core, str(onnx_path).encode(), None, byref(network)
            )
            self._check(status, "read the ONNX")
            self._set_precisions(network, "input", options.inputs)
            self._set_precisions(network, "output", options.outputs)
            config = linked_config(config_items(options))
            status = lib.ie_core_load_network(
                self._core, network, b"MYRIAD", byref(config), byref(executable)
            )
            self._check(status, "load the network into the MyriadX plugin")
            self._check(
                lib.ie_core_export_network(executable, str(out_path).encode()), "export the blob"
            )
        finally:
            if executable:
                lib.ie_exec_network_free(byref(executable))
            if network:
                lib.ie_network_free(byref(network))
        return cut(out_path.read_bytes())

    def _set_precisions(self, network: c_void_p, kind: str, wanted: Mapping[str, str]) -> None:
        have = self._names(network, kind)
        missing = sorted(set(wanted) - set(have))
        if missing:
            raise ModelError(
                f"the compiler's reader lost the {kind} {missing[0]!r}",
                where=f"it sees: {', '.join(have) or 'none'}",
                remedy=f"make the graph's result depend on every {kind}, each under its own name",
            )
        setter = getattr(self._lib, f"ie_network_set_{kind}_precision")
        for name, dtype in wanted.items():
            status = setter(network, name.encode(), c_int(PRECISIONS[dtype]))
            self._check(status, f"set the precision of the {kind} {name}")

    def close(self) -> None:
        """Frees the core object."""
        if self._core:
            self._lib.ie_core_free(byref(self._core))
            self._core = c_void_p()


def linked_config(items: list[tuple[str, str]]) -> _Config:
    """The items as the C API's linked list; the returned head keeps the rest alive."""
    node: _Config | None = None
    for name, value in reversed(items):
        following = ctypes.pointer(node) if node is not None else None
        node = _Config(name.encode(), value.encode(), following)
    assert node is not None
    return node


def cut(data: bytes) -> bytes:
    """The blob without the metadata that OpenVINO 2022.1 appends behind its own size.

    Raises:
        BlobError: the data does not start as a blob, or is shorter than it says.
    """
    if len(data) < 132 or struct.unpack_from("<I", data, _MAGIC_OFFSET)[0] != _MAGIC:
        raise BlobError("the compiler wrote something that is not a blob")
    size = struct.unpack_from("<I", data, _SIZE_OFFSET)[0]
    if size > len(data):
        raise BlobError(f"the compiler wrote {len(data)} of {size} bytes")
    return data[:size]
