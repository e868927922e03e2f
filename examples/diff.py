"""Shows what changed since the frame before: a Script node on the camera keeps that frame.

blobsmith build diff -o diff.blob
python examples/diff.py                    an OAK camera
python examples/diff.py --host sample      no camera: a sample for its frames, the blob emulated
"""

import argparse

import depthai as dai

from blobsmith.oak.decode import outputs_to_frames
from blobsmith.oak.host import host_pipeline
from blobsmith.packaging.artifact import open_artifact
from blobsmith.runtime.sinks import open_sink

KEEP_ONE_FRAME = """
previous = node.io['in'].get()
while True:
    frame = node.io['in'].get()
    node.io['img1'].send(frame)
    node.io['img2'].send(previous)
    previous = frame
"""

parser = argparse.ArgumentParser(description="frame difference on an OAK camera")
parser.add_argument("blob", nargs="?", default="diff.blob")
parser.add_argument("--host", metavar="SOURCE", help="no camera: 'sample', a video, a folder")
parser.add_argument("-o", "--output", default="window", help="a folder or video, not a window")
args = parser.parse_args()

diff = open_artifact(args.blob)
_, height, width = diff.inputs[0].shape

with (
    # Only this line knows whether there is a camera.
    host_pipeline(args.host) if args.host else dai.Pipeline() as pipeline,
    open_sink(args.output) as sink,
):
    camera = pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_A)
    frames = camera.requestOutput((width, height), dai.ImgFrame.Type.BGR888p)

    network = pipeline.create(dai.node.NeuralNetwork)
    network.setBlobPath(args.blob)
    script = pipeline.create(dai.node.Script)
    script.setScript(KEEP_ONE_FRAME)
    frames.link(script.inputs["in"])
    for name in ("img1", "img2"):
        # By default an input keeps only its newest message, and the pair would be torn.
        network.inputs[name].setBlocking(True)
        script.outputs[name].link(network.inputs[name])
    results = network.out.createOutputQueue(maxSize=4, blocking=False)

    pipeline.start()
    while pipeline.isRunning():
        pictures = outputs_to_frames(results.get(), diff)
        if not sink.write(pictures["output"]):
            break
