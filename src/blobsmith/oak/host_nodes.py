"""Host nodes that stand in for DepthAI v3's Script and NeuralNetwork.

They have the methods of the real ones that a pipeline of this kind uses, under the same names, so
that code cannot tell the difference.
"""

# ruff: noqa: N802, N815 - methods and parameters have the names of DepthAI's own
from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import depthai as dai

from ..errors import UsageError
from ..packaging.archive_config import frame_type
from ..runtime.engines import Engine
from .host_source import HostState
from .messages import input_array, tensor_message

QUEUE_SIZE = 4

_ANY = [dai.Node.DatatypeHierarchy(dai.DatatypeEnum.Buffer, True)]
_TENSORS = [dai.Node.DatatypeHierarchy(dai.DatatypeEnum.NNData, True)]


class Ports(Mapping[str, Any]):
    """A node's inputs or outputs by name, made when first asked for, as DepthAI's maps do."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make
        self._ports: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._ports:
            self._ports[name] = self._make(name)
        return self._ports[name]

    def __contains__(self, name: object) -> bool:
        return name in self._ports  # Mapping's own would ask for the item, and so make it

    def __iter__(self) -> Iterator[str]:
        return iter(self._ports)

    def __len__(self) -> int:
        return len(self._ports)


class HostScript(dai.node.ThreadedHostNode):
    """Stands in for `dai.node.Script`: runs the script's text in this process.

    The script sees `node` with `io`, `inputs`, `outputs` and the log methods, and DepthAI's message
    classes by their bare names, as on the device.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inputs = Ports(lambda name: self.createInput(name, "inputs", types=_ANY))
        self.outputs = Ports(
            lambda name: self.createOutput(name, "outputs", possibleDatatypes=_ANY)
        )
        self._text, self._name = "", "<script>"

    def build(self, state: HostState) -> Any:
        """Takes the pipeline's state."""
        self._state = state
        return self

    @property
    def io(self) -> dict[str, Any]:
        """Inputs and outputs together."""
        return {**self.inputs, **self.outputs}

    def setScript(self, script: str, name: str = "") -> None:
        """As `dai.node.Script.setScript`."""
        self._text, self._name = script, name or "<script>"

    def setProcessor(self, processor: Any) -> None:
        """As `dai.node.Script.setProcessor`; there is one processor here."""

    def run(self) -> None:
        """Runs the text until it ends or a queue closes."""
        names = ("ImgFrame", "NNData", "Buffer", "CameraControl", "ImageManipConfig")
        scope: dict[str, Any] = {name: getattr(dai, name) for name in names}
        scope.update(node=self, time=time, __name__="__main__")
        try:
            exec(compile(self._text, self._name, "exec"), scope)
        except dai.MessageQueue.QueueException:
            return
        except Exception as error:
            self._state.fail(UsageError(f"the Script node failed: {error}", where=self._name))
            self.stopPipeline()


class HostNeuralNetwork(dai.node.ThreadedHostNode):
    """Stands in for `dai.node.NeuralNetwork`: the blob on the emulator, or the ONNX in FP32."""

    def __init__(self) -> None:
        super().__init__()
        self.input = self.createInput("in", queueSize=QUEUE_SIZE, types=_ANY)
        self.inputs = Ports(self._make_input)
        self.out = self.createOutput("out", possibleDatatypes=_TENSORS)
        self.passthrough = self.createOutput("passthrough", possibleDatatypes=_ANY)
        self.passthroughs = Ports(
            lambda name: self.createOutput(name, "passthroughs", possibleDatatypes=_ANY)
        )
        self._engine: Engine | None = None
        self._threads = 2
        self._kept: dict[str, Any] = {}

    def build(self, state: HostState, open_model: Callable[[Any, int | None], Engine]) -> Any:
        """Takes the pipeline's state and what makes an engine of a model."""
        self._state, self._open_model = state, open_model
        self._state.last_numbers[id(self)] = -1
        return self

    def _make_input(self, name: str) -> Any:
        # A host node's inputs do not wait unless told so; the real network's do.
        return self.createInput(
            name, "inputs", queueSize=QUEUE_SIZE, types=_ANY, waitForMessage=True
        )

    def setBlob(self, blob: Any) -> None:
        """As `dai.node.NeuralNetwork.setBlob`: a `dai.OpenVINO.Blob` or a path."""
        self._engine = self._open_model(blob, None)

    setBlobPath = setBlob
    setModelPath = setBlob

    def setNNArchive(self, nnArchive: Any, numShaves: int | None = None) -> None:
        """As `dai.node.NeuralNetwork.setNNArchive`."""
        self._engine = self._open_model(nnArchive, numShaves)

    def setNumInferenceThreads(self, numThreads: int) -> None:
        """As in DepthAI; the emulator runs one frame at a time."""
        self._threads = numThreads

    def getNumInferenceThreads(self) -> int:
        """As in DepthAI."""
        return self._threads

    def setNumShavesPerInferenceThread(self, numShavesPerThread: int) -> None:
        """As in DepthAI; without effect here."""

    def setNumNCEPerInferenceThread(self, numNCEPerThread: int) -> None:
        """As in DepthAI; without effect here."""

    def setNumPoolFrames(self, numFrames: int) -> None:
        """As in DepthAI; without effect here."""

    def check_links(self) -> None:
        """Looks, before the pipeline starts, for what would make a device wait for ever.

        Raises:
            UsageError: no model, a named input that the model does not have, or one without link.
        """
        if self._engine is None:
            raise UsageError("the NeuralNetwork has no model", remedy="nn.setBlobPath(...)")
        names = [spec.name for spec in self._engine.inputs]
        unknown = sorted(set(self.inputs) - set(names))
        if unknown:
            raise UsageError(
                f"the model has no input {unknown[0]!r}",
                remedy=f"its inputs are {', '.join(names)}",
            )
        if not self.inputs:
            return
        missing = [name for name in names if name not in self.inputs]
        if missing:
            raise UsageError(
                f"nothing is linked to the model's input {missing[0]!r}",
                remedy=f"output.link(nn.inputs[{missing[0]!r}])",
            )

    def run(self) -> None:
        """One result for each set of input messages."""
        try:
            while self.mainLoop():
                self._step()
        except dai.MessageQueue.QueueException:
            return
        except Exception as error:
            self._state.fail(error)
            self.stopPipeline()

    def _step(self) -> None:
        assert self._engine is not None
        specs = self._engine.inputs
        if self.inputs:
            messages = {spec.name: self._next(spec.name) for spec in specs}
        else:
            messages = dict.fromkeys([spec.name for spec in specs], self.input.get())
        arrays = {
            spec.name: input_array(messages[spec.name], spec, frame_type(spec)) for spec in specs
        }
        self._state.busy.add(id(self))
        result = self._engine.run(arrays)
        self._state.notes.update({str(w): None for w in getattr(result, "warnings", ())})
        number = max(
            message.getSequenceNum() for name, message in messages.items() if name not in self._kept
        )
        self.out.send(tensor_message(dict(result), number))
        self.passthrough.send(messages[specs[0].name])
        for name, output in self.passthroughs.items():
            output.send(messages[name])
        self._state.last_numbers[id(self)] = number
        self._state.activity += 1
        self._state.busy.discard(id(self))

    def _next(self, name: str) -> Any:
        port = self.inputs[name]
        if not port.getReusePreviousMessage():
            return port.get()
        newest = port.tryGet() if name in self._kept else port.get()
        if newest is not None:
            self._kept[name] = newest
        return self._kept[name]
