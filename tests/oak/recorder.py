"""A stand-in for DepthAI's pipeline on a camera, which records calls and checks every one.

Real classes are asked whether they have the method or property, whether the bindings and the stubs
take the arguments, and what comes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import depthai as dai

from blobsmith.oak.host_source import HostSource, HostState

from .signatures import overloads, property_type, resolve, stub_refuses


@dataclass(frozen=True)
class Call:
    """One call at the seam: on which object, which method, with what."""

    target: str
    method: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


class Recorder:
    """Stands in for an object of one of DepthAI's classes."""

    records = True

    def __init__(self, real_class: type, name: str, log: list[Call]) -> None:
        self.real_class, self.name, self.log = real_class, name, log
        self._children: dict[str, Any] = {}

    def __repr__(self) -> str:
        return self.name

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.real_class, name)  # an AttributeError is a mistake of the library
        if isinstance(member, property):
            if name not in self._children:
                kind = resolve(property_type(self.real_class, name))
                self._children[name] = Recorder(kind, f"{self.name}.{name}", self.log)
            return self._children[name]
        return lambda *args, **kwargs: self._call(name, args, kwargs)

    def __getitem__(self, name: str) -> Any:
        kind = {"InputMap": dai.Node.Input, "OutputMap": dai.Node.Output}[self.real_class.__name__]
        if name not in self._children:
            self._children[name] = Recorder(kind, f"{self.name}[{name!r}]", self.log)
        return self._children[name]

    def _call(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        known = overloads(self.real_class, method)
        assert known, f"the signature of {self.real_class.__name__}.{method} was not understood"
        reasons = [signature.refuses(args, kwargs) for signature in known]
        assert "" in reasons, f"{self.real_class.__name__}.{method}: {reasons}"
        refusal = stub_refuses(self.real_class, method, args, kwargs)
        assert not refusal, f"stub of {self.real_class.__name__}.{method}: {refusal}"
        self.log.append(Call(self.name, method, args, tuple(sorted(kwargs.items()))))
        if method == "createOutputQueue" and self.name in getattr(self.log, "queues", {}):
            return self.log.queues[self.name]  # type: ignore[attr-defined]
        returned = resolve(known[reasons.index("")].returns)
        if returned is None or returned is self.real_class:
            return self
        return Recorder(returned, f"{self.name}.{method}()", self.log)


class RecordingPipeline(Recorder):
    """`dai.Pipeline` on a camera: creates recorders of the nodes it is asked for."""

    def __init__(self, log: list[Call]) -> None:
        super().__init__(dai.Pipeline, "pipeline", log)
        self.nodes: list[Recorder] = []
        self.running = False

    def create(self, kind: type) -> Any:
        assert issubclass(kind, dai.Node)
        if kind is HostSource:
            return HostFrames(self.log)
        count = sum(node.real_class is kind for node in self.nodes)
        name = (
            f"{kind.__name__}{count}"
            if kind in (dai.node.Camera, dai.node.Script)
            else (kind.__name__)
        )
        self.nodes.append(Recorder(kind, name, self.log))
        return self.nodes[-1]

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def wait(self) -> None:
        assert not self.running

    def isRunning(self) -> bool:  # noqa: N802 - DepthAI's name
        return self.running


class HostFrames:
    """Stands in for `HostSource`, whose real outputs cannot be linked to recorders."""

    def __init__(self, log: list[Call]) -> None:
        self.log = log

    def build(self, frames: Any, state: HostState, end: bool) -> HostFrames:
        self.log.append(Call("HostSource", "build", (frames, state, end), ()))
        return self

    def frames_of(self, size: tuple[int, int], kind: Any, resize: Any) -> Recorder:
        self.log.append(Call("HostSource", "frames_of", (size, kind), ()))
        return Recorder(dai.Node.Output, "HostSource.frames", self.log)

    def tensor_of(self, spec: Any, feed: Any) -> Recorder:
        self.log.append(Call("HostSource", "tensor_of", (spec.name,), ()))
        return Recorder(dai.Node.Output, f"HostSource.{spec.name}", self.log)


class ScriptedQueue:
    """A queue that gives what a test has written down: messages, None for a time-out, errors."""

    def __init__(self, *entries: Any) -> None:
        self.entries = deque(entries)
        self.sent: list[Any] = []

    def get(self, timeout: timedelta) -> Any:
        entry = self.entries.popleft() if self.entries else None
        if isinstance(entry, BaseException):
            raise entry
        return entry() if isinstance(entry, Callable) else entry  # type: ignore[arg-type]

    def has(self) -> bool:
        return bool(self.entries)

    def send(self, message: Any) -> None:
        self.sent.append(message)
