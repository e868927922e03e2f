"""What goes into a blob and comes out, compared with the ONNX after every compilation.

The compiler silently drops unused inputs and duplicate outputs, reorders inputs, and renames:
docs/compiler.md, silent trap 3.
"""

from __future__ import annotations

from ..blob import Blob
from ..errors import BlobError
from .options import CompileOptions

Shapes = dict[str, tuple[int, ...]]


def check_signature(blob: Blob, inputs: Shapes, outputs: Shapes, options: CompileOptions) -> None:
    """Compares names, shapes and types of the blob with those of the ONNX it was made from.

    Args:
        blob: what the compiler wrote.
        inputs: shape by name of the ONNX graph's inputs.
        outputs: the same of its outputs.
        options: what was asked of the compiler.

    Raises:
        BlobError: an input or output was lost, renamed, reshaped, or has another type.
    """
    for kind, expected, wanted, found in (
        ("input", inputs, options.inputs, blob.input_specs),
        ("output", outputs, options.outputs, blob.output_specs),
    ):
        have = {spec.name: spec for spec in found}
        lost = sorted(set(expected) - set(have))
        extra = sorted(set(have) - set(expected))
        if lost or extra:
            raise BlobError(
                f"the compiled blob does not have the {kind}s of the model: "
                + "; ".join(
                    [f"{name!r} is missing" for name in lost]
                    + [f"{name!r} was not asked for" for name in extra]
                ),
                remedy=f"make the result depend on every input, and give every {kind} a value of "
                "its own (not a copy of another)",
            )
        for name, shape in expected.items():
            spec = have[name]
            if _plain(spec.shape) != _plain(shape):
                raise BlobError(
                    f"the {kind} {name!r} became {_text(spec.shape)} in the blob, "
                    f"the model says {_text(shape)}",
                    remedy="report this model: the compiler changed its meaning silently",
                )
            if name in wanted and spec.dtype != wanted[name]:
                raise BlobError(
                    f"the {kind} {name!r} became {spec.dtype} in the blob, "
                    f"{wanted[name]} was asked for"
                )


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape or (1,)


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
