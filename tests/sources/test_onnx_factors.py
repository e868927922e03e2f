"""Factors of outputs travel in the .onnx, and the reference is the function's own result."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import onnx
import pytest

from blobsmith.errors import SourceError
from blobsmith.graph import equivalence
from blobsmith.reference import onnx_outputs
from blobsmith.sources import load_onnx
from blobsmith.sources.onnx_factors import FACTORS, with_factors
from tests import graphs


def test_a_factor_is_read_back() -> None:
    plain = load_onnx(graphs.one("Relu").SerializeToString())
    assert with_factors(plain) == plain.onnx_bytes
    spec = plain.outputs[0]
    scaled = replace(spec, decoding=replace(spec.decoding, factor=0.25))
    data = with_factors(replace(plain, outputs=(scaled,)))
    read = load_onnx(data)
    assert read.outputs[0].decoding.factor == 0.25
    feed = {"x0": np.full(graphs.IMAGE, 8, np.uint8)}
    (found,) = onnx_outputs(functools.partial(equivalence.run, read.onnx_bytes), read, [feed])
    assert found["y"].max() == 32, "the graph gives 8, the result times a quarter"


@pytest.mark.parametrize("text", ["", "[1]", '{"y": "much"}', '{"y": 0}', '{"y": NaN}'])
def test_what_is_no_factor_is_refused(text: str) -> None:
    proto = onnx.load_model_from_string(graphs.one("Relu").SerializeToString())
    proto.metadata_props.add(key=FACTORS, value=text)
    with pytest.raises(SourceError, match="metadata"):
        load_onnx(proto.SerializeToString())
