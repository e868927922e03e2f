"""Every error blobsmith raises on purpose, as one tree.

Each error says *what* went wrong, *where* (file, node, operator, the user's own line) and the
*remedy*. The command line turns it into one message and the exit code of its branch:

    BlobsmithError
      ModelError (1)         the model or file is at fault
        SourceError            no such file, class or zoo name; a module that cannot be exported
        OperatorError          the compiler lacks an operator or refuses its form
        OpsetError             an opset that cannot be lowered without changing the result
        SimplifyError          simplification or a rewrite would have changed the result
        BlobError              a damaged, unknown or unexpected .blob
        PackageError           a damaged superblob or archive
        FrameError             frames that do not fit the model
      UsageError (2)         the command or call is wrong
      ToolchainError (3)     the compiler is missing or broken
      CheckFailed (4)        FP16 check or verification failed
      EnvironmentFault (5)   disk, permission, worker killed, no device
"""

from __future__ import annotations


class BlobsmithError(Exception):
    """Base of all errors: `what` happened, `where`, and the `remedy`.

    Args:
        what: one sentence, no trailing detail that belongs in `where`.
        where: file, node, operator or source line; empty if there is none to name.
        remedy: what the user can do about it; empty only if nothing can be done.
    """

    exit_code = 1
    code = "error"

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.remedy:
            parts.append(f"  remedy: {self.remedy}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.remedy))

    def to_dict(self) -> dict[str, str]:
        """The error as the `--json` output shows it."""
        return {"code": self.code, "what": self.what, "where": self.where, "remedy": self.remedy}


def _rebuild(cls: type[BlobsmithError], what: str, where: str, remedy: str) -> BlobsmithError:
    return cls(what, where=where, remedy=remedy)


class ModelError(BlobsmithError):
    """The model or file is at fault."""

    code = "model"


class SourceError(ModelError):
    """The source names nothing usable, or its module cannot be exported."""

    code = "source"


class OperatorError(ModelError):
    """The compiler lacks an operator, or refuses the form in which it is used."""

    code = "operator"


class OpsetError(ModelError):
    """The ONNX opset cannot be lowered to one the compiler reads correctly."""

    code = "opset"


class SimplifyError(ModelError):
    """A simplified or rewritten graph does not compute what the original does."""

    code = "simplify"


class BlobError(ModelError):
    """A .blob file is damaged, of an unknown version, or not what was compiled."""

    code = "blob"


class PackageError(ModelError):
    """A superblob or NN Archive is damaged or contradicts itself."""

    code = "package"


class FrameError(ModelError):
    """Frames are missing, unreadable, or do not fit the model's inputs."""

    code = "frames"


class UsageError(BlobsmithError):
    """The command line or the call is wrong."""

    exit_code = 2
    code = "usage"


class ToolchainError(BlobsmithError):
    """The MyriadX compiler is missing, damaged, or does not run on this platform."""

    exit_code = 3
    code = "toolchain"


class CheckFailed(BlobsmithError):
    """The FP16 check found the model broken, or the blob failed verification."""

    exit_code = 4
    code = "check"


class EnvironmentFault(BlobsmithError):
    """Disk, permission, memory, a killed worker, or a missing device or package."""

    exit_code = 5
    code = "environment"
