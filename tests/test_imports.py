"""What loads when: `import blobsmith` and `--help` stay light, and imports go along the road."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "onnx", "onnxruntime", "onnxsim", "torch", "cv2", "kornia", "depthai")


def loaded_by(code: str) -> set[str]:
    """Heavy modules that a fresh interpreter has loaded after `code`."""
    listing = f"import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{listing}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import blobsmith",
        "import blobsmith.blob; from blobsmith.blob import Blob",
        "import blobsmith.cli.app",
        "from blobsmith import zoo; zoo.get('blur')",
        "import blobsmith.builder, blobsmith.cache",
    ],
)
def test_nothing_heavy_loads(code: str) -> None:
    assert loaded_by(code) == set()


def test_the_road_inside_a_worker_does_not_load_torch() -> None:
    code = "import blobsmith.road, blobsmith.graph.simplify, blobsmith.graph.rewrites.apply"
    assert "torch" not in loaded_by(code)


def test_public_names_resolve() -> None:
    import blobsmith

    for name in blobsmith.__all__:
        assert getattr(blobsmith, name) is not None
    assert callable(blobsmith.build)


def test_build_stays_a_function_after_its_module_is_imported() -> None:
    code = "import blobsmith.builder, blobsmith; print(callable(blobsmith.build))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
