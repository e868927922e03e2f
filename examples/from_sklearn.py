"""A network of another framework, by its ONNX file. No camera is needed.

scikit-learn trains a classifier of 8x8 thumbnails; skl2onnx writes it as ONNX; blobsmith takes the
file from there. Any framework that writes ONNX goes the same way.

pip install skl2onnx
python examples/from_sklearn.py            writes digits.onnx and digits.blob
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import blobsmith


def main() -> None:
    """Trains, converts, builds, measures."""
    parser = argparse.ArgumentParser(description="a scikit-learn classifier for an OAK camera")
    parser.add_argument("-o", "--output", type=Path, default=Path("digits.blob"))
    args = parser.parse_args()

    data = load_digits()
    unit = (data.data / 16).astype(np.float32)  # 0 to 1, for the training
    seen, held, seen_digits, held_digits = train_test_split(
        unit, data.target, test_size=0.25, random_state=0, stratify=data.target
    )
    network = MLPClassifier(hidden_layer_sizes=(32,), max_iter=80, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(seen, seen_digits)

    proto = to_onnx(network, seen[:1], options={"zipmap": False}, target_opset=15)
    onnx_path = args.output.with_suffix(".onnx")
    onnx_path.write_bytes(proto.SerializeToString())

    # The file has a second output, the label, made by operators that only ONNX Runtime knows; the
    # blob ends at the probabilities. Levels 0 to 255 come in, and are divided in the graph.
    thumbnail = blobsmith.InputRequest(shape=(1, 64), dtype="u8", scale=(255,))
    result = blobsmith.build(
        onnx_path, inputs={"X": thumbnail}, outputs=["probabilities"], output=args.output
    )
    print(f"{result.path}: {result.steps[-1].summary}")

    emulator = blobsmith.Emulator(result.blob)
    levels = np.round(held * 255).astype(np.uint8)
    answers = [emulator.run({"X": each[None]})["probabilities"].argmax() for each in levels]
    expected = network.predict(held)
    print(f"scikit-learn:       {np.mean(expected == held_digits):.2%} of {len(held)} right")
    print(f"blob, on emulator:  {np.mean(np.array(answers) == held_digits):.2%}")
    print(f"both say the same:  {np.mean(np.array(answers) == expected):.2%}")


if __name__ == "__main__":
    main()
