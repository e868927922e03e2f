"""Messages of the compiler, as it printed them, become sentences."""

from __future__ import annotations

import pytest

from blobsmith.myriad.reason import Refusal, parse

# Texts that OpenVINO 2022.1 printed for one-operator models.
CASES = {
    "unsupported layer": (
        "terminate called after throwing an instance of 'InferenceEngine::GeneralError'\n"
        "  what():  [ GENERAL_ERROR ] \n/a/b/frontend.cpp:592 "
        'Failed to compile layer "y": unsupported layer type "Atan"\n',
        Refusal('Failed to compile layer "y": unsupported layer type "Atan"', "y", ("Atan",)),
    ),
    "unknown to the reader": (
        "terminate called after throwing an instance of 'ov::AssertFailure'\n"
        "  what():  Check 'unknown_operators.empty()' failed at frontends/onnx/graph.cpp:131:\n"
        "OpenVINO does not support the following ONNX operations: Det, Foo\n\n",
        Refusal(
            "OpenVINO does not support the following ONNX operations: Det, Foo", "", ("Det", "Foo")
        ),
    ),
    "refused form": (
        "terminate called after throwing an instance of 'ov::Exception'\n"
        "  what():  While validating ONNX node '<Node(Mod): node_y>':\n"
        "Check 'x.is_integral()' failed at frontends/onnx/mod.cpp:28:\n"
        "If the input type is floating point, then `fmod` attribute must be set to 1.\n\n",
        Refusal(
            "If the input type is floating point, then `fmod` attribute must be set to 1.",
            "node_y",
            ("Mod",),
        ),
    ),
    "nothing": ("", Refusal("the compiler gave no reason")),
}


@pytest.mark.parametrize("name", list(CASES))
def test_parse(name: str) -> None:
    text, expected = CASES[name]
    assert parse(text) == expected
