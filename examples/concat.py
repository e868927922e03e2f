"""The pictures of three cameras in one: left, colour and right.

blobsmith build concat -o concat.blob
python examples/concat.py                    an OAK camera
python examples/concat.py --host sample      no camera: a sample for its frames, the blob emulated
"""

import argparse

import depthai as dai

from blobsmith.oak.decode import outputs_to_frames
from blobsmith.oak.host import host_pipeline
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

SOCKETS = {
    "img1": dai.CameraBoardSocket.CAM_B,
    "img2": dai.CameraBoardSocket.CAM_A,
    "img3": dai.CameraBoardSocket.CAM_C,
}

parser = argparse.ArgumentParser(description="three cameras of an OAK in one picture")
parser.add_argument("blob", nargs="?", default="concat.blob")
parser.add_argument("--host", metavar="SOURCE", help="no camera: 'sample', a video, a folder")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

concat = open_artifact(args.blob)
_, _, height, width = concat.inputs[0].shape

with (
    # Only this line knows whether there is a camera.
    host_pipeline(args.host) if args.host else dai.Pipeline() as pipeline,
    open_sink(args.output) as sink,
):
    network = pipeline.create(dai.node.NeuralNetwork)
    network.setBlobPath(args.blob)
    for name, socket in SOCKETS.items():
        camera = pipeline.create(dai.node.Camera).build(socket)
        frames = camera.requestOutput((width, height), dai.ImgFrame.Type.BGR888p)
        frames.link(network.inputs[name])
    results = network.out.createOutputQueue(maxSize=4, blocking=False)

    pipeline.start()
    while pipeline.isRunning():
        pictures = outputs_to_frames(results.get(), concat)
        if not sink.write(pictures["output"]):
            break
