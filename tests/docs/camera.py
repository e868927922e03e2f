"""A camera's pipeline for the documentation: every call is held against DepthAI's own classes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import depthai as dai

from blobsmith.oak import v2
from tests.oak.recorder import Call, RecordingPipeline


class _Pipeline(RecordingPipeline):
    """A recording pipeline that a `with` block opens, and that ends before its first frame."""

    def __init__(self) -> None:
        self.made: list[Call] = []
        super().__init__(self.made)

    def __enter__(self) -> _Pipeline:
        return self

    def __exit__(self, *_: Any) -> None:
        assert self.nodes, "the pipeline has no node"

    def isRunning(self) -> bool:  # noqa: N802 - DepthAI's name
        return False


@contextlib.contextmanager
def scripted_camera() -> Iterator[None]:
    """`dai.Pipeline` stands for one on a camera, in which unknown calls are errors."""
    with mock.patch.object(dai, "Pipeline", _Pipeline):
        yield


@contextlib.contextmanager
def scripted_v2() -> Iterator[None]:
    """A camera of DepthAI v2 that sends nothing; calls must fit the real signature."""
    silent = mock.create_autospec(v2.results, return_value=iter(()))
    with mock.patch.object(v2, "results", silent):
        yield
