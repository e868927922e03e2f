"""Finds edges in what the camera sees, on the camera's chip.

blobsmith build edge -o edge.blob
python examples/edge.py                    an OAK camera
python examples/edge.py --host sample      no camera: a sample for its frames, the blob emulated
"""

import argparse

import depthai as dai

from blobsmith.oak.decode import outputs_to_frames
from blobsmith.oak.host import host_pipeline
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

parser = argparse.ArgumentParser(description="edges on an OAK camera")
parser.add_argument("blob", nargs="?", default="edge.blob")
parser.add_argument("--host", metavar="SOURCE", help="no camera: 'sample', a video, a folder")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

edge = open_artifact(args.blob)
_, _, height, width = edge.inputs[0].shape

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
        pictures = outputs_to_frames(results.get(), edge)
        if not sink.write(pictures["output"]):
            break
