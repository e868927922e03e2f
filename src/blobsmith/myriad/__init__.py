"""The MyriadX compiler: its toolchain, the native binding, and compilation in a worker."""

from .compile import RefusedError, compile_onnx, compile_variants
from .options import DEFAULT_SHAVES, CompileOptions

__all__ = ["DEFAULT_SHAVES", "CompileOptions", "RefusedError", "compile_onnx", "compile_variants"]
