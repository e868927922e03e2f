"""Outputs that hold a result times a factor, remembered in the .onnx file itself.

`check --fix` writes an .onnx whose output may be scaled because it cannot fit in FP16. The factor
travels in the file's metadata, so that a build of the file records it in its manifest.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from ..errors import SourceError
from ..model import Model

if TYPE_CHECKING:
    import onnx

FACTORS = "blobsmith.factors"


def with_factors(model: Model) -> bytes:
    """The ONNX of a model with the factors of its outputs in the file's metadata.

    `load_onnx` reads them again, so that a build of the file records them in its manifest.
    """
    import onnx

    factors = {s.name: s.decoding.factor for s in model.outputs if s.decoding.factor != 1.0}
    if not factors:
        return model.onnx_bytes
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    kept = [p for p in proto.metadata_props if p.key != FACTORS]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=FACTORS, value=json.dumps(factors))
    return bytes(proto.SerializeToString())


def read_factors(proto: onnx.ModelProto, name: str) -> dict[str, float]:
    """What `with_factors` has written.

    Raises:
        SourceError: something else stands there.
    """
    found: dict[str, float] = {}
    for prop in proto.metadata_props:
        if prop.key != FACTORS:
            continue
        try:
            found = {str(k): float(v) for k, v in json.loads(prop.value).items()}
        except (ValueError, TypeError, AttributeError):
            found = {"": math.nan}
        if not all(math.isfinite(v) and v > 0 for v in found.values()):
            raise SourceError(
                f"the metadata {FACTORS!r} of {name} cannot be read",
                remedy="make the file again with `blobsmith check --fix`",
            )
    return found
