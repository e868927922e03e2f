"""What is asked of DepthAI, as plain values: the same for v3, v2 and a pipeline without a camera.

Each input gets one of

* frames of a camera, requested in exactly the size and type that the blob wants: with one picture
  the colour camera; with three left, colour and right; of two pictures the first gets this frame
  and the second the one before (that is what `diff` compares);
* a value that is sent once and used again for every frame: a mean, a scale, a background picture;
* where the frames come from the host, an array that the host makes of each frame (a vector).

Frames of one camera at several moments come through a Script node that keeps them, because two
messages that belong together must not be torn apart: a network's named inputs keep only the
newest message, each for itself, and `diff` would now and then compare a frame with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tensors import TensorSpec

if TYPE_CHECKING:
    from ..runtime.feed import InputFeed

_WORDS = {"CAM_A": "the colour camera", "CAM_B": "the left camera", "CAM_C": "the right camera"}


@dataclass(frozen=True)
class FrameRequest:
    """Frames asked of one camera.

    Attributes:
        socket: "CAM_A" to "CAM_J".
        width: of the frames, exactly the blob's.
        height: likewise.
        frame_type: name of a `dai.ImgFrame.Type`: "BGR888p", "GRAY8", ...
    """

    socket: str
    width: int
    height: int
    frame_type: str


@dataclass(frozen=True)
class FrameLink:
    """An input that gets frames.

    Attributes:
        input: its name.
        request: what is asked of which camera.
        back: 0 this frame, 1 the one before, ...
    """

    input: str
    request: FrameRequest
    back: int = 0

    @property
    def why(self) -> str:
        """One clause for the user."""
        camera = _WORDS.get(self.request.socket, self.request.socket)
        moment = {0: "", 1: ", one frame before"}.get(self.back, f", {self.back} frames before")
        return f"{camera}{moment}"


@dataclass(frozen=True)
class Constant:
    """An input whose value is sent once.

    Attributes:
        input: its name.
        spec: of the input.
        data: the value in the input's dtype, little-endian, in the order of its shape.
        why: one clause for the user.
    """

    input: str
    spec: TensorSpec
    data: bytes
    why: str


@dataclass(frozen=True)
class HostTensor:
    """An input that is no picture and gets an array of its own with every frame of the host.

    Attributes:
        input: its name.
        spec: of the input.
        feed: how the array is made of the frames, as in a run on the emulator.
    """

    input: str
    spec: TensorSpec
    feed: InputFeed


@dataclass(frozen=True)
class HistoryScript:
    """A Script node that hands on frames of one camera at several moments, in step.

    Attributes:
        request: of the camera whose frames come in at "in".
        links: the inputs served; each has an output of the script under its own name.
    """

    request: FrameRequest
    links: tuple[FrameLink, ...]

    @property
    def text(self) -> str:
        """The script, for the device's Python."""
        keep = 1 + max(link.back for link in self.links)
        sends = "\n".join(
            f"    node.io[{link.input!r}].send(frames[min({link.back}, len(frames) - 1)])"
            for link in self.links
        )
        return (
            "frames = []\n"
            "while True:\n"
            "    frames.insert(0, node.io['in'].get())\n"
            f"    del frames[{keep}:]\n"
            f"{sends}\n"
        )


@dataclass(frozen=True)
class PipelinePlan:
    """What is asked of DepthAI.

    Attributes:
        inputs: specs of the blob's inputs.
        outputs: specs of its outputs, with their decoding.
        direct: inputs linked to a camera.
        scripts: Script nodes for inputs of several moments.
        constants: inputs whose value is sent once.
        tensors: inputs that the host fills for every frame.
        shaves: the blob is compiled for.
        threads: inference threads.
        fps: asked of the cameras.
        notes: what the user should be told.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    direct: tuple[FrameLink, ...]
    scripts: tuple[HistoryScript, ...]
    constants: tuple[Constant, ...]
    tensors: tuple[HostTensor, ...]
    shaves: int
    threads: int
    fps: float
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> tuple[FrameLink, ...]:
        """All inputs that get frames, in the order of the inputs."""
        order = [spec.name for spec in self.inputs]
        links = [*self.direct, *(link for script in self.scripts for link in script.links)]
        return tuple(sorted(links, key=lambda link: order.index(link.input)))

    @property
    def requests(self) -> tuple[FrameRequest, ...]:
        """What is asked of the cameras, each request once."""
        wanted = [link.request for link in self.direct]
        wanted += [script.request for script in self.scripts]
        return tuple(dict.fromkeys(wanted))

    @property
    def sockets(self) -> tuple[str, ...]:
        """The cameras that are needed."""
        return tuple(dict.fromkeys(request.socket for request in self.requests))

    @property
    def reasons(self) -> tuple[str, ...]:
        """For each input, in their order, a clause that says what it gets."""
        why = {link.input: link.why for link in self.frames}
        why.update({constant.input: constant.why for constant in self.constants})
        why.update({tensor.input: tensor.feed.why for tensor in self.tensors})
        return tuple(why[spec.name] for spec in self.inputs)

    def describe(self) -> tuple[str, ...]:
        """One line for each input, for the user."""
        pairs = zip(self.inputs, self.reasons, strict=True)
        return tuple(f"{spec.name}: {why}" for spec, why in pairs)
