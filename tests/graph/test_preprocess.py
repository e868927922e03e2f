"""Mean, scale and channel order in the graph; a frame of one colour tells which is which."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from blobsmith.errors import UsageError
from blobsmith.graph import equivalence, preprocess
from blobsmith.model import Model
from blobsmith.tensors import TensorSpec

from ..graphs import model

SHAPE = (1, 3, 4, 5)
WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue


def gray_by_sum() -> onnx.ModelProto:
    """Grey of an RGB picture, as a product and a sum."""
    nodes = [
        helper.make_node("Mul", ["image", "w"], ["m"]),
        helper.make_node("ReduceSum", ["m"], ["y"], axes=[1], keepdims=1),
    ]
    return model(nodes, {"image": SHAPE}, {"y": (1, 1, 4, 5)}, {"w": WEIGHTS.reshape(1, 3, 1, 1)})


def gray_by_conv() -> onnx.ModelProto:
    """Grey of an RGB picture, as a convolution."""
    nodes = [helper.make_node("Conv", ["image", "w"], ["y"], kernel_shape=[1, 1])]
    return model(nodes, {"image": SHAPE}, {"y": (1, 1, 4, 5)}, {"w": WEIGHTS.reshape(1, 3, 1, 1)})


def prepared(proto: onnx.ModelProto, *specs: TensorSpec) -> onnx.ModelProto:
    outputs = tuple(TensorSpec(o.name, (1, 1, 4, 5), "fp16") for o in proto.graph.output)
    return preprocess.insert(Model(proto.SerializeToString(), specs, outputs, "test")).proto


def frame(color: str) -> np.ndarray:
    """A frame of one pure colour as a camera delivers it: planar BGR."""
    planes = np.zeros(SHAPE, np.float32)
    planes[:, "bgr".index(color)] = 255
    return planes


RED, GREEN, BLUE = (255 * float(w) for w in WEIGHTS)
GRAYS = [gray_by_sum, gray_by_conv]


@pytest.mark.parametrize("make", GRAYS)
@pytest.mark.parametrize(("color", "level"), [("r", RED), ("g", GREEN), ("b", BLUE)])
def test_pure_colours_of_a_camera_reach_an_rgb_function_as_what_they_are(
    make: Callable[[], onnx.ModelProto], color: str, level: float
) -> None:
    """The trap of a lost swap: red would be weighed as blue."""
    graph = prepared(make(), TensorSpec("image", SHAPE, color="rgb"))
    got = equivalence.run(graph, {"image": frame(color)})["y"]
    np.testing.assert_allclose(got, level, rtol=1e-6)
    unswapped = equivalence.run(make(), {"image": frame(color)})["y"]
    assert (color == "g") == bool(np.allclose(unswapped, level))


@pytest.mark.parametrize("make", GRAYS)
@pytest.mark.parametrize(("color", "level"), [("r", RED), ("g", GREEN), ("b", BLUE)])
def test_the_swap_survives_the_compiler(
    make: Callable[[], onnx.ModelProto],
    color: str,
    level: float,
    compile_blob: Callable[..., bytes],
) -> None:
    from blobsmith.blob import Blob
    from blobsmith.emulator import Emulator

    graph = prepared(make(), TensorSpec("image", SHAPE, color="rgb"))
    blob = Blob.from_bytes(compile_blob(graph))
    got = Emulator(blob).run({"image": frame(color).astype(np.uint8)})["y"]
    np.testing.assert_allclose(got.astype(np.float32), level, rtol=2e-3)


def test_a_dense_conv_takes_the_swap_into_its_weights() -> None:
    graph = prepared(gray_by_conv(), TensorSpec("image", SHAPE, color="rgb"))
    assert [n.op_type for n in graph.graph.node] == ["Conv"]
    np.testing.assert_array_equal(
        numpy_helper.to_array(graph.graph.initializer[0]).reshape(3), WEIGHTS[::-1]
    )


def test_weights_that_others_read_are_left_alone() -> None:
    proto = gray_by_conv()
    proto.graph.node.append(helper.make_node("Conv", ["image", "w"], ["z"], kernel_shape=[1, 1]))
    proto.graph.node.append(helper.make_node("Mul", ["z", "w"], ["unrelated"]))
    graph = prepared(proto, TensorSpec("image", SHAPE, color="rgb"))
    assert graph.graph.node[0].op_type == "Gather"
    np.testing.assert_array_equal(
        numpy_helper.to_array(graph.graph.initializer[0]).reshape(3), WEIGHTS
    )


def test_nothing_is_inserted_by_default() -> None:
    proto = gray_by_sum()
    for spec in (
        TensorSpec("image", SHAPE, color="bgr"),
        TensorSpec("image", SHAPE),
        TensorSpec("image", SHAPE, color="bgr", mean=(0.0, 0.0, 0.0), scale=(1.0,)),
    ):
        assert preprocess.insert_into(proto, [spec]) is proto


@pytest.mark.parametrize("color", ["bgr", "rgb"])
@pytest.mark.parametrize(
    ("mean", "scale"),
    [
        ((10.0, 20.0, 30.0), (2.0, 4.0, 5.0)),
        ((7.0,), None),
        (None, (255.0,)),
        (None, (1.0, 2.0, 4.0)),
    ],
)
def test_mean_and_scale_are_of_the_functions_own_channels(
    color: str, mean: tuple[float, ...] | None, scale: tuple[float, ...] | None
) -> None:
    spec = TensorSpec("image", SHAPE, color=color, mean=mean, scale=scale)  # type: ignore[arg-type]
    image = equivalence.probe_feeds([spec])[0]["image"]
    seen = image[:, ::-1] if color == "rgb" else image
    seen = seen - np.array(mean or (0,), np.float32).reshape(1, -1, 1, 1)
    seen = seen / np.array(scale or (1,), np.float32).reshape(1, -1, 1, 1)
    for make in GRAYS:
        expected = equivalence.run(make(), {"image": np.ascontiguousarray(seen)})["y"]
        got = equivalence.run(prepared(make(), spec), {"image": image})["y"]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)


def test_each_input_has_its_own_order_and_other_axes_are_found() -> None:
    nodes = [
        helper.make_node("Reshape", ["b", "shape"], ["flat"]),
        helper.make_node("Sub", ["a", "flat"], ["y"]),
    ]
    proto = model(
        nodes, {"a": (1, 3, 4, 5), "b": (3, 4, 5)}, {"y": SHAPE},
        {"shape": np.array(SHAPE, np.int64)},
    )  # fmt: skip
    specs = (TensorSpec("a", SHAPE, color="bgr"), TensorSpec("b", (3, 4, 5), color="rgb"))
    graph = prepared(proto, *specs)
    a, b = frame("r"), frame("r")[0]
    got = equivalence.run(graph, {"a": a, "b": b})["y"]
    np.testing.assert_array_equal(got, a - b[::-1][None])


def test_it_is_inserted_once() -> None:
    spec = TensorSpec("image", SHAPE, color="rgb", scale=(2.0,))
    once = prepared(gray_by_sum(), spec)
    assert preprocess.insert_into(once, [spec]) is once


BAD = [
    (TensorSpec("image", (1, 1, 4, 5), color="rgb"), "'rgb' needs 3 channels"),
    (TensorSpec("image", (1, 3, 4, 5), color="gray"), "'gray' needs 1 channel"),
    (TensorSpec("image", (7,), color="bgr"), "needs 3 channels"),
    (TensorSpec("image", SHAPE, mean=(1.0, 2.0)), "2 values of mean were given for 3"),
    (TensorSpec("image", SHAPE, scale=(1.0, 2.0, 3.0, 4.0)), "4 values of scale"),
    (TensorSpec("image", SHAPE, scale=(0.0,)), "scale 0 cannot be used"),
    (TensorSpec("image", SHAPE, mean=(float("nan"),)), "mean nan cannot be used"),
    (TensorSpec("image", (4, 5), mean=(1.0, 2.0)), "for 5 channels"),
]


@pytest.mark.parametrize(("spec", "what"), BAD, ids=[b[1] for b in BAD])
def test_what_does_not_fit_the_input_is_a_usage_error(spec: TensorSpec, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        preprocess.insert_into(gray_by_sum(), [spec])
    assert "'image'" in caught.value.where
    assert caught.value.remedy
