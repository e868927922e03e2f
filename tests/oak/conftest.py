"""Frames for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five pictures, each of one level, so that a frame can be known again."""
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((24, 40, 3), 40 * index, np.uint8))
    return folder
