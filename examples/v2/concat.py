"""The pictures of three cameras in one: left, colour and right (DepthAI v2).

blobsmith build concat -o concat.blob
python examples/v2/concat.py
"""

import argparse

from blobsmith.oak import v2
from blobsmith.oak.decode import outputs_to_frames
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="three cameras of an OAK in one picture")
parser.add_argument("blob", nargs="?", default="concat.blob")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

concat = open_artifact(args.blob)

with open_sink(args.output) as sink:
    for result in v2.results(concat, feeds={"img1": "left", "img2": "color", "img3": "right"}):
        pictures = outputs_to_frames(result.nn_data, concat)
        if not sink.write(pictures["output"]):
            break
