"""The battery: what moves elements: types, layouts, parts, sizes, choices."""

from __future__ import annotations

import numpy as np

from .models import Case, ints, node, simple

S = (1, 8, 20, 24)
RNG = np.random.default_rng(2)


def pad(mode: str) -> Case:
    """Padding of height and width by different amounts on each side."""
    constants = {"p": ints(0, 0, 1, 3, 0, 0, 2, 4)}
    if mode == "constant":
        constants["v"] = np.float32(1.5)  # type: ignore[assignment]
    made = node("Pad", "x p v" if mode == "constant" else "x p", "y", mode=mode)
    return simple(f"pad-{mode}", made, S, (1, 8, 23, 31), "Pad", constants=constants)


def cut(name: str, stages: str, out: tuple[int, ...], *parts: tuple[int, ...]) -> Case:
    """Slice: begins, ends, axes, and steps if any."""
    names = ("b", "e", "a", "s")[: len(parts)]
    constants = {n: ints(*p) for n, p in zip(names, parts, strict=True)}
    return simple(name, node("Slice", f"x {' '.join(names)}", "y"), S, out, stages,
                  constants=constants)  # fmt: skip


def resize(mode: str, place: str, rounding: str, factor: float) -> Case:
    """Resize to a size."""
    out = (1, 8, int(20 * factor), int(24 * factor))
    extra = {"nearest_mode": rounding} if rounding else {}
    return simple(
        f"{mode}-{place}-{rounding or 'x'}-{factor}",
        node("Resize", "x - - s", "y", mode=mode, coordinate_transformation_mode=place, **extra),
        S,
        out,
        "Resample" if mode == "nearest" else "Interp",
        constants={"s": ints(*out)},
    )


NEAREST = [
    ("asymmetric", "floor"), ("asymmetric", "ceil"), ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"), ("tf_half_pixel_for_nn", "floor"),
]  # fmt: skip
LINEAR = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]

CASES: list[Case] = [
    simple("u8", node("Relu", "x", "y"), S, S, "Convert Relu", dtype="u8", low=0, high=255),
    simple("fp32", node("Relu", "x", "y"), S, S, "Convert Relu", dtype="fp32"),
    simple("fp32-out", node("Relu", "x", "y"), S, S, "Relu Convert", outputs={"y": "fp32"}),
    simple("concat", node("Concat", "x z", "y", axis=1), {"x": S, "z": S}, (1, 16, 20, 24),
           ("Copy", "Permute")),
    simple("concat-width", node("Concat", "x z", "y", axis=3), {"x": S, "z": S}, (1, 8, 20, 48),
           ("Copy", "Permute")),
    simple("split", [node("Split", "x", "p q", axis=1), node("Sub", "p q", "y")], S,
           (1, 4, 20, 24), "Sum"),
    simple("transpose", node("Transpose", "x", "y", perm=[0, 2, 3, 1]), S, (1, 20, 24, 8),
           "Permute"),
    simple("transpose-3d", node("Transpose", "x", "y", perm=[0, 2, 1]), (1, 16, 32), (1, 32, 16),
           "Permute"),
    simple("shuffle",
           [node("Reshape", "x s", "r"), node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "t o", "y")], S, S, "Permute",
           constants={"s": ints(1, 2, 4, 20, 24), "o": ints(*S)}),
    simple("to-depth", node("SpaceToDepth", "x", "y", blocksize=2), S, (1, 32, 10, 12), "Permute"),
    simple("to-space", node("DepthToSpace", "x", "y", blocksize=2, mode="DCR"), S,
           (1, 2, 40, 48), "Permute"),
    *[pad(mode) for mode in ("constant", "edge", "reflect")],
    simple("pad-channels", node("Pad", "x p", "y"), S, (1, 11, 20, 24), "Pad",
           constants={"p": ints(0, 1, 0, 0, 0, 2, 0, 0)}),
    simple("tile", node("Tile", "x r", "y"), S, (1, 16, 20, 72), "Tile",
           constants={"r": ints(1, 2, 1, 3)}),
    simple("expand", node("Expand", "x s", "y"), (1, 1, 20, 24), S, "Tile",
           constants={"s": ints(*S)}),
    simple("gather-channels", node("Gather", "x i", "y", axis=1), S, (1, 3, 20, 24), "Gather",
           constants={"i": ints(5, 0, 3)}),
    simple("gather-width", node("Gather", "x i", "y", axis=3), S, (1, 8, 20, 4), "Gather",
           constants={"i": ints(5, 0, 3, 3)}),
    simple("gather-one", node("Gather", "x i", "y", axis=2), S, (1, 8, 24), "Gather",
           constants={"i": np.array(3)}),
    simple("gather-reversed", node("Gather", "x i", "y", axis=1), S, S, "Gather",
           constants={"i": ints(*range(7, -1, -1))}),
    *[simple(f"gather-elements-{axis}", node("GatherElements", "x i", "y", axis=axis), S, S,
             "GatherElements", constants={"i": RNG.integers(0, S[axis], S)})
      for axis in (1, 2, 3)],
    simple("gather-nd", node("GatherND", "x i", "y", batch_dims=1), (2, 8, 20, 24), (2, 24),
           "GatherND", constants={"i": np.array([[3, 4], [5, 6]])}),
    simple("one-hot",
           [node("ArgMax", "x", "i", axis=1, keepdims=0),
            node("OneHot", "i d v", "y", axis=-1)], S, (1, 20, 24, 9), "TopK OneHot",
           constants={"d": ints(9), "v": np.array([0.25, 3], np.float32)}),
    cut("slice", "", (1, 8, 10, 20), (5, 2), (15, 22), (2, 3)),
    cut("slice-steps", "StridedSlice", (1, 8, 10, 8), (0, 1), (20, 24), (2, 3), (2, 3)),
    cut("slice-backwards", "StridedSlice", S, (-1, -1), (-100, -100), (2, 3), (-1, -1)),
    simple("argmax", node("ArgMax", "x", "y", axis=1), S, (1, 1, 20, 24), "TopK",
           integer_output=True),
    simple("argmax-float", [node("ArgMax", "x", "i", axis=1), node("Cast", "i", "y", to=1)], S,
           (1, 1, 20, 24), "TopK Convert"),
    simple("argmin", node("ArgMin", "x", "y", axis=3, keepdims=0), S, (1, 8, 20), "TopK",
           integer_output=True),
    simple("topk", node("TopK", "x k", "y i", axis=3), S, (1, 8, 20, 5), "TopK",
           constants={"k": ints(5)}),
    simple("topk-smallest", node("TopK", "x k", "v y", axis=3, largest=0), S, (1, 8, 20, 5),
           "TopK", constants={"k": ints(5)}, integer_output=True),
    *[resize("nearest", place, rounding, f) for place, rounding in NEAREST for f in (1.5, 0.5)],
    *[resize("linear", place, "", f) for place in LINEAR for f in (2, 0.75)],
]  # fmt: skip
