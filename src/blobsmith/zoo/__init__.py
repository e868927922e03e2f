"""Ready functions, one file each: written as a user would write them, and used as examples.

entry = blobsmith.zoo.get("blur")
module = entry.factory()            # torch is imported here
entry.inputs, entry.outputs         # TensorSpecs with colour order and decoding
"""

from __future__ import annotations

from ..errors import SourceError
from .catalogue import RECIPES, Size, ZooEntry, entry

__all__ = ["ZooEntry", "get", "names"]


def names() -> tuple[str, ...]:
    """All zoo names, in the order in which they are best read."""
    return tuple(RECIPES)


def get(name: str, size: int | Size | None = None) -> ZooEntry:
    """One ready function.

    Args:
        name: one of `names()`.
        size: (height, width) or the side of a square; for `cosine` the vectors' length; None:
            the default, 300x300 (diff 720x720, cosine 256).

    Raises:
        SourceError: no such name.
        UsageError: the function is not defined at that size.
    """
    if name not in RECIPES:
        import difflib

        close = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise SourceError(
            f"there is no zoo model {name!r}", remedy=f"{hint}the zoo has: {', '.join(RECIPES)}"
        )
    return entry(name, size)
