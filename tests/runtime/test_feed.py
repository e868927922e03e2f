"""What each input gets: the policy, the overrides, and the arrays themselves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blobsmith import zoo
from blobsmith.errors import FrameError, UsageError
from blobsmith.runtime.arrays import cast, fit, is_picture, thumbnail, to_array, to_image, to_planes
from blobsmith.runtime.feed import feeds, plan_inputs
from blobsmith.tensors import TensorSpec

FRAMES = [np.full((6, 8, 3), level, np.uint8) for level in (10, 20, 30)]  # oldest first


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("blur", [("frame", 0)]),
        ("diff", [("frame", 0), ("frame", 1)]),
        ("concat", [("frame", 0), ("frame", 1), ("frame", 2)]),
        ("normalize", [("frame", 0), ("constant", 0), ("constant", 0)]),
        ("cosine", [("thumbnail", 0), ("thumbnail", 1)]),
    ],
)
def test_policy_of_the_zoo(name: str, plan: list[tuple[str, int]]) -> None:
    made = plan_inputs(zoo.get(name).inputs)
    assert [(feed.kind, feed.back) for feed in made.feeds] == plan
    assert made.history == 1 + max(back for _, back in plan)
    assert all(feed.why for feed in made.feeds)


def test_several_pictures_get_successive_frames() -> None:
    specs = zoo.get("concat", (6, 8)).inputs
    arrays = feeds(plan_inputs(specs), specs, FRAMES[::-1])
    assert [int(arrays[spec.name].max()) for spec in specs] == [30, 20, 10]


def test_the_first_frame_stands_in_for_those_before_it() -> None:
    specs = zoo.get("diff", (6, 8)).inputs
    arrays = feeds(plan_inputs(specs), specs, FRAMES[:1])
    assert np.array_equal(arrays["img1"], arrays["img2"])


def test_normalize_gets_imagenet_in_bgr() -> None:
    specs = zoo.get("normalize", (6, 8)).inputs
    arrays = feeds(plan_inputs(specs), specs, FRAMES)
    assert arrays["mean"].shape == (1, 3, 1, 1)
    assert arrays["mean"].dtype == np.float16
    np.testing.assert_allclose(arrays["mean"].ravel(), [103.53, 116.28, 123.675], rtol=1e-3)
    np.testing.assert_allclose(arrays["scale"].ravel(), [57.375, 57.12, 58.395], rtol=1e-3)


def test_noise_is_seeded_changes_with_the_step_and_stays_in_range() -> None:
    spec = TensorSpec("weights", (2, 4, 5), "fp32", "CHW", value_range=(-3.0, 7.0))
    plan = plan_inputs([spec])
    first, again, next_ = (feeds(plan, [spec], FRAMES, index=i)["weights"] for i in (0, 0, 1))
    assert plan.feeds[0].kind == "noise"
    assert np.array_equal(first, again)
    assert not np.array_equal(first, next_)
    assert -3 <= first.min() < first.max() <= 7


def test_thumbnails_tell_pictures_apart() -> None:
    rng = np.random.default_rng(1)
    specs = zoo.get("cosine").inputs
    pictures = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(2)]
    same = feeds(plan_inputs(specs), specs, [pictures[0]] * 2)
    other = feeds(plan_inputs(specs), specs, pictures)
    assert np.array_equal(same["a"], same["b"])
    assert not np.array_equal(other["a"], other["b"])
    assert abs(same["a"]).max() <= 10
    assert abs(float(same["a"].astype(np.float32).mean())) < 0.01


@pytest.mark.parametrize(
    ("model", "override", "expected"),
    [
        ("blur", {"image": "previous"}, ("frame", 1)),
        ("blur", {"image": "previous:2"}, ("frame", 2)),
        ("diff", {"img2": "frame"}, ("frame", 0)),
        ("diff", {"img2": "noise:5"}, ("noise", 0)),
        ("normalize", {"mean": "1,2,3"}, ("constant", 0)),
        ("normalize", {"mean": "127.5"}, ("constant", 0)),
        ("concat", {"img2": "left.mp4"}, ("source", 0)),
        ("concat", {"img3": "webcam:1"}, ("source", 0)),
        ("cosine", {"b": "noise"}, ("noise", 0)),
    ],
)
def test_overrides(model: str, override: dict[str, str], expected: tuple[str, int]) -> None:
    specs = zoo.get(model, None if model == "cosine" else (6, 8)).inputs
    plan = plan_inputs(specs, override)
    changed = next(feed for feed in plan.feeds if feed.name in override)
    untouched = plan_inputs(specs)
    assert (changed.kind, changed.back) == expected
    for old, new in zip(untouched.feeds, plan.feeds, strict=True):
        assert new.name in override or old == new


def test_constants_reach_the_array() -> None:
    specs = zoo.get("normalize", (6, 8)).inputs
    plan = plan_inputs(specs, {"mean": "1,2,3", "scale": "4"})
    arrays = feeds(plan, specs, FRAMES)
    assert arrays["mean"].ravel().tolist() == [1, 2, 3]
    assert arrays["scale"].ravel().tolist() == [4, 4, 4]


def test_npy_reaches_the_array(tmp_path: Path) -> None:
    specs = zoo.get("cosine", 4).inputs
    np.save(tmp_path / "v.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    plan = plan_inputs(specs, {"a": str(tmp_path / "v.npy")})
    assert feeds(plan, specs, FRAMES)["a"].tolist() == [1, 2, 3, 4]


def test_npy_that_does_not_fit(tmp_path: Path) -> None:
    specs = zoo.get("cosine", 4).inputs
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "long.npy", np.zeros(5))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("missing", "text", "long", "objects"):
        with pytest.raises(FrameError, match="input 'a'"):
            plan_inputs(specs, {"a": str(tmp_path / f"{name}.npy")})


@pytest.mark.parametrize(
    ("model", "override", "what"),
    [
        ("blur", {"img": "frame"}, "no input 'img'"),
        ("normalize", {"mean": "1,2"}, "takes 3 numbers, 2 given"),
        ("normalize", {"mean": "frame"}, "cannot show a frame"),
        ("normalize", {"mean": "holiday.mp4"}, "nothing that the input 'mean'"),
        ("normalize", {"mean": "nan"}, "nothing that the input 'mean'"),
    ],
)
def test_overrides_that_mean_nothing(model: str, override: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        plan_inputs(zoo.get(model, (6, 8)).inputs, override)


LAYOUTS = ["NCHW", "CHW", "NHWC", "HWC", "HW", "NHW", "CWH"]


@st.composite
def specs_and_images(draw: st.DrawFn) -> tuple[TensorSpec, np.ndarray]:
    layout = draw(st.sampled_from(LAYOUTS))
    height, width = draw(st.integers(2, 9)), draw(st.integers(2, 9))
    channels = draw(st.sampled_from([1, 3])) if "C" in layout else 1
    sizes = {"N": draw(st.integers(1, 2)), "C": channels, "H": height, "W": width}
    dtype = draw(st.sampled_from(["u8", "fp16", "fp32"]))
    spec = TensorSpec("x", tuple(sizes[letter] for letter in layout), dtype, layout)
    seed = draw(st.integers(0, 2**32 - 1))
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return spec, image


@given(specs_and_images())
@settings(deadline=None, max_examples=150)
def test_a_picture_survives_the_way_in_and_back(case: tuple[TensorSpec, np.ndarray]) -> None:
    spec, image = case
    array = to_array(image, spec)
    assert is_picture(spec)
    assert array.shape == spec.shape
    assert array.dtype == {"u8": np.uint8, "fp16": np.float16, "fp32": np.float32}[spec.dtype]
    planes = to_planes(array, spec.layout)
    if planes.shape[0] == 3:
        assert np.array_equal(planes, image.transpose(2, 0, 1))
        assert np.array_equal(to_image(array, spec), image)
    else:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        assert np.array_equal(planes[0], grey)
        assert np.array_equal(to_image(array, spec), np.repeat(grey[:, :, None], 3, axis=2))


@given(
    st.lists(st.floats(-1e5, 1e5, width=32), min_size=1, max_size=9),
    st.sampled_from(["u8", "i32"]),
)
@settings(deadline=None, max_examples=60)
def test_whole_numbers_are_rounded_and_clipped(values: list[float], dtype: str) -> None:
    array = cast(np.array(values), TensorSpec("x", (len(values),), dtype))  # type: ignore[arg-type]
    high = 255 if dtype == "u8" else 2**31 - 1
    low = 0 if dtype == "u8" else -(2**31)
    assert array.tolist() == [min(max(round(value), low), high) for value in values]


def test_frames_are_resized_to_the_input() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 200
    spec = TensorSpec("x", (1, 3, 10, 30))
    array = to_array(image, spec)
    assert array.shape == (1, 3, 10, 30)
    assert (array[..., :14] == 0).all()
    assert (array[..., 16:] == 200).all()
    assert fit(image, 40, 40) is image


@given(st.integers(16, 300), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=40)
def test_thumbnails_fill_their_vector(length: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    for bounds in ((-2.0, 2.0), (5.0, 9.0), None):
        spec = TensorSpec("v", (1, length), "fp16", "NC", value_range=bounds)
        low, high = bounds or (-1.0, 1.0)
        vector = thumbnail(image, spec)
        assert vector.shape == (1, length)
        assert low <= vector.min() < vector.max() <= high
