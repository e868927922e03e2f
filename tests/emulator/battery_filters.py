"""The battery: convolutions, pooling, matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from .models import Case, node, simple, weights

HW = "MyriadXHwOp"


def conv(
    name: str,
    stages: str | tuple[str, str],
    channels: tuple[int, int],
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    dilation: int = 1,
    group: int = 1,
    pads: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] = (20, 24),
    bias: bool = False,
    act: str = "",
    atol: float = 1e-5,
) -> Case:
    """A convolution, "same" padding unless given, with an optional bias and activation."""
    ic, oc = channels
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    reach = ((kh - 1) * dilation, (kw - 1) * dilation)
    top, left, bottom, right = pads or (
        reach[0] // 2, reach[1] // 2, reach[0] - reach[0] // 2, reach[1] - reach[1] // 2,
    )  # fmt: skip
    constants: dict[str, Any] = {
        "w": weights(oc, ic // group, kh, kw, scale=(ic * kh * kw) ** -0.5)
    }
    if bias:
        constants["b"] = weights(oc)
    out = (
        (size[0] + top + bottom - reach[0] - 1) // stride + 1,
        (size[1] + left + right - reach[1] - 1) // stride + 1,
    )
    attributes = {"strides": [stride] * 2, "dilations": [dilation] * 2, "group": group}
    nodes = [
        node("Conv", "x w b" if bias else "x w", "c" if act else "y",
             pads=[top, left, bottom, right], **attributes)
    ]  # fmt: skip
    if act == "Clip":
        constants |= {"low": np.float32(0), "high": np.float32(6)}
        nodes.append(node("Clip", "c low high", "y"))
    elif act:
        nodes.append(node(act, "c", "y", **({"alpha": 0.125} if act == "LeakyRelu" else {})))
    return simple(
        name, nodes, (1, ic, *size), (1, oc, *out), stages, constants=constants, atol=atol
    )


def deconv(
    name: str,
    stages: tuple[str, str],
    channels: tuple[int, int],
    kernel: int,
    stride: int,
    pad: int = 0,
    extra: int = 0,
    group: int = 1,
) -> Case:
    """A transposed convolution."""
    ic, oc = channels
    out = [(n - 1) * stride - 2 * pad + kernel + extra for n in (10, 12)]
    return simple(
        name,
        node("ConvTranspose", "x w", "y", strides=[stride] * 2, pads=[pad] * 4,
             output_padding=[extra] * 2, group=group),
        (1, ic, 10, 12),
        (1, oc, *out),
        stages,
        constants={"w": weights(ic, oc // group, kernel, kernel, scale=0.25)},
        atol=2e-3,
    )  # fmt: skip


def pool(
    name: str,
    stages: tuple[str, str],
    op: str,
    kernel: int,
    stride: int,
    pads: tuple[int, int, int, int],
    size: tuple[int, int] = (20, 24),
    ceil: int = 0,
    **attributes: Any,
) -> Case:
    """A pooling operator."""
    out = [
        -(-(n + a + b - kernel) // stride) + 1 if ceil else (n + a + b - kernel) // stride + 1
        for n, a, b in zip(size, pads[:2], pads[2:], strict=True)
    ]
    return simple(
        name,
        node(op, "x", "y", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=list(pads),
             ceil_mode=ceil, **attributes),
        (1, 8, *size),
        (1, 8, *out),
        stages,
    )  # fmt: skip


CASES: list[Case] = [
    # weights of a C-minor input, by case: k-IC-OC (small), k-OC-IC (large), OC-k-IC (Im2Col)
    conv("conv3-small", (HW, "Conv"), (8, 16), 3),
    conv("conv3-large", (HW, "Conv"), (24, 24), 3),
    conv("conv5", (HW, "Conv"), (3, 4), 5),
    conv("conv7", (HW, "Conv"), (3, 6), 7),
    conv("conv11", (HW, "Conv"), (3, 3), 11),
    conv("conv15", (HW, "Im2ColConvolution"), (3, 4), 15),
    conv("conv1x9", (HW, "Im2ColConvolution"), (3, 3), (1, 9)),
    conv("conv9x1", (HW, "Im2ColConvolution"), (3, 3), (9, 1)),
    conv("conv4-even", (HW, "Im2ColConvolution"), (4, 4), 4, pads=(0, 0, 0, 0)),
    conv("conv1", (HW, "Conv"), (8, 16), 1),
    conv("conv1-stride2", (HW, "Conv"), (8, 16), 1, stride=2),
    conv("conv1-tiled", (HW, "Conv"), (256, 384), 1, size=(10, 10)),
    conv("conv3-dilated", ("Conv", "Conv"), (8, 16), 3, dilation=2),
    conv("conv17", ("Conv", "Im2ColConvolution"), (3, 3), 17, size=(24, 24)),
    conv("conv3-stride2", (HW, "Conv"), (8, 16), 3, stride=2, pads=(1, 1, 1, 1)),
    conv("conv3-stride3", (HW, "Conv"), (8, 8), 3, stride=3),
    conv("conv3-one-sided", (f"{HW} Pad", "Conv"), (8, 8), 3, pads=(0, 1, 2, 1)),
    conv("conv3-tall", (HW, "Conv"), (64, 32), 3, size=(96, 96)),
    conv("conv3-bias", (HW, "Conv Bias"), (8, 16), 3, bias=True, atol=3e-3),
    conv("conv3-relu", (HW, "Conv BiasRelu"), (8, 16), 3, bias=True, act="Relu", atol=3e-3),
    conv("conv3-leaky", (HW, "Conv BiasLeakyRelu"), (8, 16), 3, bias=True, act="LeakyRelu",
         atol=3e-3),
    conv("conv3-relu6", (HW, "Conv Bias Clamp"), (8, 16), 3, bias=True, act="Clip", atol=3e-3),
    conv("depthwise3", (HW, "DepthConv"), (16, 16), 3, group=16),
    conv("depthwise3-stride2", (HW, "DepthConv"), (16, 16), 3, group=16, stride=2,
         pads=(1, 1, 1, 1)),
    conv("depthwise-dilated", ("DepthConv", "DepthConv"), (4, 4), 3, group=4, dilation=6),
    conv("grouped", (HW, "Conv Copy"), (16, 16), 3, group=4),
    simple(
        "conv-relu-pool",
        [
            node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "y", kernel_shape=[2, 2], strides=[2, 2]),
        ],
        (1, 8, 20, 24),
        (1, 16, 10, 12),
        (HW, "Conv Relu MaxPool"),
        constants={"w": weights(16, 8, 3, 3, scale=0.1)},
    ),
    deconv("deconv2", (f"Upsampling {HW}", "Deconvolution"), (8, 4), 2, 2),
    deconv("deconv3", ("Deconvolution", "Deconvolution"), (8, 4), 3, 2, 1, 1),
    deconv("deconv4", (f"Upsampling {HW}", "Deconvolution"), (8, 8), 4, 2, 1),
    deconv("deconv5-stride3", (f"Upsampling {HW}", "Deconvolution"), (4, 6), 5, 3),
    deconv("deconv-depthwise", ("DepthDeconv Scale", "DepthDeconv"), (8, 8), 4, 2, 1, group=8),
    pool("max3-stride2", (HW, "MaxPool"), "MaxPool", 3, 2, (1, 1, 1, 1)),
    pool("max2", (HW, "MaxPool"), "MaxPool", 2, 2, (0, 0, 0, 0)),
    pool("max15", (HW, "MaxPool"), "MaxPool", 15, 1, (7, 7, 7, 7)),
    pool("max3-ceil", (HW, "MaxPool"), "MaxPool", 3, 2, (0, 0, 0, 0), ceil=1),
    pool("max3-right", (HW, "MaxPool"), "MaxPool", 3, 1, (0, 0, 1, 1)),
    pool("max3-left", (HW, "MaxPool"), "MaxPool", 3, 1, (1, 1, 0, 0)),
    pool("avg3", (HW, "AvgPool"), "AveragePool", 3, 1, (1, 1, 1, 1), count_include_pad=1),
    pool("avg2", (HW, "AvgPool"), "AveragePool", 2, 2, (0, 0, 0, 0)),
    pool("avg3-stride2", ("AvgPool", "AvgPool"), "AveragePool", 3, 2, (1, 1, 1, 1),
         count_include_pad=1),
    pool("avg3-exclude-pad", ("AvgPool", "AvgPool"), "AveragePool", 3, 2, (1, 1, 1, 1),
         count_include_pad=0),
    pool("avg3-one-axis", (HW, "AvgPool"), "AveragePool", 3, 1, (1, 0, 1, 0),
         count_include_pad=1),
    simple("global-max", node("GlobalMaxPool", "x", "y"), (1, 8, 20, 24), (1, 8, 1, 1),
           "GlobalMaxPool"),
    simple("gemm", node("Gemm", "x w b", "y", transB=1), (1, 64), (1, 10), (HW, "FC Bias"),
           constants={"w": weights(10, 64, scale=0.1), "b": weights(10)}, atol=2e-3),
    simple("gemm-rows", node("Gemm", "x w b", "y", transB=1), (4, 64), (4, 10), (HW, "FC Bias"),
           constants={"w": weights(10, 64, scale=0.1), "b": weights(10)}, atol=2e-3),
    simple("flatten-gemm", [node("Flatten", "x", "f"), node("Gemm", "f w b", "y", transB=1)],
           (1, 4, 5, 6), (1, 10), (HW, "FC Bias"),
           constants={"w": weights(10, 120, scale=0.1), "b": weights(10)}, atol=2e-3),
    simple("matmul", node("MatMul", "x z", "y"), {"x": (1, 2, 10, 16), "z": (1, 2, 16, 12)},
           (1, 2, 10, 12), "GEMM"),
    simple("matmul-rows", node("MatMul", "x z", "y"), {"x": (40, 60), "z": (60, 50)}, (40, 50),
           "GEMM", atol=1e-4),
]  # fmt: skip
