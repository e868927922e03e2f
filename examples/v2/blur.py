"""Blurs what the camera sees, on the camera's chip (DepthAI v2).

blobsmith build blur -o blur.blob
python examples/v2/blur.py
"""

import argparse

from blobsmith.oak import v2
from blobsmith.oak.decode import outputs_to_frames
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="blur on an OAK camera")
parser.add_argument("blob", nargs="?", default="blur.blob")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

blur = open_artifact(args.blob)

with open_sink(args.output) as sink:
    for result in v2.results(blur):
        pictures = outputs_to_frames(result.nn_data, blur)
        if not sink.write(pictures["output"]):
            break
