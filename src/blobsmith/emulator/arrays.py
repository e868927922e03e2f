"""The one type of what the emulator computes with."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
"""An array of any shape and element type."""
