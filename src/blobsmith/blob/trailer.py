"""The network information that OpenVINO 2022.1 appends behind a blob (docs/blob-format.md 6)."""

from __future__ import annotations

from dataclasses import dataclass

from .cursor import Cursor


@dataclass(frozen=True, slots=True)
class NetworkTensor:
    """A parameter or result of the network before it was compiled.

    Attributes:
        name: the node's name; a result's ends in "/sink_port_0".
        shape: dimensions in ONNX order.
        element_type: OpenVINO's code of the *original* precision (5: FP32), not the blob's.
        tensor_names: the tensor's names in the ONNX graph.
        source: name of the producing node (results only; the blob's output name).
    """

    name: str
    shape: tuple[int, ...]
    element_type: int
    tensor_names: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True)
class Trailer:
    """Parameters and results of the network, in the order of the graph."""

    parameters: tuple[NetworkTensor, ...]
    results: tuple[NetworkTensor, ...]


def read_trailer(data: bytes, start: int, name: str) -> Trailer | None:
    """The trailer from `start` to the end of the file; None if there is nothing.

    Raises:
        BlobError: the trailer is cut or damaged.
    """
    if start == len(data):
        return None
    cursor = Cursor(data, start, len(data), name, "network information")
    most = (cursor.end - cursor.pos) // 16
    counts = (cursor.ranged("parameters", 0, most), cursor.ranged("results", 0, most))
    parameters = tuple(_tensor(cursor, False) for _ in range(counts[0]))
    results = tuple(_tensor(cursor, True) for _ in range(counts[1]))
    cursor.part = "network information"
    spare = 8 * (len(results[-1].tensor_names) if results else 0)
    if cursor.end - cursor.pos != spare:
        raise cursor.fail(
            f"{cursor.end - cursor.pos} bytes at the end of the file, not {spare}", "end"
        )
    cursor.padding(cursor.end, "the end of the file")
    return Trailer(parameters, results)


def _tensor(cursor: Cursor, result: bool) -> NetworkTensor:
    length = cursor.u32("name length")
    rank = cursor.ranged("rank", 0, 64)
    size = cursor.u32("size of the element type")
    if size != 4:
        raise cursor.fail(f"the element type has {size} bytes, not 4", "size", cursor.pos - 4)
    names = cursor.ranged("tensor names", 0, (cursor.end - cursor.pos) // 8)
    name = _text(cursor, length)
    shape = tuple(cursor.u64("dimension") for _ in range(rank))
    element = cursor.u32("element type")
    tensor_names = tuple(_text(cursor, cursor.u64("name length")) for _ in range(names))
    source = _text(cursor, cursor.u64("name length")) if result else ""
    return NetworkTensor(name, shape, element, tensor_names, source)


def _text(cursor: Cursor, length: int) -> str:
    at = cursor.pos
    try:
        return cursor.take(length, "name").decode("utf-8")
    except UnicodeDecodeError:
        raise cursor.fail("a name is not UTF-8", "name", at) from None
