"""Finds edges in what the camera sees, on the camera's chip (DepthAI v2).

blobsmith build edge -o edge.blob
python examples/v2/edge.py
"""

import argparse

from blobsmith.oak import v2
from blobsmith.oak.decode import outputs_to_frames
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="edges on an OAK camera")
parser.add_argument("blob", nargs="?", default="edge.blob")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

edge = open_artifact(args.blob)

with open_sink(args.output) as sink:
    for result in v2.results(edge):
        pictures = outputs_to_frames(result.nn_data, edge)
        if not sink.write(pictures["output"]):
            break
