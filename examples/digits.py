"""A network of your own, from training to an archive with class names. No camera is needed.

Trains a small convolutional network on the handwritten digits that scikit-learn carries, builds it
for the chip, runs the compiled blob on the emulator over digits that the training has not seen, and
compares its answers with PyTorch's.

python examples/digits.py                  writes digits.tar.xz, an NN Archive
python examples/digits.py -o elsewhere.tar.xz --epochs 5
"""

import argparse
import time

import cv2
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import blobsmith

SIDE = 32


class Digits(nn.Module):
    """Ten scores for a grey picture of 32x32; the largest is the digit."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        # The camera delivers 0 to 255. The division is part of the network, so nobody forgets it.
        scores: Tensor = self.layers(image / 255)
        return scores


def frames() -> tuple[np.ndarray, np.ndarray]:
    """The digits as a camera would deliver them: (N, 1, 32, 32) bytes, and their labels."""
    data = load_digits()
    levels = (data.images * (255 / 16)).astype(np.uint8)
    large = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for image in levels]
    return np.stack(large)[:, None], data.target


def train(network: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Plain training: Adam, batches of 64."""
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
    network.eval()


def main() -> None:
    """Trains, builds, measures."""
    parser = argparse.ArgumentParser(description="a digit classifier for an OAK camera")
    parser.add_argument("-o", "--output", default="digits.tar.xz")
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the tensors are so small that a second thread only waits
    pictures, digits = frames()
    seen, held, seen_digits, held_digits = train_test_split(
        pictures, digits, test_size=0.25, random_state=0, stratify=digits
    )
    network, began = Digits(), time.perf_counter()
    train(network, torch.from_numpy(seen).float(), torch.from_numpy(seen_digits), args.epochs)
    print(f"trained on {len(seen)} pictures in {time.perf_counter() - began:.1f} s")

    result = blobsmith.build(
        network,
        inputs={"image": blobsmith.InputRequest(shape=(1, 1, SIDE, SIDE), color="gray")},
        outputs=["scores"],
        output=args.output,
        format="archive",
        classes=tuple(str(digit) for digit in range(10)),
        frames=[{"image": picture[None]} for picture in held[:32]],  # verified on real digits
    )
    print(f"{result.path}: {result.steps[-1].summary}")

    emulator = blobsmith.Emulator(result.blob)
    on_blob = [int(emulator.run({"image": p[None]})["scores"].argmax()) for p in held]
    with torch.inference_mode():
        in_torch = network(torch.from_numpy(held).float()).argmax(1).numpy()
    print(f"PyTorch, FP32:      {np.mean(in_torch == held_digits):.2%} of {len(held)} right")
    print(f"blob, on emulator:  {np.mean(on_blob == held_digits):.2%}")
    print(f"both say the same:  {np.mean(on_blob == in_torch):.2%}")


if __name__ == "__main__":
    main()
