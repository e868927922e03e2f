"""Repeats the calibration of `blobsmith.cost` from the published anchors.

    python -m benchmarks.cost_calibration [--json]

Fits f, BW, c and t on 28 networks (benchmarks/data/README.md) by least squares of log(T), leaves
one network, then one family out, and prints the error of the predicted frames per second. The
poorer models of the comparison are fitted the same way.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from blobsmith.cost import CostParameters

DATA = Path(__file__).parent / "data"
Array = npt.NDArray[np.float64]
_FAMILY = re.compile(r"mobileone|resnet|deeplab|yolov?\d+")
_ACTIVATIONS = ("Swish", "Sigmoid", "SoftMax")
_DDR_COLUMNS = ("coef_MB", "hw_rd_ddr_MB", "hw_wr_ddr_MB", "sw_ddr_MB")


@dataclass(frozen=True)
class Anchors:
    """The table: network names, families, measured milliseconds and the columns by name."""

    names: tuple[str, ...]
    families: tuple[str, ...]
    millis: Array
    columns: dict[str, Array]

    def total(self, *names: str) -> Array:
        """The sum of some columns."""
        return np.asarray(np.sum([self.columns[name] for name in names], axis=0))


@dataclass(frozen=True)
class Validation:
    """One model's errors of the frames per second, in percent of the published figure.

    Attributes:
        name: the model.
        network: mean and largest error, each network predicted without itself.
        family: the same, each network predicted without its family.
        fit: coefficients on all anchors, ms per unit of the feature.
        ranges: smallest and largest of each coefficient over the leave-one-network-out fits.
    """

    name: str
    network: tuple[float, float]
    family: tuple[float, float]
    fit: Array
    ranges: tuple[Array, Array]


def load(directory: Path = DATA) -> Anchors:
    """Reads the two tables."""
    rows = list(csv.DictReader((directory / "rvc2_features.csv").open()))
    copies = list(csv.DictReader((directory / "rvc2_copy_ddr.csv").open()))
    columns = {key: np.array([float(row[key]) for row in rows]) for key in rows[0] if key != "net"}
    by_name = {row["net"]: float(row["copy_ddr_MB"]) for row in copies}
    names = tuple(row["net"] for row in rows)
    columns["copy_ddr_MB"] = np.array([by_name[name] for name in names])
    families = tuple(match.group() for name in names if (match := _FAMILY.match(name)))
    return Anchors(names, families, columns["T2_ms"], columns)


def models(anchors: Anchors) -> dict[str, Array]:
    """The feature matrix of each model of the comparison, one row a network."""
    ddr = anchors.total(*_DDR_COLUMNS)
    copies = anchors.columns["copy_ddr_MB"]
    activations = anchors.total(*(f"{name}_Mel_per_shave" for name in _ACTIVATIONS))
    dispatches = anchors.total("stages", "injected")
    cycles = anchors.columns["hw_Mcyc"]

    def stack(*features: Array) -> Array:
        return np.stack(features, axis=1)

    return {
        "multiply-adds only": stack(anchors.columns["hw_GMAC"]),
        "multiply-adds and bytes": stack(anchors.columns["hw_GMAC"], ddr + copies),
        "four parameters": stack(cycles, ddr + copies, activations, dispatches),
        "four parameters, copies as in the published table": stack(
            cycles, ddr + anchors.columns["copy_MB"], activations, dispatches
        ),
    }


def fit(features: Array, millis: Array, steps: int = 200) -> Array:
    """Positive coefficients that minimise the sum of squares of log(prediction / T).

    Levenberg-Marquardt on the logarithms of the coefficients.
    """
    logs = np.log(np.median(millis[:, None] / features.clip(1e-9), axis=0) / features.shape[1])
    damping = 1e-2

    def residual(at: Array) -> Array:
        return np.asarray(np.log(features @ np.exp(at) / millis))

    error = residual(logs)
    for _ in range(steps):
        parts = features * np.exp(logs)
        jacobian = parts / parts.sum(axis=1, keepdims=True)
        normal = jacobian.T @ jacobian
        scaled = normal + damping * np.diag(np.diag(normal) + 1e-9)
        trial = logs - np.linalg.solve(scaled, jacobian.T @ error)
        better = residual(trial)
        if better @ better < error @ error:
            logs, error, damping = trial, better, damping / 3
        else:
            damping *= 4
    return np.asarray(np.exp(logs))


def validate(name: str, features: Array, anchors: Anchors) -> Validation:
    """Fits on all, then without each network and without each family."""
    fits: list[Array] = []

    def left_out(groups: Sequence[str]) -> tuple[float, float]:
        errors = np.zeros(len(anchors.millis))
        for group in dict.fromkeys(groups):
            test = np.array([item == group for item in groups])
            found = fit(features[~test], anchors.millis[~test])
            fits.append(found)
            errors[test] = anchors.millis[test] / (features[test] @ found) - 1
        return 100 * float(np.abs(errors).mean()), 100 * float(np.abs(errors).max())

    network = left_out(anchors.names)
    ranges = (np.min(fits, axis=0), np.max(fits, axis=0))
    family = left_out(anchors.families)
    return Validation(name, network, family, fit(features, anchors.millis), ranges)


def units(coefficients: Array) -> tuple[float, float, float, float]:
    """Coefficients (ms per Mcyc, MB, Mel, stage) as MHz, GB/s, ns an element, us a stage."""
    cycles, memory, activation, dispatch = (float(value) for value in coefficients)
    return 1e3 / cycles, 1 / memory, activation, 1e3 * dispatch


def report() -> dict[str, Any]:
    """All results, JSON-ready."""
    anchors = load()
    results = [validate(name, matrix, anchors) for name, matrix in models(anchors).items()]
    best = next(result for result in results if result.name == "four parameters")
    low, high = units(best.ranges[1]), units(best.ranges[0])
    used = CostParameters()
    shipped = (
        used.engine_hz / 1e6,
        used.ddr_bytes_per_second / 1e9,
        used.activation_seconds * 1e9,
        used.dispatch_seconds * 1e6,
    )
    keys = ("engine_mhz", "ddr_gb_per_second", "activation_ns", "dispatch_us")
    return {
        "anchors": len(anchors.names),
        "models": [{"name": r.name, "network": r.network, "family": r.family} for r in results],
        "fits": {
            r.name: dict(zip(keys, units(r.fit), strict=True)) for r in results if len(r.fit) == 4
        },
        "ranges": {
            key: sorted(pair) for key, pair in zip(keys, zip(low, high, strict=True), strict=True)
        },
        "shipped": dict(zip(keys, shipped, strict=True)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object")
    result = report()
    if parser.parse_args(arguments).json:
        print(json.dumps(result))
        return
    print(f"{result['anchors']} published anchors; error of the frames per second, mean / max %\n")
    print(f"{'model':52} {'without network':>16} {'without family':>16}")
    for model in result["models"]:
        cells = [f"{mean:.1f} / {most:.0f}" for mean, most in (model["network"], model["family"])]
        print(f"{model['name']:52} {cells[0]:>16} {cells[1]:>16}")
    print(f"\n{'':52} {'f MHz':>8} {'BW GB/s':>8} {'c ns':>8} {'t us':>8}")
    rows = {f"fit: {name}": values for name, values in result["fits"].items()}
    rows["used by blobsmith.cost"] = result["shipped"]
    for name, values in rows.items():
        mhz, bandwidth, activation, dispatch = values.values()
        print(f"{name:52} {mhz:8.0f} {bandwidth:8.2f} {activation:8.1f} {dispatch:8.1f}")
    spans = [f"{low:.4g} to {high:.4g}" for low, high in result["ranges"].values()]
    print("range over the fits without one network: " + ", ".join(spans))


if __name__ == "__main__":
    main()
