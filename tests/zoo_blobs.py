"""The zoo's models at small sizes, compiled for every shave count, each once in a test run."""

from __future__ import annotations

from functools import cache

from blobsmith import zoo
from blobsmith.myriad import CompileOptions, compile_variants
from blobsmith.packaging.manifest import Manifest
from blobsmith.zoo import ZooEntry

from .zoo import exported

ALL_SHAVES = tuple(range(1, 17))


def entry(name: str) -> ZooEntry:
    """The zoo entry at its small size; wide enough that rows are not all of one vector."""
    return zoo.get(name, 256 if name == "cosine" else (24, 40))


@cache
def graph(name: str) -> bytes:
    """Its ONNX, by the tutorial's recipe."""
    return exported.recipe(entry(name))


@cache
def blobs(name: str) -> dict[int, bytes]:
    """shaves -> blob."""
    inputs = {spec.name: spec.dtype for spec in entry(name).inputs}
    variants = [CompileOptions(shaves=shaves, inputs=inputs) for shaves in ALL_SHAVES]
    return dict(zip(ALL_SHAVES, compile_variants(graph(name), variants), strict=True))


def manifest(name: str, data: bytes, kind: str, shaves: tuple[int, ...] = (6,)) -> Manifest:
    """The manifest that a build of this model would write for `data`."""
    made = entry(name)
    return Manifest.describing(
        data,
        kind=kind,  # type: ignore[arg-type]
        shaves=shaves,
        origin=f"zoo:{name}",
        inputs=made.inputs,
        outputs=made.outputs,
    )
