"""Reading a file that the user named."""

from __future__ import annotations

from pathlib import Path

from ..errors import EnvironmentFault, SourceError


def read_file(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        SourceError: there is no such file.
        EnvironmentFault: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError(
            "there is no such file", where=str(path), remedy="build it: blobsmith build SOURCE"
        ) from None
    except OSError as error:
        raise EnvironmentFault(
            f"the file cannot be read: {error.strerror}", where=str(path)
        ) from error
