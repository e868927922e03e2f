"""From a function to a graph that computes the same, or a sentence that says why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blobsmith.errors import SourceError, UsageError
from blobsmith.graph import equivalence, lines, opset
from blobsmith.model import Model
from blobsmith.sources import exporters, flatten_outputs, load
from blobsmith.sources.calling import Reference
from blobsmith.sources.function import UserFunction
from blobsmith.tensors import InputRequest

from . import modules

IMAGE = (1, 3, 8, 10)
GRAY = (1, 1, 8, 8)


def run(model: Model, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    return equivalence.run(model.onnx_bytes, feeds)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


# ---------------------------------------------------------------------- inputs


def test_examples_are_distinct() -> None:
    """Identical example tensors are one input to a tracer: the trap of two frames that are one."""
    function = UserFunction(modules.Subtract(), ["first", "second"])
    reference = Reference(function, ["first", "second"], "test")
    specs = load(modules.Subtract(), inputs={"first": GRAY, "second": GRAY}).inputs
    frames = equivalence.probe_feeds(specs)
    one, other = reference.tensors(frames[0])
    assert one.data_ptr() != other.data_ptr()
    assert not torch.equal(one, other)
    shared = noise(*GRAY)
    one, other = reference.tensors({"first": shared, "second": shared})
    assert one.data_ptr() != other.data_ptr()


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_two_inputs_keep_their_names_order_and_meaning(exporter: str) -> None:
    model = load(modules.Subtract(), inputs={"first": GRAY, "second": GRAY}, exporter=exporter)
    assert [i.name for i in model.proto.graph.input] == ["first", "second"]
    a, b = noise(*GRAY), noise(*GRAY, seed=1)
    np.testing.assert_allclose(run(model, first=a, second=b)["output"], a - 2 * b, rtol=1e-5)
    assert f"{exporter}" in model.notes[0].lower()
    assert opset.version(model.proto) == {"torchscript": 12, "dynamo": 15}[exporter]


def test_varargs_are_named_by_the_request() -> None:
    def average(*frames: Tensor) -> Tensor:
        return (frames[0] + 3 * frames[1]) / 4

    model = load(average, inputs={"input_0": GRAY, "input_1": GRAY})
    assert [s.name for s in model.inputs] == ["input_0", "input_1"]
    with pytest.raises(UsageError, match="takes no inputs") as caught:
        load(average)
    assert "--input input_0=1x3x300x300" in caught.value.remedy


def test_parameters_with_defaults_are_inputs_only_when_named() -> None:
    def blend(a: Tensor, weight: float = 0.5, b: Tensor | None = None, *, c: Tensor) -> Tensor:
        return a * weight + c * 2 + (0 if b is None else b * 3)

    two = load(blend, inputs={"a": GRAY, "c": GRAY})
    assert [s.name for s in two.inputs] == ["a", "c"]
    three = load(blend, inputs={"b": GRAY, "c": GRAY, "a": GRAY})
    assert [s.name for s in three.inputs] == ["a", "b", "c"]
    x, y, z = (noise(*GRAY, seed=s) for s in range(3))
    got = run(three, a=x, b=y, c=z)["output"]
    np.testing.assert_allclose(got, x / 2 + y * 3 + z * 2, rtol=1e-5)
    direct = three.module(*(torch.from_numpy(v) for v in (x, y, z)))[0]
    np.testing.assert_allclose(direct, got, rtol=1e-5)


def test_what_is_asked_wins_over_what_the_class_declares() -> None:
    request = InputRequest(dtype="fp16", value_range=(0.0, 1.0))
    spec = load(modules.Halve(), inputs={"image": request}).inputs[0]
    assert (spec.shape, spec.dtype, spec.value_range) == ((1, 3, 8, 10), "fp16", (0.0, 1.0))
    assert load(modules.Halve(), inputs={"image": (1, 1, 4, 4)}).inputs[0].color == "gray"


@pytest.mark.parametrize(
    ("shape", "color"),
    [
        ((1, 3, 4, 4), "bgr"),
        ((3, 4, 4), "bgr"),
        ((1, 1, 4, 4), "gray"),
        ((1, 3, 1, 1), None),
        ((1, 8, 4, 4), None),
        ((4, 4), None),
        ((5,), None),
    ],
)
def test_colour_order_of_a_shape(shape: tuple[int, ...], color: str | None) -> None:
    assert load(modules.double, inputs={"image": shape}).inputs[0].color == color


def test_colour_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="'rgb' needs 3 channels"):
        load(modules.double, inputs={"image": InputRequest((1, 1, 4, 4), color="rgb")})


def test_unused_input_is_refused() -> None:
    """The compiler would drop it, and the order of the others with it."""
    with pytest.raises(SourceError, match="does not depend on the input 'b'"):
        load(lambda a, b: a + torch.zeros_like(b), inputs={"a": GRAY, "b": GRAY})


# ---------------------------------------------------------------------- outputs


class Pair(NamedTuple):
    edges: Tensor
    corners: Tensor


@dataclasses.dataclass
class Found:
    left: Tensor
    right: Tensor | None = None


OUTPUTS: list[tuple[str, Callable[[Tensor], Any], list[str]]] = [
    ("one", lambda x: x * 2, ["output"]),
    ("tuple", lambda x: (x * 2, x + 1), ["output_0", "output_1"]),
    ("nested", lambda x: [x * 2, (x + 1, {"a": x - 1})], ["output_0", "output_1", "output_2"]),
    ("dict", lambda x: {"edges": x * 2, "corners": x + 1}, ["edges", "corners"]),
    ("named", lambda x: Pair(x * 2, x + 1), ["edges", "corners"]),
    ("dataclass", lambda x: Found(x * 2), ["left"]),
    ("none", lambda x: (None, x * 2, None), ["output"]),
]


@pytest.mark.parametrize(("name", "function", "names"), OUTPUTS, ids=[o[0] for o in OUTPUTS])
def test_outputs_are_flattened_and_named(
    name: str, function: Callable[[Tensor], Any], names: list[str]
) -> None:
    model = load(function, inputs={"x": GRAY})
    assert [s.name for s in model.outputs] == names
    x = noise(*GRAY)
    got = run(model, x=x)
    for key, value in zip(names, flatten_outputs(function(torch.from_numpy(x))), strict=True):
        np.testing.assert_allclose(got[key], value, rtol=1e-5)


def test_output_names_are_the_users_if_given() -> None:
    model = load(lambda x: (x * 2, x + 1), inputs={"x": GRAY}, outputs=["a", "b"])
    assert [s.name for s in model.outputs] == ["a", "b"]
    with pytest.raises(UsageError, match="1 output names were given, the function returns 2"):
        load(lambda x: (x * 2, x + 1), inputs={"x": GRAY}, outputs=["a"])
    with pytest.raises(UsageError, match="'x' is used twice"):
        load(lambda x: x * 2, inputs={"x": GRAY}, outputs=["x"])


def test_masks_and_integers_become_float() -> None:
    mask = load(lambda x: x > 127, inputs={"x": GRAY})
    assert mask.outputs[0].decoding.kind == "mask"
    x = noise(*GRAY)
    np.testing.assert_array_equal(run(mask, x=x)["output"], (x > 127).astype(np.float32))
    index = load(lambda x: x.argmax(1), inputs={"x": IMAGE})
    got = run(index, x=noise(*IMAGE))["output"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, noise(*IMAGE).argmax(1))


BAD_OUTPUTS: list[tuple[Callable[[Tensor], Any], str]] = [
    (lambda x: (x, 3.5), "returns a float (3.5)"),
    (lambda x: None, "returns no tensor"),
    (lambda x: {"a": "text"}, "returns a str (text)"),
    (lambda x: torch.complex(x, x), "complex numbers"),
    (lambda x: x[x > 100], "depends on the frame"),
    (lambda x: torch.where(x > 100)[2].float(), "depends on the frame"),
    (lambda x: x[:, :0], "is empty"),
    (lambda x: x + torch.rand_like(x), "another result each time"),
    (lambda x: nn.functional.dropout(x, 0.5), "another result each time"),
]


@pytest.mark.parametrize(("function", "what"), BAD_OUTPUTS, ids=[b[1] for b in BAD_OUTPUTS])
def test_what_is_no_output_is_explained(function: Callable[[Tensor], Any], what: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(function, inputs={"x": GRAY})
    assert what in str(caught.value)
    assert caught.value.where
    assert caught.value.remedy or what == "is empty"


# ---------------------------------------------------------------------- the user's own code


def test_wrong_shape_for_the_module_is_told_with_line_and_option() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 8, 2))
    assert load(net, inputs={"input": IMAGE}).outputs[0].shape == (1, 2)
    with pytest.raises(SourceError, match="fails on input=1x3x20x20: RuntimeError") as caught:
        load(net, inputs={"input": (1, 3, 20, 20)})
    assert "--input input=1x3x300x300" in caught.value.remedy


def test_the_line_that_fails_is_the_users() -> None:
    def clumsy(x: Tensor) -> Tensor:
        y = x * 2
        return y @ torch.ones(3, 3)

    with pytest.raises(SourceError) as caught:
        load(clumsy, inputs={"x": GRAY})
    assert "test_export.py:" in caught.value.where
    assert "y @ torch.ones(3, 3)" in caught.value.where


def test_module_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    net[0].eval()
    model = load(net, inputs={"input": IMAGE})
    assert [m.training for m in net.modules()] == [True, False, True, True]
    assert all(p.requires_grad for p in net.parameters())
    x = noise(*IMAGE)
    np.testing.assert_allclose(
        run(model, input=x)["output"], model.module(torch.from_numpy(x))[0], rtol=1e-3, atol=1e-3
    )


def test_a_module_in_a_closure_may_hold_parameters() -> None:
    inner = nn.Conv2d(3, 2, 3)
    model = load(lambda x: inner(x) * 2, inputs={"x": IMAGE})
    assert model.outputs[0].shape == (1, 2, 6, 8)
    assert inner.weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_float_weights_are_converted(dtype: torch.dtype) -> None:
    net = nn.Conv2d(3, 2, 3).to(dtype)
    model = load(net, inputs={"input": IMAGE})
    assert net.weight.dtype == dtype
    assert any("float32" in note for note in model.notes)


# ---------------------------------------------------------------------- decided while exporting


class Mixed(nn.Module):
    """Computes in float64 itself: a float32 copy of its matrix would not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turn", torch.eye(3, dtype=torch.float64) / 2)

    def forward(self, x: Tensor) -> Tensor:
        return (x.double() @ self.turn).float()


def test_a_module_that_needs_its_own_float_type_keeps_it() -> None:
    model = load(Mixed(), inputs={"x": (4, 3)})
    assert not any("float32" in note for note in model.notes)


def test_a_branch_on_pixels_is_refused() -> None:
    """On bright frames the function doubles; a graph that always does is another function."""

    def moody(x: Tensor) -> Tensor:
        if x.mean() > 100:
            return x * 2
        return x

    with pytest.raises(SourceError, match="decides by the values") as caught:
        load(moody, inputs={"x": GRAY}, exporter="torchscript")
    assert "if x.mean() > 100" in caught.value.where
    assert "torch.where" in caught.value.remedy


def test_a_branch_that_changes_nothing_is_noted() -> None:
    def guarded(x: Tensor) -> Tensor:
        if x.max() > 1e6:
            raise ValueError("not an image")
        return x * 2

    model = load(guarded, inputs={"x": GRAY})
    assert any("if x.max() > 1e6" in note for note in model.notes)


def test_a_branch_on_sizes_is_no_branch_on_pixels() -> None:
    def padded(x: Tensor) -> Tensor:
        extra = round(x.shape[-1] / 3)
        if x.size(2) < 100 and len(x) == 1:
            x = nn.functional.pad(x, (0, extra))
        return x * x.numel()

    model = load(padded, inputs={"x": GRAY})
    assert model.outputs[0].shape == (1, 1, 8, 11)
    assert len(model.notes) == 1


def test_sums_in_place_start_from_the_constant() -> None:
    """The trace must hold the zeros that the sum starts from, not the sum that they became."""

    def summed(x: Tensor) -> Tensor:
        total = torch.zeros(1, 1, 8, 8)
        for factor in (1.0, 2.0):
            total += x * factor
        total[..., 0] = 5.0
        total[..., 1:3] = x[..., 1:3]
        return total

    model = load(summed, inputs={"x": GRAY})
    assert len(model.notes) == 1, "the first exporter should have managed"
    x = noise(*GRAY)
    np.testing.assert_allclose(
        run(model, x=x)["output"], summed(torch.from_numpy(x)), rtol=1e-5, atol=1e-3
    )


# ---------------------------------------------------------------------- the exporters


def written_in_parts(x: Tensor) -> Tensor:
    """A result that is made by writing into parts of an empty one."""
    y = torch.empty_like(x)
    torch.add(x[:, 0], 1, out=y[:, 0])
    torch.mul(x[:, 1], x[:, 0], out=y[:, 1])
    return y


def written_unless_differentiable(x: Tensor) -> Tensor:
    """As Kornia 0.8 makes HLS of RGB."""
    if x.requires_grad:
        return torch.stack([x[:, 0] + 1, x[:, 1] * x[:, 0]], 1)
    return written_in_parts(x)


@pytest.mark.parametrize(
    ("function", "exporter"),
    [(written_in_parts, "dynamo"), (written_unless_differentiable, "TorchScript")],
)
def test_what_is_written_into_parts_is_not_lost(
    function: Callable[[Tensor], Tensor], exporter: str
) -> None:
    """The trace knows no parts: the graph that it makes would depend on no input at all."""
    model = load(function, inputs={"x": (1, 2, 4, 6)})
    assert f"{exporter} exporter" in model.notes[0]
    assert "lost what becomes of 'x'" in model.notes[0]


def test_what_depends_on_no_input_is_computed_once() -> None:
    """A warp's grid comes from an inverse that ONNX lacks; here it is constant."""

    def warp(x: Tensor) -> Tensor:
        turn = torch.linalg.inv(torch.tensor([[1.0, 0.5], [0.0, 2.0]]))
        return torch.einsum("ij,ncjw->nciw", turn, x[:, :, :2])

    model = load(warp, inputs={"x": GRAY})
    assert {n.op_type for n in model.proto.graph.node} == {"Constant", "Slice", "Einsum"}
    assert len(model.notes) == 1


def test_grid_sample_is_left_for_the_rewrite_rules() -> None:
    grid = torch.rand(1, 4, 4, 2)
    model = load(
        lambda x: nn.functional.grid_sample(x, grid, align_corners=False), inputs={"x": GRAY}
    )
    assert opset.version(model.proto) == 16
    assert "grid_sampler" in model.notes[0]


def test_scatter_add_is_not_exported_as_scatter() -> None:
    """Below opset 16 the TorchScript exporter drops the addition without a word."""

    def histogram(x: Tensor) -> Tensor:
        bins = (x.reshape(-1) / 64).long()
        return torch.zeros(4).scatter_add(0, bins, torch.ones(64))

    model = load(histogram, inputs={"x": GRAY})
    assert opset.version(model.proto) == 16
    x = noise(*GRAY)
    np.testing.assert_array_equal(
        run(model, x=x)["output"], np.bincount((x.reshape(-1) / 64).astype(int), minlength=4)
    )


def test_the_second_exporter_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> exporters.Traced:
        raise RuntimeError("the old exporter is gone")

    monkeypatch.setattr(exporters, "torchscript", broken)
    model = load(modules.Halve())
    assert "dynamo" in model.notes[0]
    assert "the old exporter is gone" in model.notes[0]
    assert opset.version(model.proto) <= 15


def test_an_export_that_computes_something_else_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = exporters.torchscript

    def wrong(function: UserFunction, *args: Any, **kwargs: Any) -> exporters.Traced:
        other = UserFunction(lambda image: image / 2.01, function.names)
        return honest(other, *args, **kwargs)

    monkeypatch.setattr(exporters, "torchscript", wrong)
    with pytest.raises(SourceError, match="is not the function"):
        load(modules.Halve(), exporter="torchscript")


def test_an_operator_that_no_exporter_knows_is_named_with_the_users_line() -> None:
    def special(x: Tensor) -> Tensor:
        scaled = x / 300
        return torch.special.i0(scaled)

    with pytest.raises(SourceError, match=r"uses torch\.(special_)?i0") as caught:
        load(special, inputs={"x": GRAY}, exporter="torchscript")
    assert "torch.special.i0(scaled)" in caught.value.where


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"exporter": "magic"}, "no exporter 'magic'"),
        ({"opset": 16}, "opset 16"),
        ({"opset": 3}, "opset 3"),
    ],
)
def test_wrong_options(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        load(modules.Halve(), **options)


@pytest.mark.parametrize("version", [12, 15])
def test_opset_is_the_one_asked_for(version: int) -> None:
    assert opset.version(load(modules.Halve(), opset=version).proto) == version


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str], recwarn: Any) -> None:
    """A verbose export is needed for the lines; what it would print must not reach stdout."""
    load(modules.two_steps, inputs={"image": GRAY})
    assert capfd.readouterr() == ("", "")
    assert not [w for w in recwarn if "torch" in str(w.filename)]


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize("exporter", ["torchscript", "dynamo"])
def test_every_operator_names_its_line(exporter: str) -> None:
    model = load(modules.two_steps, inputs={"image": GRAY}, exporter=exporter)
    found = {
        node.op_type: str(lines.user_line(node))
        for node in model.proto.graph.node
        if node.op_type != "Constant"
    }
    assert found["Mul"].endswith("squared = image * image")
    assert found["Sqrt"].endswith("return torch.sqrt(squared + 1)")
    assert found["Mul"].startswith("tests/sources/modules.py:")
    assert "/site-packages/" not in model.proto.SerializeToString().decode("latin-1")


def test_a_failed_export_prints_nothing_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both exporters fail on a decision by a value; the error is all that is said."""

    class Decides(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image if image.mean() > 100 else 255 - image

    with pytest.raises(SourceError, match="decides by the values"):
        load(Decides(), inputs={"image": (1, 3, 8, 8)})
    told = capsys.readouterr()
    assert told.out + told.err == ""
