"""Fixtures shared by all rooms: the real compiler, and blobs made with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from tests.browsers import browser, open_page  # noqa: F401 - fixtures

# Machines are noisy: no test asserts how long an example takes. The same examples every time, so
# that a change is judged by itself; `pytest --hypothesis-profile explore` looks for new ones.
settings.register_profile("blobsmith", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("blobsmith")


@pytest.fixture(scope="session")
def toolchain() -> Path:
    """The installed compiler's directory; `make test` has installed it."""
    from blobsmith.myriad.toolchain import require

    return require()


@pytest.fixture(scope="session")
def compile_blob(toolchain: Path) -> Callable[..., bytes]:
    """``compile_blob(proto_or_bytes, shaves=6, hardware=True, inputs="u8"|{name: dtype})``."""
    from blobsmith.myriad import CompileOptions, compile_onnx

    def compile_(
        model: object,
        *,
        shaves: int = 6,
        hardware: bool = True,
        inputs: str | Mapping[str, str] = "u8",
        outputs: Mapping[str, str] | None = None,
        extra: tuple[tuple[str, str], ...] = (),
    ) -> bytes:
        import onnx

        data = model if isinstance(model, bytes) else model.SerializeToString()  # type: ignore[attr-defined]
        if isinstance(inputs, str):
            names = [value.name for value in onnx.load_model_from_string(data).graph.input]
            inputs = dict.fromkeys(names, inputs)
        options = CompileOptions(
            shaves=shaves, hardware=hardware, inputs=inputs, outputs=outputs or {}, extra=extra
        )
        return compile_onnx(data, options)

    return compile_
