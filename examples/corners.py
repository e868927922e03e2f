"""Edges and corners of what the camera sees: one network with two outputs.

blobsmith build corners -o corners.blob
python examples/corners.py                    an OAK camera
python examples/corners.py --host sample      no camera: a sample for its frames, the blob emulated
"""

import argparse

import depthai as dai
import numpy as np

from blobsmith.oak.decode import outputs_to_frames
from blobsmith.oak.host import host_pipeline
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="edges and corners on an OAK camera")
parser.add_argument("blob", nargs="?", default="corners.blob")
parser.add_argument("--host", metavar="SOURCE", help="no camera: 'sample', a video, a folder")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

corners = open_artifact(args.blob)
_, _, height, width = corners.inputs[0].shape

with (
    # Only this line knows whether there is a camera.
    host_pipeline(args.host) if args.host else dai.Pipeline() as pipeline,
    open_sink(args.output) as sink,
):
    camera = pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_A)
    frames = camera.requestOutput((width, height), dai.ImgFrame.Type.BGR888p)

    network = pipeline.create(dai.node.NeuralNetwork)
    network.setBlobPath(args.blob)
    frames.link(network.input)
    results = network.out.createOutputQueue(maxSize=4, blocking=False)

    pipeline.start()
    while pipeline.isRunning():
        pictures = outputs_to_frames(results.get(), corners)
        if not sink.write(np.hstack([pictures["edges"], pictures["corners"]])):
            break
