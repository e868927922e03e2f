"""Edges and corners of what the camera sees: one network, two outputs (DepthAI v2).

blobsmith build corners -o corners.blob
python examples/v2/corners.py
"""

import argparse

import numpy as np

from blobsmith.oak import v2
from blobsmith.oak.decode import outputs_to_frames
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="edges and corners on an OAK camera")
parser.add_argument("blob", nargs="?", default="corners.blob")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

corners = open_artifact(args.blob)

with open_sink(args.output) as sink:
    for result in v2.results(corners):
        pictures = outputs_to_frames(result.nn_data, corners)
        if not sink.write(np.hstack([pictures["edges"], pictures["corners"]])):
            break
