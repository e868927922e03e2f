"""Shows what changed since the frame before (DepthAI v2).

A Script node on the camera keeps that frame; the library writes it.

blobsmith build diff -o diff.blob
python examples/v2/diff.py
"""

import argparse

from blobsmith.oak import v2
from blobsmith.oak.decode import outputs_to_frames
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="frame difference on an OAK camera")
parser.add_argument("blob", nargs="?", default="diff.blob")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

diff = open_artifact(args.blob)

with open_sink(args.output) as sink:
    for result in v2.results(diff, feeds={"img1": "color", "img2": "previous"}):
        pictures = outputs_to_frames(result.nn_data, diff)
        if not sink.write(pictures["output"]):
            break
