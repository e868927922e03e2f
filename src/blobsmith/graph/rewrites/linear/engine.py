"""What a convolution costs on the chip's engine, well enough to rank candidates without compiling.

The formula is that of docs/cost-model.md: a pass computes up to 256 / 2^m output channels while the
input channels are split over 2^m memory blocks, and the compiler takes the cheapest m. A stage that
is dispatched costs as much as 22 000 cycles, and an FP16 element in main memory about 0.3.
"""

from __future__ import annotations

import math

OVERHEAD = (0, 5, 11, 19, 31)
"""Cycles a pixel that a pass of mode m adds."""
STAGE = 31e-6 * 703e6
"""Dispatch of one stage, in cycles of the engine."""
ELEMENT = 2 / 4.73e9 * 703e6
"""Reading or writing one FP16 element of main memory, in cycles of the engine."""
MAX_KERNEL = 15
"""The largest kernel that the engine takes."""
MAX_STRIDE = 8
"""The largest stride that the engine takes."""


def cycles(inputs: int, outputs: int, taps: tuple[int, int], pixels: int) -> float:
    """Cycles of a dense convolution.

    Args:
        inputs: channels in.
        outputs: channels out.
        taps: kernel size along H and W.
        pixels: result pixels of one channel.
    """
    return pixels * min(
        math.ceil(outputs / (256 >> mode))
        * (math.ceil(inputs / (1 << mode)) * taps[0] * taps[1] + extra)
        for mode, extra in enumerate(OVERHEAD)
    )


def fits(taps: tuple[int, int], stride: int) -> bool:
    """Whether the engine takes the kernel; otherwise software computes it, at an unknown cost."""
    return max(taps) <= MAX_KERNEL and stride <= MAX_STRIDE
