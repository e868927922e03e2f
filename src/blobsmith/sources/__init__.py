"""Where a Model comes from: a PyTorch function, an ONNX file, or a name of the zoo.

Importing this imports neither torch nor onnx.
"""

from .loading import load
from .onnx_file import load_onnx
from .outputs import flatten_outputs

__all__ = ["flatten_outputs", "load", "load_onnx"]
