"""Runs under DepthAI v2: builds a device graph for each blob given and prints all as JSON.

python graphs.py '{"blur": {"path": "blur.blob", "feeds": {}}}'
"""

from __future__ import annotations

import json
import sys
from typing import Any

import depthai as dai

from blobsmith.errors import BlobsmithError
from blobsmith.oak import v2
from blobsmith.oak.planner import plan_pipeline
from blobsmith.packaging.artifact import open_artifact


def graph(path: str, feeds: dict[str, str]) -> dict[str, Any]:
    """One blob's serialised pipeline, its assets, and the messages for its constants."""
    artifact = open_artifact(path)
    blob = artifact.blob()
    plan = plan_pipeline(
        artifact.inputs, artifact.outputs, shaves=blob.shaves, feeds=feeds, fp16_frames=True
    )
    made = v2.build(plan, blob.data, dai).serializeToJson()
    for constant in plan.constants:
        v2.constant_message(constant, dai)
    storage = bytes(made["assetStorage"])
    assets = {
        name: storage[entry["offset"] : entry["offset"] + entry["size"]].hex()
        for name, entry in made["assets"]["map"].items()
    }
    return {"pipeline": made["pipeline"], "assets": assets}


def first_result(path: str) -> str:
    """What the helper says where no camera is attached."""
    try:
        next(v2.results(open_artifact(path)))
    except BlobsmithError as error:
        return f"{type(error).__name__}: {error.what}"
    return "a result"


def main() -> None:
    """Prints the JSON; the version and what else was imported with it."""
    wanted = json.loads(sys.argv[1])
    graphs = {name: graph(**entry) for name, entry in wanted.items()}
    print(
        json.dumps(
            {
                "version": dai.__version__,
                "graphs": graphs,
                "no camera": first_result(next(iter(wanted.values()))["path"]),
            }
        )
    )


if __name__ == "__main__":
    main()
