"""Two networks with random weights, small enough for tests, in the form of known ones.

Weights are biased to the positive side, as in trained networks whose channels agree: with
independent signs the terms of each sum cancel, and the FP16 rounding of fifty layers, which no
chip avoids, grows to 0.3 % of the output's range.
"""

# mypy: allow-subclassing-any
from __future__ import annotations

import io

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, depthwise, narrow; added to its input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, factor: int) -> None:
        super().__init__()
        wide = inputs * factor
        layers: list[nn.Module] = []
        if factor != 1:
            layers += [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        ]  # fmt: skip
        self.layers = nn.Sequential(*layers)
        self.add = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.add else self.layers(x)


FULL = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
        (6, 320, 1, 1))  # fmt: skip
"""MobileNetV2's blocks: factor, channels, repeats, first stride."""


class MobileNet(nn.Module):
    """MobileNetV2 with `blocks`; input (1, 3, H, W), levels 0 to 255."""

    def __init__(self, blocks: tuple[tuple[int, int, int, int], ...] = FULL) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
        ]  # fmt: skip
        channels = 16
        for factor, outputs, repeats, stride in blocks:
            for number in range(repeats):
                step = stride if number == 0 else 1
                layers.append(InvertedResidual(channels, outputs, step, factor))
                channels = outputs
        layers += [nn.Conv2d(channels, 256, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU6()]
        self.features = nn.Sequential(*layers)
        self.classes = nn.Linear(256, 100)

    def forward(self, image: Tensor) -> Tensor:
        return self.classes(self.features(image / 64 - 2).mean((2, 3)))


class UNet(nn.Module):
    """A U-Net of three levels; input (1, 3, H, W), levels 0 to 255; two maps, 0 to 1."""

    def __init__(self, base: int = 8) -> None:
        super().__init__()
        self.down1, self.down2 = self._pair(3, base), self._pair(base, 2 * base)
        self.bottom = self._pair(2 * base, 4 * base)
        self.grow2 = nn.ConvTranspose2d(4 * base, 2 * base, 2, 2)
        self.up2 = self._pair(4 * base, 2 * base)
        self.grow1 = nn.ConvTranspose2d(2 * base, base, 2, 2)
        self.up1 = self._pair(2 * base, base)
        self.maps = nn.Conv2d(base, 2, 1)

    @staticmethod
    def _pair(inputs: int, outputs: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        first = self.down1(image / 64 - 2)
        second = self.down2(F.max_pool2d(first, 2))
        bottom = self.bottom(F.max_pool2d(second, 2))
        middle = self.up2(torch.cat([self.grow2(bottom), second], 1))
        return torch.sigmoid(self.maps(self.up1(torch.cat([self.grow1(middle), first], 1))))


def with_random_weights(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights of mean 1 / fan-in and about that deviation; varied normalisations and biases."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            transposed = isinstance(part, nn.ConvTranspose2d)
            fan_in = part.weight.shape[0] if transposed else part.weight[0].numel()
            nn.init.normal_(part.weight, std=(2 / fan_in) ** 0.5)
            if not isinstance(part, nn.Linear) and part.weight.shape[1] > 1:
                values = part.weight.data * 0.6 + part.weight.data.abs() * 0.6
                part.weight.data = values / (fan_in * values.abs().mean())
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.05)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.normal_(part.bias, std=0.05)
    return module.eval()


def exported(module: nn.Module, size: int) -> bytes:
    """The ONNX graph for one picture of this size, input `image`, output `output`."""
    import onnx
    import onnxsim

    stream = io.BytesIO()
    torch.onnx.export(
        module, (torch.rand(1, 3, size, size) * 255,), stream, input_names=["image"],
        output_names=["output"], opset_version=12, dynamo=False,
    )  # fmt: skip
    simplified, good = onnxsim.simplify(onnx.load_model_from_string(stream.getvalue()))
    assert good
    return simplified.SerializeToString()
