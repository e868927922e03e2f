"""The plain data that `inspect` prints."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from blobsmith.blob import TEXT_COLUMNS, Blob, describe, stage_rows, text_rows

from .assemble import INPUT, OUTPUT, Assembler, words
from .operators import OPERATORS


def test_concat_described(concat_bytes: bytes) -> None:
    facts = describe(Blob.from_bytes(concat_bytes, "concat.blob"))
    assert facts["name"] == "concat.blob"
    assert facts["bytes"] == 1024
    assert facts["header"]["version"] == "6.0"
    assert facts["header"]["shaves"] == 6
    assert facts["header"]["sections"]["stages"] == 448
    assert facts["inputs"][1] == {
        "name": "img2",
        "dtype": "u8",
        "shape": [1, 3, 300, 300],
        "layout": "NCHW",
        "bytes": 270000,
        "offset": 270016,
    }
    assert facts["outputs"][0]["shape"] == [1, 3, 300, 900]
    assert facts["memory"] == {
        "inputs": 810032,
        "outputs": 1620000,
        "scratch": 0,
        "cmx": 6 * 131072,
        "cmx_used": 0,
        "constants": 192,
    }
    assert facts["counts"] == {
        "hardware": 0,
        "software": 3,
        "dma": 0,
        "injected": 0,
        "types": {"Convert": 3},
    }
    assert facts["metadata"] is None


def test_everything_is_json(filter_bytes: bytes) -> None:
    blob = Blob.from_bytes(filter_bytes)
    whole = [describe(blob), stage_rows(blob)]
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole


def test_rows_name_unit_operands_and_parameters(filter_bytes: bytes) -> None:
    blob = Blob.from_bytes(filter_bytes)
    rows = stage_rows(blob)
    assert len(rows) == len(blob.stages) + sum(1 for s in blob.stages if s.injected)
    assert {row["unit"] for row in rows} >= {"hardware", "software"}
    convolutions = [row for row in rows if row["operations"] and "kernel" in row["operations"][0]]
    five = next(row for row in convolutions if row["operations"][0]["kernel"] == [5, 5])
    assert [operand["role"] for operand in five["operands"]][:2] == ["input", "weights"]
    assert five["operands"][-1]["role"] == "output"
    assert five["operands"][1]["location"] == "constants"
    power = next(row for row in rows if row["name"] == "Power")
    assert power["parameters"]["power"] == 0.5
    assert [operand["role"] for operand in power["operands"]] == ["input", "output"]


def test_text_table(filter_bytes: bytes) -> None:
    blob = Blob.from_bytes(filter_bytes)
    rows = text_rows(blob)
    assert all(len(row) == len(TEXT_COLUMNS) for row in rows)
    numbers = [row[0] for row in rows if not row[0].endswith("+")]
    assert numbers == [str(i) for i in range(len(blob.stages))]
    text = "\n".join(" | ".join(row) for row in rows)
    assert "convolution 5x5 stride 1 mode" in text
    assert "u8 1x3x32x48 input 0+0" in text
    assert "power 0.5" in text


def test_every_operator_shows_an_output(compile_blob: Callable[..., bytes]) -> None:
    for name in ("topk", "gemm", "strided slice", "gather", "sum"):
        case = next(case for case in OPERATORS if case.name == name)
        blob = Blob.from_bytes(compile_blob(case.proto, shaves=4, hardware=False, inputs="fp16"))
        row = next(row for row in stage_rows(blob) if row["name"] == case.stage)
        roles = [operand["role"] for operand in row["operands"]]
        assert "output" in roles, name
        assert "operand" not in roles, name


def test_numbers_that_json_lacks_and_bytes_that_are_not_decoded() -> None:
    made = Assembler()
    made.io(INPUT, "x", (4,))
    made.io(OUTPUT, "y", (4,))
    operands = [made.buffer((4,), INPUT), made.buffer((4,), OUTPUT)]
    made.stage(57, struct.pack("<2f", float("-inf"), float("nan")), *operands)
    made.stage(57, words(1), *operands)
    clamp, other = stage_rows(Blob.from_bytes(made.blob()))
    assert clamp["parameters"] == {"min_value": "-inf", "max_value": "nan"}
    assert other["parameters"] == {"undecoded": "01000000"}
