"""Builds for the report's tests, each made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from blobsmith.builder import BuildResult
    from blobsmith.report import ReportData


@cache
def _built(name: str, shaves: int = 6) -> BuildResult:
    from blobsmith.builder import build

    return build(name, use_cache=False, shaves=shaves)


@pytest.fixture(scope="session")
def built(toolchain: object) -> Callable[[str], BuildResult]:
    """A zoo model's fresh build, made once."""
    return _built


@pytest.fixture(scope="session")
def collected(toolchain: object) -> Callable[[str], ReportData]:
    """A zoo model's report data, made once."""
    from blobsmith.report import collect

    return cache(lambda name: collect(_built(name)))
