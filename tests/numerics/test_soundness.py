"""The law: no tensor ever leaves its proven bounds, in FP32 and in FP16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blobsmith.numerics.faithful import given_name, half_model
from blobsmith.numerics.intervals import RULES, analyse
from blobsmith.numerics.network import Network, read
from blobsmith.numerics.seen import Tapped

from .random_graphs import OPS, SPECS, build, feeds

NAMES = sorted(OPS)


def violations(network: Network, seed: int, half: bool) -> list[str]:
    """Tensors that leave their bounds on some input."""
    found = analyse(network, SPECS, half=half)
    names = [o for node in network.steps() for o in node.outputs if o]
    proto = half_model(network) if half else network.proto
    session = Tapped(proto, names)
    bad = []
    for feed in feeds(seed):
        given_feed = {given_name(network, n): v for n, v in feed.items()} if half else feed
        for name, values in session.run(given_feed, names).items():
            value = np.asarray(values, np.float64)
            low, high = found[name].full(value.shape)
            nan = np.isnan(value)
            if nan.any() and not found[name].nan:
                bad.append(f"{name}: NaN")
            if not np.all(nan | ((value >= low) & (value <= high))):
                bad.append(
                    f"{name} ({network.producers[name].op}) leaves {low.min()}..{high.max()}"
                )
    return bad


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=10),
    seed=st.integers(0, 2**31),
)
def test_no_tensor_leaves_its_bounds(names: list[str], seed: int) -> None:
    network = read(build(names, seed))
    assert not violations(network, seed, half=False)
    assert not violations(network, seed, half=True)


@pytest.mark.parametrize("name", NAMES)
def test_no_tensor_leaves_its_bounds_behind_each_operator(name: str) -> None:
    """Each operator at least once, behind and in front of a product and a root."""
    for seed in range(3):
        network = read(build([name, "Mul:scalar", name, "Sqrt", name], seed))
        assert not violations(network, seed, half=False)
        assert not violations(network, seed, half=True)


def test_the_generator_reaches_most_operators_of_the_registry() -> None:
    made = {n.op_type for name in NAMES for n in build([name] * 4, 1).graph.node}
    untested = {op for op in RULES if "." not in op} - made
    assert len(untested) < 35
    assert len(made & set(RULES)) > 95
