"""What decides whether two graphs compute the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from blobsmith.errors import ModelError
from blobsmith.graph import equivalence
from blobsmith.tensors import TensorSpec

from ..graphs import model, one

IMAGE = TensorSpec("image", (1, 3, 24, 32))


def test_run_casts_feeds_and_names_outputs() -> None:
    x = np.arange(768, dtype=np.uint8).reshape(1, 3, 16, 16)
    got = equivalence.run(one("Neg"), {"x0": x})
    np.testing.assert_array_equal(got["y"], -x.astype(np.float32))


def test_run_tells_what_is_missing_or_wrong() -> None:
    with pytest.raises(ModelError, match="no value was given for the input 'x1'"):
        equivalence.run(one("Add", 2), {"x0": np.zeros((1, 3, 16, 16))})
    with pytest.raises(ModelError, match="cannot run the graph"):
        equivalence.run(one("Neg"), {"x0": np.zeros((1, 3, 5, 5))})
    with pytest.raises(ModelError, match="cannot load the graph"):
        equivalence.run(b"nonsense", {})


def test_probe_frames_are_what_they_say() -> None:
    frames = dict(zip(equivalence.KINDS, equivalence.probe_feeds([IMAGE]), strict=True))
    for frame in frames.values():
        array = frame["image"]
        assert array.dtype == np.float32
        assert array.shape == IMAGE.shape
        assert array.min() >= 0
        assert array.max() <= 255
        np.testing.assert_array_equal(array, np.round(array))
    assert not frames["zero"]["image"].any()
    assert (frames["full"]["image"] == 255).all()
    assert np.ptp(frames["gradient"]["image"]) == 255
    levels = frames["levels"]["image"]
    assert all(np.ptp(levels[0, c]) == 0 for c in range(3))
    assert len({float(levels[0, c, 0, 0]) for c in range(3)}) == 3


def test_a_photographs_neighbours_are_alike_and_noise_is_not() -> None:
    noise, photo = (
        equivalence.probe_feeds([IMAGE], kinds=[kind])[0]["image"][0, 0]
        for kind in ("noise", "photo")
    )

    def likeness(plane: np.ndarray) -> float:
        return float(np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1])

    assert likeness(photo) > 0.6
    assert abs(likeness(noise)) < 0.3


def test_inputs_of_one_model_get_frames_of_their_own() -> None:
    """Two equal frames would hide a swapped or a merged input."""
    specs = [TensorSpec(name, (1, 3, 16, 16)) for name in "abc"]
    for kind, frame in zip(equivalence.KINDS, equivalence.probe_feeds(specs), strict=True):
        if kind in ("zero", "full"):
            continue
        assert not np.array_equal(frame["a"], frame["b"])
        assert not np.array_equal(frame["b"], frame["c"])


def test_ranges_of_float_inputs_are_kept() -> None:
    spec = TensorSpec("scale", (1, 3, 1, 1), "fp16", value_range=(1.0, 9.0))
    for frame in equivalence.probe_feeds([spec]):
        assert frame["scale"].min() >= 1
        assert frame["scale"].max() <= 9


def test_frames_depend_on_the_seed_alone() -> None:
    first, again, other = (equivalence.probe_feeds([IMAGE], seed)[0]["image"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# ---------------------------------------------------------------------- comparing


def difference(want: object, have: object) -> equivalence.Difference:
    return equivalence.max_difference({"y": np.asarray(want)}, {"y": np.asarray(have)})


RAMP = np.linspace(0, 100, 20000).reshape(1, 1, 100, 200)


def test_rounding_is_the_same_and_more_is_not() -> None:
    assert difference(RAMP, RAMP + 0.009).same
    assert not difference(RAMP, RAMP + 0.011).same


def test_one_flipped_threshold_in_ten_thousand_is_the_same() -> None:
    mask = (RAMP > 50).astype(np.float32)
    flipped = mask.copy()
    flipped.flat[:2] = 1
    assert difference(mask, flipped).same
    flipped.flat[:3] = 1
    found = difference(mask, flipped)
    assert not found.same
    assert found.outside == 3
    assert "output 'y' differs by up to 1" in str(found)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_must_be_so_in_both(value: float) -> None:
    bad = RAMP.copy()
    bad[..., :10] = value
    assert difference(bad, bad).same
    assert not difference(RAMP, bad).same
    assert not difference(bad, RAMP).same
    assert not difference(bad, np.where(np.isfinite(bad), bad, 7.0)).same


def test_shape_and_name_must_be_the_same() -> None:
    assert "shape" in difference(RAMP, RAMP[..., 1:]).reason
    assert equivalence.max_difference({"y": RAMP}, {"z": RAMP}).reason == "it is missing"


def test_a_constant_output_is_measured_by_its_own_size() -> None:
    assert difference(np.full(50, 7.0), np.full(50, 7.0 + 1e-5)).same
    assert not difference(np.full(50, 7.0), np.full(50, 7.1)).same
    assert not difference(np.zeros(50), np.full(50, 1e-3)).same


def test_a_swapped_channel_or_input_is_no_rounding() -> None:
    frame = equivalence.probe_feeds([IMAGE])[0]["image"]
    assert not difference(frame, frame[:, ::-1]).same


def test_what_moves_by_itself_is_not_held_against_the_candidate() -> None:
    """A variance of a flat frame is rounding alone; two libraries never agree on it."""

    def spread(x: np.ndarray, step: int) -> np.ndarray:
        mean = np.cumsum(x[..., ::step], -1, dtype=np.float32)[..., -1:] * step / 32
        square = np.cumsum((x * x)[..., ::step], -1, dtype=np.float32)[..., -1:] * step / 32
        return np.asarray((square - mean * mean) * 100, np.float32)

    def reference(feeds: equivalence.Feeds) -> dict[str, np.ndarray]:
        return {"y": spread(feeds["image"], 1)}

    def candidate(feeds: equivalence.Feeds) -> dict[str, np.ndarray]:
        return {"y": spread(feeds["image"], 2)}

    def wrong(feeds: equivalence.Feeds) -> dict[str, np.ndarray]:
        return {"y": spread(feeds["image"], 1) + 10}

    flat = [{"image": np.full((1, 3, 24, 32), level, np.float32)} for level in (77.7, 131.3)]
    assert not equivalence.max_difference(
        [reference(f) for f in flat], [candidate(f) for f in flat]
    ).same
    assert equivalence.compare(reference, candidate, flat).same
    assert not equivalence.compare(reference, wrong, flat).same


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e3, 1e3), st.floats(0.01, 10), st.integers(0, 2**31))
def test_the_same_is_the_same_at_any_scale(offset: float, factor: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(offset, factor, (40, 50)).astype(np.float32)
    assert difference(values, values).same
    assert not difference(values, values + 0.01 * np.ptp(values)).same


def test_operators_run_as_written_on_demand() -> None:
    nodes = [helper.make_node("Neg", ["x"], ["t"]), helper.make_node("Neg", ["t"], ["y"])]
    proto = model(nodes, {"x": [1, 4]}, {"y": None})
    x = np.ones((1, 4), np.float32)
    for optimise in (True, False):
        np.testing.assert_array_equal(equivalence.run(proto, {"x": x}, optimise=optimise)["y"], x)
