"""Where blobsmith keeps what it downloads and builds on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """The user's cache directory for blobsmith; BLOBSMITH_CACHE overrides it."""
    given = os.environ.get("BLOBSMITH_CACHE")
    if given:
        return Path(given).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("blobsmith", appauthor=False))
